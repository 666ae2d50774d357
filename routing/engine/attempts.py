"""Try candidates in order inside one retry budget until an answer may be committed; feed breaker and cooldown."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from analytics.engine.record import AttemptRecord
from channels_app.engine.errors import (
    UpstreamBlocked,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamStatus,
    UpstreamTimeout,
)
from channels_app.engine.provider import Headers, UpstreamRequest, UpstreamResponse
from routing.engine.breaker import ChannelState
from routing.engine.call import Call
from routing.engine.conversion import Conversion, convert
from routing.engine.errors import (
    GatewayError,
    NoChannel,
    Overloaded,
    RateLimited,
    UpstreamFailed,
    UpstreamTimedOut,
)
from routing.engine.format import Answer, Asked, StreamReader
from routing.engine.gateway import Gateway
from routing.engine.snapshot import Candidate, Credential, PolicySpec, Snapshot
from routing.engine.sse import EventTooLarge
from routing.engine.strategies import STRATEGIES

#: How much of an upstream's error body is kept: enough for any error, too little for an accident.
MAX_ERROR_BYTES = 64 * 1024
#: A whole answer larger than this is passed on as it comes, without being looked at.
MAX_WHOLE_BYTES = 64 * 1024 * 1024
#: A stream's prologue larger than this is committed (ADR 7).
MAX_PROLOGUE_BYTES = 64 * 1024
#: First pause between two rounds over the same candidates; doubles each round.
ROUND_PAUSE_S = 0.2
#: Rest of a credential when the upstream does not say how long.
REST_S = {401: 60.0, 402: 300.0, 403: 60.0, 429: 5.0}
#: Longest rest that an upstream's `retry-after` can ask for.
MAX_REST_S = 600.0


@dataclass(slots=True)
class Committed:
    """An answer that will be delivered: no failover from here on.

    A stream comes as `held` bytes and the `rest` still to arrive, followed by `reader`; a whole answer as `held`
    alone with its `facts`.
    """

    candidate: Candidate
    response: UpstreamResponse
    held: list[bytes]
    rest: AsyncIterator[bytes] | None = None
    reader: StreamReader | None = None
    facts: Answer = field(default_factory=Answer)


@dataclass(slots=True)
class Fault:
    """One failed try, kept for the final error."""

    candidate: Candidate
    error: UpstreamError


class Attempt:
    """The tries of one call."""

    def __init__(self, call: Call, gateway: Gateway, snapshot: Snapshot, asked: Asked) -> None:
        self.call = call
        self.gateway = gateway
        self.snapshot = snapshot
        self.asked = asked
        self.policy: PolicySpec = snapshot.document.policy
        self.faults: list[Fault] = []
        self.waits_s: list[float] = []
        self.without_credential: list[str] = []
        #: How the present candidate's upstream is asked, None for the client's own bytes.
        self.conversion: Conversion | None = None

    async def run(self, groups: list[list[Candidate]]) -> Committed:
        """Try each group (a model, then its fallbacks) in the strategy's order, in rounds, within the budget.

        Raises:
            GatewayError: no try gave an answer; the class says what the client may do about it.
        """
        strategy = STRATEGIES[self.policy.strategy]
        ordered = [strategy.order(group, self.gateway.chance) for group in groups if group]
        pause_s = ROUND_PAUSE_S
        while True:
            tries_before = self.call.tries
            for group in ordered:
                for candidate in group:
                    committed = await self._channel(candidate)
                    if committed is not None:
                        return committed
            if self.call.tries == tries_before or not self._may_go_round():
                raise self._final_error()
            await asyncio.sleep(pause_s * (0.5 + self.gateway.chance()))
            pause_s *= 2

    async def _channel(self, candidate: Candidate) -> Committed | None:
        """Try one channel with its credentials; None when the next candidate should be tried."""
        state = self.gateway.states.of(self.snapshot.document.tenant_id, candidate.channel)
        now_s = self.gateway.clock()
        if candidate.channel.lacks_credential:
            self._without_credential(candidate)
            return None
        credentials = state.rested(candidate.channel.credentials, now_s)
        if candidate.channel.credentials and not credentials:
            self._passed_over(candidate, state, "cooling_down", "every credential is resting")
            return None
        self._turn_to(candidate)
        for credential in credentials or [Credential("", "")]:
            if self.call.tries >= self.policy.attempts:
                return None
            if not state.breaker.admits(self.policy, self.gateway.clock()):
                self._passed_over(candidate, state, "breaker_open", "the breaker is open after failures")
                return None
            try:
                committed = await self._try(candidate, credential, state)
            except UpstreamError as error:
                self._failed(candidate, credential, state, error)
                if not error.is_retryable:
                    raise self._final_error() from error
                if not (isinstance(error, UpstreamStatus) and error.is_about_credential):
                    return None
            else:
                state.breaker.succeeded()
                return committed
        return None

    async def _try(self, candidate: Candidate, credential: Credential, state: ChannelState) -> Committed:
        began_s = time.perf_counter()
        error: UpstreamError | None = None
        self.call.tries += 1
        try:
            return await self._exchange(candidate, credential)
        except UpstreamError as caught:
            error = caught
            raise
        except asyncio.CancelledError:
            state.breaker.abandoned()
            error = UpstreamError("the client left")
            error.reason = "abandoned"
            raise
        finally:
            self.call.attempts.append(
                AttemptRecord(
                    channel=candidate.channel.spec.slug,
                    credential=credential.slug,
                    model=candidate.upstream_model,
                    status=error.status if isinstance(error, UpstreamStatus) else (200 if error is None else None),
                    reason="ok" if error is None else error.reason,
                    detail="" if error is None else str(error)[:300],
                    duration_ms=(time.perf_counter() - began_s) * 1000,
                )
            )

    async def _exchange(self, candidate: Candidate, credential: Credential) -> Committed:
        """Send, and read as far as an error could still be answered by another try."""
        provider = candidate.channel.provider
        response = await provider.send(await self._request(candidate, credential), self.gateway.upstreams)
        try:
            if response.status >= 300:
                raise await self._refused(response)
            self.call.connect_ms = response.connect_ms
            content_type = response.header(b"content-type").lower()
            reading = "whole" if self.conversion else self.call.format.reads_as(self.asked, content_type)
            if reading == "events":
                return await self._hold_prologue(candidate, response)
            if reading == "bytes":
                return await self._first_bytes(candidate, response, content_type)
            return await self._read_whole(candidate, response)
        except BaseException:
            await response.close()
            raise

    def _turn_to(self, candidate: Candidate) -> None:
        """Rewrite the request where this candidate's upstream is asked in another format.

        Raises:
            BadRequest: it cannot be rewritten.
        """
        call = self.call
        call.upstream_operation = candidate.channel.operation_for(call.route.operation)
        self.conversion = convert(call, call.upstream_operation, candidate.upstream_model)
        call.losses = self.conversion.losses.codes if self.conversion else ()

    async def _request(self, candidate: Candidate, credential: Credential) -> UpstreamRequest:
        call, channel, model = self.call, candidate.channel, candidate.upstream_model
        operation = call.upstream_operation
        body = b""
        if self.conversion is not None:
            body = self.conversion.body
        elif call.upload is None:
            body = call.format.write_request(call.body, self.asked, model)
        return UpstreamRequest(
            operation=operation,
            model=model,
            is_stream=self.asked.is_stream,
            method="POST",
            url=channel.provider.url(channel.spec.base_url or channel.provider.base_url, operation, model),
            headers=_headers(call, candidate, credential),
            body=body,
            timeouts=channel.timeouts,
            private_networks=self.snapshot.private_networks,
            source=await call.upload.source(model) if call.upload is not None else None,
        )

    async def _refused(self, response: UpstreamResponse) -> UpstreamStatus:
        """Return an error answer, told in the client's format."""
        body, content_type = await _read(response, MAX_ERROR_BYTES), response.header(b"content-type")
        if self.conversion is not None:
            body, content_type = self.conversion.error_body(response.status, body, self.call.id), b"application/json"
        return UpstreamStatus(response.status, body, content_type, retry_after_s=_retry_after(response))

    async def _read_whole(self, candidate: Candidate, response: UpstreamResponse) -> Committed:
        body = await _read(response, MAX_WHOLE_BYTES)
        if len(body) >= MAX_WHOLE_BYTES and self.conversion is None:
            return Committed(candidate, response, [body], rest=response.chunks)
        try:
            if self.conversion is not None:
                body, facts = self.conversion.read(body)
            else:
                facts = self.call.format.read_answer(self.call.route.operation, body)
                body = self.call.format.mend_answer(self.asked, body)
        except ValueError as error:
            raise UpstreamBroken(f"the answer is not what the format promises: {error}") from error
        await response.close()
        return Committed(candidate, response, [body], facts=facts)

    async def _first_bytes(self, candidate: Candidate, response: UpstreamResponse, content_type: bytes) -> Committed:
        """Read until something has come of an answer that cannot be checked: sound, or plain text."""
        if content_type.startswith(b"text/html"):
            raise UpstreamBroken("it answered with a web page")
        first = await anext(response.chunks, b"")
        if not first and not content_type.startswith(b"text/"):
            raise UpstreamBroken("the answer is empty")
        return Committed(candidate, response, [first], rest=response.chunks)

    async def _hold_prologue(self, candidate: Candidate, response: UpstreamResponse) -> Committed:
        """Read until the commit point: the first content event, 64 KB, or some seconds (ADR 7)."""
        content_type = response.header(b"content-type")
        if content_type and b"json" in content_type and b"event-stream" not in content_type:
            raise UpstreamBroken("it was asked for a stream and sent a whole answer")
        reader = self.call.format.stream_reader(self.call.route.operation, self.asked)
        held: list[bytes] = []
        size = 0
        committed = Committed(candidate, response, held, rest=response.chunks, reader=reader)
        commit_at_s = time.monotonic() + self.gateway.commit_after_s
        while size < MAX_PROLOGUE_BYTES:
            pending = asyncio.ensure_future(anext(response.chunks, None))
            try:
                done, _ = await asyncio.wait((pending,), timeout=commit_at_s - time.monotonic())
            except asyncio.CancelledError:
                pending.cancel()
                raise
            if not done:
                committed.rest = _after(pending, response.chunks)
                return committed
            chunk = pending.result()
            if chunk is None:
                held.append(reader.finish())
                committed.rest = None
                if not (reader.is_complete and not reader.failure):
                    raise self._early_fault(reader)
                return committed
            try:
                out = reader.feed(chunk)
            except EventTooLarge as error:
                raise UpstreamBroken(str(error)) from error
            held.append(out)
            size += len(out)
            if reader.failure and not reader.has_content:
                raise self._early_fault(reader)
            if reader.has_content or reader.is_complete:
                break
        return committed

    @staticmethod
    def _early_fault(reader: StreamReader) -> UpstreamError:
        if reader.failure_status in {401, 402, 403, 404, 408, 429, 500, 502, 503, 504, 529}:
            return UpstreamStatus(reader.failure_status, b"")
        return UpstreamBroken(
            "the stream said error before its first content" if reader.failure else "the stream ended before it began"
        )

    def _failed(self, candidate: Candidate, credential: Credential, state: ChannelState, error: UpstreamError) -> None:
        """Remember the fault and tell the breaker or the credential."""
        self.faults.append(Fault(candidate, error))
        now_s = self.gateway.clock()
        if isinstance(error, UpstreamStatus) and error.is_about_credential:
            state.breaker.abandoned()
            if self.policy.has_cooldown and credential.slug:
                asked_s = error.retry_after_s if error.retry_after_s is not None else REST_S[error.status]
                state.rest(credential.slug, now_s + min(asked_s, MAX_REST_S))
        elif isinstance(error, UpstreamStatus) and error.status < 500:
            # The request is at fault, not the channel.
            state.breaker.succeeded()
        else:
            state.breaker.failed(self.policy, now_s)

    def _passed_over(self, candidate: Candidate, state: ChannelState, reason: str, detail: str) -> None:
        wait_s = max(0.0, state.ready_at_s(candidate.channel.credentials) - self.gateway.clock())
        self.waits_s.append(wait_s)
        self.call.attempts.append(
            AttemptRecord(
                channel=candidate.channel.spec.slug,
                model=candidate.upstream_model,
                reason=reason,
                detail=f"{detail}; next try in {wait_s:.0f} s",
            )
        )

    def _without_credential(self, candidate: Candidate) -> None:
        slug = candidate.channel.spec.slug
        self.without_credential.append(slug)
        detail = "the channel has no credential"
        self.call.attempts.append(
            AttemptRecord(channel=slug, model=candidate.upstream_model, reason="no_credential", detail=detail)
        )

    def _may_go_round(self) -> bool:
        """Whether another round over the same candidates may help: budget left and a passing fault seen last."""
        if self.call.tries >= self.policy.attempts or not self.faults:
            return False
        error = self.faults[-1].error
        if isinstance(error, UpstreamStatus):
            return error.status >= 500 or error.status in {408, 425}
        return isinstance(error, UpstreamRefused | UpstreamBroken)

    def _final_error(self) -> GatewayError:
        """Return what the client is told: an upstream's own class where it has one (ADR 7)."""
        model = self.asked.model
        if not self.faults and not self.waits_s:
            names = ", ".join(self.without_credential)
            return NoChannel(f"No credential is stored for {names}, which `{model}` needs. An admin must add one.")
        if not self.faults:
            wait_s = min(self.waits_s)
            count = len(self.waits_s)
            return Overloaded(
                f"All {count} channel(s) for `{model}` are cooling down after errors; next try in {wait_s:.0f} s.",
                retry_after_s=max(1.0, wait_s),
            )
        last = self.faults[-1]
        if isinstance(last.error, UpstreamStatus):
            told = _told_by_status(last, model)
            if told is not None:
                return told
        story = ", ".join(f"{fault.candidate.channel.spec.slug} {fault.error}" for fault in self.faults)
        message = f"`{model}` failed on all {len(self.faults)} tries: {story}."
        channels = {fault.candidate.channel.spec.slug for fault in self.faults}
        if isinstance(last.error, UpstreamTimeout):
            return UpstreamTimedOut(message, retry_after_s=5)
        if isinstance(last.error, UpstreamBlocked):
            return UpstreamFailed(message, code="upstream_blocked", should_retry=False)
        return UpstreamFailed(message, retry_after_s=5, should_retry=False if len(channels) > 1 else None)


def _told_by_status(fault: Fault, model: str) -> GatewayError | None:
    """Return the error that keeps an upstream's own class, or None where its status must not be passed on."""
    error = fault.error
    assert isinstance(error, UpstreamStatus)
    slug = fault.candidate.channel.spec.slug
    if error.status in {401, 403}:
        # Never as 401: the client's key is fine, the channel's is not.
        return UpstreamFailed(
            f"Channel `{slug}` rejected its own credentials ({error.status}). An admin must renew them.",
            code="upstream_auth_error",
            should_retry=False,
        )
    body = error.body if b"json" in error.content_type else None
    if error.status in {429, 529}:
        kind = RateLimited if error.status == 429 else Overloaded
        return kind(
            f"Channel `{slug}` is limited by its provider ({error.status}) for `{model}`.",
            status=error.status,
            retry_after_s=error.retry_after_s if error.retry_after_s is not None else 1.0,
            raw_body=body,
        )
    if 400 <= error.status < 500 and body:
        passed = GatewayError(f"Channel `{slug}` answered {error.status}.", status=error.status, raw_body=body)
        passed.code, passed.kind, passed.should_retry = "upstream_refused", "invalid_request", False
        return passed
    return None


async def _read(response: UpstreamResponse, limit: int) -> bytes:
    """Return the body up to about the limit."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= limit:
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _after(first: asyncio.Future[bytes | None], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunk that is already being waited for, then the rest."""
    try:
        chunk = await first
    finally:
        first.cancel()
    if chunk is not None:
        yield chunk
        async for chunk in rest:
            yield chunk


def _retry_after(response: UpstreamResponse) -> float | None:
    """Return the seconds of `retry-after-ms` or of a numeric `retry-after` (RFC 9110 §10.2.3), None without one."""
    for name, divisor in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        try:
            return max(0.0, float(response.header(name)) / divisor)
        except ValueError:
            continue
    return None


def _headers(call: Call, candidate: Candidate, credential: Credential) -> Headers:
    """Return what is sent upstream: the provider's own, what it wants of the client's, and the credential."""
    assert call.asked is not None
    provider = candidate.channel.provider
    own_type = call.header(b"content-type") if call.upstream_operation == call.route.operation else ""
    headers: dict[str, str] = {
        "content-type": own_type or "application/json",
        "accept": call.format.accept(call.asked),
        **provider.default_headers,
    }
    for name in provider.forwarded_headers:
        value = call.headers.get(name.encode("latin-1"))
        if value is not None:
            headers[name] = value.decode("latin-1")
    headers |= provider.auth_headers(credential.secret)
    return list(headers.items())
