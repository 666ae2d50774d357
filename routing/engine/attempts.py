"""Try candidates in order inside one retry budget until an answer may be committed; feed breaker and cooldown."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from analytics.engine.record import AttemptRecord
from channels_app.engine.errors import (
    UpstreamBlocked,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamStatus,
    UpstreamTimeout,
)
from routing.engine.breaker import ChannelState
from routing.engine.call import Call
from routing.engine.errors import GatewayError, NoChannel, Overloaded, RateLimited, UpstreamFailed, UpstreamTimedOut
from routing.engine.failures import told_id
from routing.engine.format import Asked
from routing.engine.gateway import Gateway
from routing.engine.passage import Passage, passage_to
from routing.engine.sending import Committed, send
from routing.engine.snapshot import Candidate, Credential, PolicySpec, Snapshot
from routing.engine.strategies import STRATEGIES

#: First pause between two rounds over the same candidates; doubles each round.
ROUND_PAUSE_S = 0.2
#: Rest of a credential when the upstream does not say how long.
REST_S = {401: 60.0, 402: 300.0, 403: 60.0, 429: 5.0}
#: Longest rest that an upstream's `retry-after` can ask for.
MAX_REST_S = 600.0


@dataclass(slots=True)
class Fault:
    """One failed try, kept for the final error."""

    passage: Passage
    error: UpstreamError

    @property
    def slug(self) -> str:
        """Return the channel's slug."""
        return self.passage.candidate.channel.spec.slug


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
        #: Why candidates cannot carry the request at all.
        self.refusals: list[GatewayError] = []
        self._passages: dict[int, Passage] = {}

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
        passage = await self._passage(candidate)
        if passage is None:
            return None
        credentials = state.rested(candidate.channel.credentials, now_s)
        if candidate.channel.credentials and not credentials:
            self._passed_over(candidate, state, "cooling_down", "every credential is resting")
            return None
        for credential in credentials or [Credential("", "")]:
            if self.call.tries >= self.policy.attempts:
                return None
            if not state.breaker.admits(self.policy, self.gateway.clock()):
                self._passed_over(candidate, state, "breaker_open", "the breaker is open after failures")
                return None
            try:
                committed = await self._try(passage, credential, state)
            except UpstreamError as error:
                self._failed(passage, credential, state, error)
                if not error.is_retryable:
                    raise self._final_error() from error
                if not (isinstance(error, UpstreamStatus) and error.is_about_credential):
                    return None
            else:
                state.breaker.succeeded()
                return committed
        return None

    async def _passage(self, candidate: Candidate) -> Passage | None:
        """Return the way to a candidate, the same in every round; None where there is none for this request."""
        passage = self._passages.get(id(candidate))
        if passage is not None:
            return passage
        if candidate.channel.spec.id in self.snapshot.channel_quotas and not await self._is_affordable(candidate):
            return None
        if candidate.channel.lacks_credential:
            self._without_credential(candidate)
            return None
        try:
            passage = self._passages[id(candidate)] = await passage_to(self.call, candidate, self.gateway)
        except GatewayError as refusal:
            self._cannot_carry(candidate, refusal)
        return passage

    async def _try(self, passage: Passage, credential: Credential, state: ChannelState) -> Committed:
        began_s = time.perf_counter()
        error: UpstreamError | None = None
        self.call.tries += 1
        try:
            return await send(passage, credential, self.snapshot, self.gateway)
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
                    channel=passage.candidate.channel.spec.slug,
                    credential=credential.slug,
                    model=passage.candidate.upstream_model,
                    status=error.status if isinstance(error, UpstreamStatus) else (200 if error is None else None),
                    reason="ok" if error is None else error.reason,
                    detail="" if error is None else str(error)[:300],
                    duration_ms=(time.perf_counter() - began_s) * 1000,
                )
            )

    def _failed(self, passage: Passage, credential: Credential, state: ChannelState, error: UpstreamError) -> None:
        """Remember the fault and tell the breaker or the credential."""
        self.faults.append(Fault(passage, error))
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

    async def _is_affordable(self, candidate: Candidate) -> bool:
        """Reserve from the quotas of the channel itself; a channel that has used its own up is passed over."""
        assert self.gateway.budget is not None
        try:
            await self.gateway.budget.reserve_channel(self.call, candidate)
        except GatewayError as refusal:
            self.refusals.append(refusal)
            self.call.attempts.append(
                AttemptRecord(
                    channel=candidate.channel.spec.slug,
                    model=candidate.upstream_model,
                    reason=refusal.code,
                    detail=refusal.message[:300],
                )
            )
            return False
        return True

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

    def _cannot_carry(self, candidate: Candidate, refusal: GatewayError) -> None:
        self.refusals.append(refusal)
        slug, model = candidate.channel.spec.slug, candidate.upstream_model
        self.call.attempts.append(
            AttemptRecord(channel=slug, model=model, reason="cannot_carry", detail=refusal.message[:300])
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
        if not self.faults and self.refusals:
            return self.refusals[0]
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
        story = ", ".join(f"{fault.slug} {fault.error}" for fault in self.faults)
        message = f"`{model}` failed on all {len(self.faults)} tries: {story}."
        channels = {fault.slug for fault in self.faults}
        if isinstance(last.error, UpstreamTimeout):
            return UpstreamTimedOut(message, retry_after_s=5)
        if isinstance(last.error, UpstreamBlocked):
            return UpstreamFailed(message, code="upstream_blocked", should_retry=False)
        return UpstreamFailed(message, retry_after_s=5, should_retry=False if len(channels) > 1 else None)


def _told_by_status(fault: Fault, model: str) -> GatewayError | None:
    """Return the error that keeps an upstream's own class, or None where its status must not be passed on."""
    error = fault.error
    assert isinstance(error, UpstreamStatus)
    if error.status in {401, 403}:
        # Never as 401: the client's key is fine, the channel's is not.
        return UpstreamFailed(
            f"Channel `{fault.slug}` rejected its own credentials ({error.status}). An admin must renew them.",
            code="upstream_auth_error",
            should_retry=False,
        )
    if not 400 <= error.status < 500 and error.status != 529:
        return None
    said = _said(fault, error)
    if error.status in {429, 529}:
        kind = RateLimited if error.status == 429 else Overloaded
        words = f": {said.message}" if said is not None and said.raw_body is None else "."
        told = kind(
            f"Channel `{fault.slug}` is limited by its provider ({error.status}) for `{model}`{words}",
            status=error.status,
            retry_after_s=error.retry_after_s if error.retry_after_s is not None else 1.0,
            headers=told_id(error.headers.items()),
            raw_body=None if said is None else said.raw_body,
        )
        told.is_relayed = True
        return told
    return said


def _said(fault: Fault, error: UpstreamStatus) -> GatewayError | None:
    """Return what the upstream said: inside its stream, or as an error answer."""
    if isinstance(error.__cause__, GatewayError):
        return error.__cause__
    # A page of markup is no error body of any format.
    body = error.body if b"json" in error.content_type else b""
    return fault.passage.refusal(error.status, body, error.headers) if body else None
