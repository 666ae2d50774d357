"""Try a translation without an upstream: what would be sent, what a client would get, what changed, what is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from channels_app.engine.capabilities import Capabilities
from routing.engine.codec import Exchange, Target
from routing.engine.errors import BadRequest, UpstreamFailed
from routing.engine.format import Asked
from routing.engine.formats import CODECS, client_codec
from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest
from routing.engine.transformer import Chain
from routing.engine.translation import TranslatingReader, Translation

#: The most differences that are told; a body of megabytes differs in more places than anyone reads.
MAX_CHANGES = 200
_ABSENT: Any = object()
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Change:
    """One place where two bodies differ. `path` is a JSON pointer (RFC 6901); a side that has nothing is left out."""

    path: str
    before: Any = _ABSENT
    after: Any = _ABSENT

    def shown(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        sides = {"before": self.before, "after": self.after}
        what = "added" if self.before is _ABSENT else "removed" if self.after is _ABSENT else "changed"
        return {"path": self.path, "what": what} | {k: v for k, v in sides.items() if v is not _ABSENT}


@dataclass(slots=True)
class Tried:
    """What a trial showed: `body` is JSON-able, or text for a stream."""

    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """Two formats, what the upstream can take, and the transformers between them."""

    client: str
    upstream: str
    model: str
    provider: str
    capabilities: Capabilities
    chain: Chain = field(default_factory=Chain)

    def request(self, body: bytes, *, is_stream: bool = False) -> Tried:
        """Return what would be sent for a client's request.

        Raises:
            BadRequest: the request is no request of its format, or cannot be carried.
        """
        translation = self._translation(self._decoded(body, is_stream=is_stream))
        written = translation.write()
        return Tried(written.body, written.headers, translation.exchange.losses.codes)

    def answer(self, body: bytes, request: bytes | None = None) -> Tried:
        """Return what the client would get for a whole answer, to its request or to one that asked nothing special.

        Raises:
            BadRequest: the request is no request of its format, or the answer none of the upstream's.
        """
        translation = self._asked(request, is_stream=False)
        try:
            told = translation.tell(translation.read(body))
        except ValueError as error:
            raise BadRequest(f"This is no answer of {self.upstream}: {error}.", param="body") from error
        return Tried(msgspec.json.decode(told), {}, translation.exchange.answer_losses.codes)

    def stream(self, chunks: Iterable[bytes], request: bytes | None = None) -> Tried:
        """Return what the client would get for a stream."""
        translation = self._asked(request, is_stream=True)
        asked = translation.exchange.request
        reader = TranslatingReader(
            Asked(asked.model, is_stream=True, wants_usage=asked.wants_usage),
            decoder=translation.upstream.stream_decoder(translation.exchange),
            encoder=translation.client.stream_encoder(translation.exchange),
            telling=translation.told(),
        )
        told = b"".join([*map(reader.feed, chunks), reader.finish()])
        if not reader.is_complete:
            told += reader.error_event(UpstreamFailed("The stream ends before its end."), "")
        return Tried(told.decode("utf-8", "replace"), {}, translation.exchange.answer_losses.codes)

    def _decoded(self, body: bytes, *, is_stream: bool) -> ChatRequest:
        codec = client_codec(self.client)
        if codec is None:
            raise BadRequest(f"No client speaks {self.client}.", param="from")
        return codec.decode_request(body, model=self.model, is_stream=is_stream)

    def _asked(self, request: bytes | None, *, is_stream: bool) -> Translation:
        """Return the translation as it is after the request went out."""
        asked = ChatRequest(self.client, self.model) if request is None else self._decoded(request, is_stream=is_stream)
        translation = self._translation(asked)
        translation.write()
        return translation

    def _translation(self, request: ChatRequest) -> Translation:
        codec = client_codec(self.client)
        if codec is None:
            raise BadRequest(f"No client speaks {self.client}.", param="from")
        target = Target(self.upstream, self.provider, "", self.model, self.capabilities)
        exchange = Exchange(request, target, "", Losses(codec.spelling), Losses(codec.spelling))
        return Translation(codec, CODECS[self.upstream], exchange, self.chain)


def changes(before: Any, after: Any) -> list[Change]:
    """Return where two JSON values differ, in the order of the first, at most `MAX_CHANGES` places."""
    found: list[Change] = []
    for change in _changes(before, after, ""):
        found.append(change)
        if len(found) == MAX_CHANGES:
            break
    return found


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            step = str(name).replace("~", "~0").replace("/", "~1")
            yield from _changes(before.get(name, _ABSENT), after.get(name, _ABSENT), f"{path}/{step}")
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            old = before[place] if place < len(before) else _ABSENT
            new = after[place] if place < len(after) else _ABSENT
            yield from _changes(old, new, f"{path}/{place}")
    elif before is _ABSENT or after is _ABSENT or before != after or type(before) is not type(after):
        yield Change(path, before, after)
