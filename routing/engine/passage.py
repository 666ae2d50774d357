"""How a request gets to one candidate and its answer back: as the bytes they are, or translated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from channels_app.engine.provider import ByteSource, Headers
from routing.engine.body import read_members, splice
from routing.engine.call import Call
from routing.engine.codec import Exchange, Target, Written
from routing.engine.conversion import Conversion, convert, said_in
from routing.engine.decoding import conversation, spelt_as
from routing.engine.errors import GatewayError
from routing.engine.estimate import input_tokens
from routing.engine.failures import error_of, shown, told_id
from routing.engine.format import Answer, Reading, StreamReader
from routing.engine.formats import CODECS, client_codec
from routing.engine.gateway import Gateway
from routing.engine.losses import Losses, lossy
from routing.engine.media import inlined
from routing.engine.memory import Noting, StateMemory
from routing.engine.messages import ChatRequest
from routing.engine.operations import is_count
from routing.engine.provenance import may_hold_wrapper
from routing.engine.session import CODEX_HEADERS
from routing.engine.snapshot import Candidate
from routing.engine.transformer import Chain
from routing.engine.transformers import chain_of
from routing.engine.translation import TranslatingReader, Translation

_encode = msgspec.json.Encoder().encode
#: Shorter credentials are placeholders.
MIN_SECRET_CHARS = 8


class Passage(ABC):
    """One request's way to one candidate. `operation` is what the candidate is asked, in its own format."""

    def __init__(self, call: Call, candidate: Candidate, operation: str) -> None:
        self.call = call
        self.candidate = candidate
        self.operation = operation

    @property
    def format(self) -> str:
        """Return the upstream's format."""
        return self.operation.partition(":")[0]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the codes of what could not be carried whole, as far as they are known."""
        return ()

    @abstractmethod
    def body(self) -> bytes:
        """Return the body for the upstream."""

    def headers(self) -> Headers:
        """Return the headers for the upstream, all but the credential's."""
        call, provider = self.call, self.candidate.channel.provider
        assert call.asked is not None
        headers: dict[str, str] = {
            "content-type": call.header(b"content-type") or "application/json",
            "accept": call.format.accept(call.asked),
            **provider.default_headers,
        }
        for name in provider.forwarded_headers:
            value = call.headers.get(name.encode("latin-1"))
            if value is not None:
                headers[name] = value.decode("latin-1")
        return list(headers.items())

    async def source(self) -> ByteSource | None:
        """Return the body where it is not in memory."""
        return None

    def reads_as(self, content_type: bytes) -> Reading:
        """Return how an answer of that type is read."""
        return "events" if self.call.asked is not None and self.call.asked.is_stream else "whole"

    @abstractmethod
    def read_whole(self, body: bytes) -> tuple[bytes, Answer]:
        """Return the client's bytes of a whole answer, and its facts.

        Raises:
            ValueError: the body is not what the upstream's format promises.
        """

    @abstractmethod
    def reader(self) -> StreamReader:
        """Return a reader that turns the upstream's stream into the client's."""

    def without_credentials(self, said: bytes) -> bytes:
        """Return what an upstream says of an error without the channel's credentials, which some repeat."""
        for credential in self.candidate.channel.credentials:
            # A placeholder for a server that asks for none is a word that may well be meant.
            if len(credential.secret) >= MIN_SECRET_CHARS:
                said = said.replace(credential.secret.encode(), b"[hidden]")
        return said

    def shown(self, text: str) -> str:
        """Return an upstream's text as clients and records may have it."""
        return shown(self.without_credentials(text.encode()).decode())

    @abstractmethod
    def refusal(self, status: int, body: bytes, headers: Mapping[bytes, bytes]) -> GatewayError | None:
        """Return an upstream's 4xx, 429 or 529 in its own class; None where the body says nothing fit to show."""


class PassThrough(Passage):
    """The upstream speaks the client's format and invented it: bytes pass unread but for the model's name."""

    def body(self) -> bytes:
        """Return the client's bytes; none of a form, which is still arriving."""
        assert self.call.asked is not None
        if self.call.upload is not None:
            return b""
        body = self.call.format.write_request(self.call.body, self.call.asked, self.candidate.upstream_model)
        only_values = self.candidate.channel.provider.only_values.get(self.operation)
        return _with_values(body, only_values) if only_values else body

    def read_whole(self, body: bytes) -> tuple[bytes, Answer]:
        """Return the very bytes, but for what the format itself mends."""
        assert self.call.asked is not None
        facts = self.call.format.read_answer(self.call.route.operation, body)
        return self.call.format.mend_answer(self.call.asked, body), facts

    async def source(self) -> ByteSource | None:
        """Return the form as it arrives."""
        upload = self.call.upload
        return None if upload is None else await upload.source(self.candidate.upstream_model)

    def reads_as(self, content_type: bytes) -> Reading:
        """Return what the format says of answers of that type."""
        assert self.call.asked is not None
        return self.call.format.reads_as(self.call.asked, content_type)

    def reader(self) -> StreamReader:
        """Return the format's own follower of passing streams."""
        assert self.call.asked is not None
        return self.call.format.stream_reader(self.call.route.operation, self.call.asked)

    def refusal(self, status: int, body: bytes, headers: Mapping[bytes, bytes]) -> GatewayError | None:
        """Return an error that passes the upstream's own body on."""
        if not body:
            return None
        return GatewayError(
            f"The upstream answered {status}.",
            code="upstream_refused",
            status=status,
            headers=told_id(headers.items()),
            raw_body=body,
        )


class Translated(Passage):
    """The upstream speaks another format, or a dialect of the same: decoded, fitted, encoded, both ways."""

    def __init__(
        self,
        call: Call,
        candidate: Candidate,
        operation: str,
        request: ChatRequest,
        target: Target,
        memory: StateMemory,
        chain: Chain,
    ) -> None:
        super().__init__(call, candidate, operation)
        assert call.principal is not None
        self._tenant_id, self._memory = call.principal.tenant_id, memory
        request = memory.recall(self._tenant_id, request)
        codec = client_codec(call.format.name)
        assert codec is not None
        can = target.capabilities
        if can.cache_key and not request.cache_key and call.session_id:
            request = replace(request, cache_key=call.session_id[:64])
        if "betas" in CODECS[self.format].takes and (betas := _betas(call)):
            request = replace(request, native={**request.native, "betas": betas})
        exchange = Exchange(request, target, call.id, Losses(codec.spelling), Losses(codec.spelling))
        if call.asked is not None:
            exchange.wants_sse = call.asked.wants_sse
        exchange.input_tokens = input_tokens(call)
        self.translation = Translation(codec, CODECS[self.format], exchange, chain)
        self._written = self._write()

    def _write(self) -> Written:
        written = self.translation.write()
        drops = self.translation.exchange.losses.drops
        if drops and self.call.is_strict:
            target = self.translation.exchange.target
            raise lossy(f"`{target.model}` is served over {target.format}", drops)
        return written

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what was lost on the way there, and so far on the way back."""
        exchange = self.translation.exchange
        return tuple(dict.fromkeys((*exchange.losses.codes, *exchange.answer_losses.codes)))

    def body(self) -> bytes:
        """Return the request in the upstream's format."""
        return _encode(self._written.body)

    def headers(self) -> Headers:
        """Return the provider's headers, and those that the format wants with this very body.

        What a client says in its own format's headers means nothing to another, but a session's name is one anywhere:
        the provider that wants it finds the session's cache by it.
        """
        headers: dict[str, str] = {}
        for name, value in super().headers():
            is_everywhere = name == "accept" or name.encode() in CODEX_HEADERS
            if is_everywhere or self.format == self.call.format.name or name.encode() not in self.call.headers:
                headers[name] = value
        headers["content-type"] = "application/json"
        for name, value in self._written.headers.items():
            listed = headers.get(name, "") if name.endswith("-beta") else ""
            headers[name] = ",".join(dict.fromkeys([*filter(None, listed.split(",")), *value.split(",")]))
        return list(headers.items())

    def read_whole(self, body: bytes) -> tuple[bytes, Answer]:
        """Return the answer in the client's format."""
        answer = self.translation.read(body)
        if self.translation.client.forgets_state:
            self._memory.note_answer(self._tenant_id, answer)
        return self.translation.tell(answer), Answer(answer.usage, answer.model)

    def reader(self) -> StreamReader:
        """Return a reader that decodes and encodes."""
        assert self.call.asked is not None
        translation, client = self.translation, self.translation.client
        noting = None
        if client.forgets_state or client.misses_call_state:
            noting = Noting(self._memory, self._tenant_id, only_calls=not client.forgets_state)
        return TranslatingReader(
            self.call.asked,
            decoder=translation.upstream.stream_decoder(translation.exchange),
            encoder=translation.client.stream_encoder(translation.exchange),
            telling=translation.told(),
            request_id=self.call.id,
            noting=noting,
        )

    def refusal(self, status: int, body: bytes, headers: Mapping[bytes, bytes]) -> GatewayError | None:
        """Return what the upstream says, for the client's own words."""
        return self.translation.failure(status, body, headers)


class Reshaped(Translated):
    """What passed came in another shape than was asked for: a whole answer for a stream, a stream for a whole one."""

    def _write(self) -> Written:
        return Written({})  # the request went as it was


class Counted(Translated):
    """The upstream counts the tokens of a conversation that came in another format."""

    def _write(self) -> Written:
        return self.translation.write_count()

    def read_whole(self, body: bytes) -> tuple[bytes, Answer]:
        """Return the count in the client's format."""
        return self.translation.client.encode_count(self.translation.upstream.decode_count(body)), Answer()


def _betas(call: Call) -> list[str]:
    """Return the beta features that a client's headers name."""
    said = [value.decode("latin-1") for name, value in call.headers.items() if name.endswith(b"-beta")]
    return [beta.strip() for each in said for beta in each.split(",") if beta.strip()]


class Converted(Passage):
    """No conversation, but asked of an upstream that spells it otherwise: embeddings, an order of documents."""

    def __init__(self, call: Call, candidate: Candidate, operation: str, conversion: Conversion) -> None:
        super().__init__(call, candidate, operation)
        self._conversion = conversion

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what the upstream has no place for."""
        return self._conversion.losses.codes

    def body(self) -> bytes:
        """Return the request as the upstream spells it."""
        return self._conversion.body

    def headers(self) -> Headers:
        """Return the provider's headers; the body is JSON whatever the client sent."""
        return [*((n, v) for n, v in super().headers() if n != "content-type"), ("content-type", "application/json")]

    def reads_as(self, content_type: bytes) -> Reading:
        """Return that it comes whole."""
        return "whole"

    def read_whole(self, body: bytes) -> tuple[bytes, Answer]:
        """Return the answer as the client spells it."""
        return self._conversion.read(body)

    def reader(self) -> StreamReader:
        """Such answers do not come as streams."""
        raise NotImplementedError(self.operation)

    def refusal(self, status: int, body: bytes, headers: Mapping[bytes, bytes]) -> GatewayError | None:
        """Return what the upstream says, for the client's own words."""
        return error_of(status, *said_in(body))


def _with_values(body: bytes, values: Mapping[str, bytes]) -> bytes:
    """Return a body with other values of those members that it has."""
    members = read_members(body)
    return splice(body, members, {name: value for name, value in values.items() if name in members})


def reshaped(passage: PassThrough, memory: StateMemory) -> Reshaped:
    """Return how to read the answer to a conversation that passed through, where it is no stream or should be none.

    Raises:
        BadRequest: the request is none that can be read here.
    """
    call, candidate, operation = passage.call, passage.candidate, passage.operation
    chain = chain_of((), candidate.upstream_model)
    target = target_of(candidate, operation)
    return Reshaped(call, candidate, operation, conversation(call), target, memory, chain)


async def passage_to(call: Call, candidate: Candidate, gateway: Gateway) -> Passage:
    """Return the way to a candidate; only media that it wants inline are waited for.

    Raises:
        BadRequest: the request cannot be carried there without changing its meaning.
    """
    operation = candidate.operation(call.operations)
    if not call.is_conversation and not is_count(operation):
        if operation == call.route.operation:
            return PassThrough(call, candidate, operation)
        return Converted(call, candidate, operation, convert(call, operation, candidate.upstream_model))
    is_genuine = operation == call.route.operation and candidate.channel.provider.is_genuine
    chain = chain_of(candidate.channel.spec.transformers, candidate.upstream_model)
    # A wrapper of ours means nothing to its reader: the inventor of the format would refuse it as forged.
    passes = is_genuine and not chain.changes_anything and not may_hold_wrapper(call.body)
    if passes and (call.is_conversation or spelt_as(call).name == call.format.name):
        return PassThrough(call, candidate, operation)
    target = target_of(candidate, operation)
    request = await inlined(conversation(call), target.capabilities, gateway.upstreams, CODECS[target.format].linked)
    way = Counted if is_count(operation) else Translated
    return way(call, candidate, operation, request, target, gateway.memory, chain)


def target_of(candidate: Candidate, operation: str) -> Target:
    """Return what a request to a candidate is written for."""
    spec, provider, model = candidate.channel.spec, candidate.channel.provider, candidate.upstream_model
    name = operation.partition(":")[0]
    return Target(name, provider.name, spec.id, model, provider.capabilities_of(name, model))
