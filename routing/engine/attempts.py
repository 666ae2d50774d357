"""Try candidates in order inside one retry budget until an answer may be committed."""

from __future__ import annotations

import asyncio
import time

from analytics.engine.record import AttemptRecord
from channels_app.engine.errors import UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamStatus
from routing.engine.account import Grant
from routing.engine.admission import give_back, give_back_unused, take_for_channel, tell_limits
from routing.engine.call import Call
from routing.engine.document import PolicySpec
from routing.engine.errors import BadRequest, GatewayError, named
from routing.engine.final_error import Fault, final_error
from routing.engine.format import Asked
from routing.engine.gateway import Gateway
from routing.engine.ordering import Ordering
from routing.engine.passage import Passage, passage_to
from routing.engine.resolution import nobody_ready
from routing.engine.retries import RetryBudget
from routing.engine.sending import Committed, send
from routing.engine.snapshot import Candidate, Credential, Snapshot
from routing.engine.states import ChannelState
from routing.engine.verdicts import OutOfTime, Verdicts
from routing.engine.waits import Waits

#: First pause between two rounds over the same candidates; doubles each round.
ROUND_PAUSE_S = 0.2


class Attempt:
    """The tries of one call."""

    def __init__(self, call: Call, gateway: Gateway, snapshot: Snapshot, asked: Asked) -> None:
        self.call = call
        self.gateway = gateway
        self.snapshot = snapshot
        self.asked = asked
        self.policy: PolicySpec = snapshot.document.policy
        self.tenant_id = snapshot.document.tenant_id
        self.ordering = Ordering(call, gateway, snapshot)
        self.budget = RetryBudget(self.policy.attempts, gateway.clock() + self.policy.retry_total_s)
        #: Until when the client waits for an answer to begin, on the monotonic clock; None without a word of it.
        self.deadline_s = _deadline_s(call, gateway.clock())
        self.verdicts = Verdicts(call, gateway, self.ordering, self.budget)
        self.groups: list[list[Candidate]] = []
        self.faults: list[Fault] = []
        #: How long the candidates cannot be tried.
        self.waits = Waits(gateway.states.tenant(self.tenant_id), gateway.clock)
        self.without_credential: list[str] = []
        #: Why candidates cannot carry the request at all.
        self.refusals: list[GatewayError] = []
        self._passages: dict[int, Passage] = {}
        #: The model whose limits have been asked before the first try.
        self._first_model = ""
        #: The groups that were reached, in the strategy's order.
        self.ordered: list[list[Candidate]] = []

    async def run(self, groups: list[list[Candidate]]) -> Committed:
        """Try each group (a model, then its fallbacks) in the strategy's order, in rounds, within the budget.

        Raises:
            GatewayError: no try gave an answer; the class says what the client may do about it.
        """
        self.groups = groups = [group for group in groups if group]
        self._first_model = next((group[0].public_model for group in groups), "")
        self.ordering.name_session(groups)
        ordered = self.ordered
        pause_s = ROUND_PAUSE_S
        while True:
            tries_before = self.budget.tries
            for place, group in enumerate(groups):
                if place == len(ordered):  # a fallback is put in order only when its turn comes
                    ordered.append(await self.ordering.order(group))
                for candidate in ordered[place]:
                    committed = await self._channel(candidate)
                    if committed is not None:
                        return committed
            if self.budget.tries == tries_before or not self._may_go_round(ordered):
                raise self._final_error()
            await asyncio.sleep(pause_s * (0.5 + self.gateway.chance()))
            pause_s *= 2

    async def _channel(self, candidate: Candidate) -> Committed | None:
        """Try one channel with its credentials; None when the next candidate should be tried."""
        channel = candidate.channel
        state = self.gateway.states.of(self.tenant_id, channel)
        if not state.is_known:
            await self.gateway.probing.look(self.tenant_id, channel, state, self.policy, self.gateway.clock())
        passage = await self._passage(candidate)
        if passage is None:
            return None
        for credential in self._credentials(candidate, state):
            grants = await self._leave(candidate, state)
            if grants is None:
                return None
            try:
                committed = await self._try(passage, credential, state, grants)
            except UpstreamError as error:
                self.faults.append(Fault(passage, error))
                self.verdicts.failed(candidate, credential, state, error)
                self.waits.failed(candidate, error, is_resting=self.policy.has_cooldown)
                if not error.is_retryable:
                    raise self._final_error() from error
                if not (isinstance(error, UpstreamStatus) and error.is_about_credential):
                    return None
            else:
                self.verdicts.succeeded(committed, credential, state)
                return committed
        return None

    def _credentials(self, candidate: Candidate, state: ChannelState) -> list[Credential]:
        """Return the credentials to try, the session's own first; none when the channel must not be tried now."""
        known = candidate.channel.credentials
        rested = state.rested(known, self.gateway.clock(), self.ordering.pinned_credential(candidate))
        if not rested:
            detail = "every credential is resting" if known else "its provider limits it"
            self._passed_over(candidate, "cooling_down", detail)
        return rested

    async def _leave(self, candidate: Candidate, state: ChannelState) -> list[Grant] | None:
        """Return what one try took from the channel's limits; None when the channel must not be tried now."""
        if not self._may_try(candidate, state) or self._is_shut(candidate, state):
            return None
        grants, refusal = await take_for_channel(self.call, self.gateway, candidate, self._first_model)
        if refusal is None:
            if await self._admits(candidate, state):
                return grants
            give_back(grants)
            return None
        if refusal.retry_after_s is None:
            self._refused(candidate, refusal)
            self._left_out(candidate, "cannot_carry", refusal.message[:300])
        else:
            self.waits.limited(candidate, refusal.retry_after_s)
            self._left_out(candidate, "limited", refusal.message[:300])
        return None

    def _may_try(self, candidate: Candidate, state: ChannelState) -> bool:
        """Whether the request's budget and the channel's share of retries leave room for a try."""
        now_s = self.gateway.clock()
        if not self.budget.allows(now_s):
            return False
        if not self.budget.tries:
            return True
        if not state.retries.allows_retry(now_s):
            self._left_out(candidate, "retry_budget", "it fails, and has had its share of retries for now")
            return False
        if self.budget.charged_nano_usd and not self.budget.affords(self.ordering.worst_cost(candidate)):
            self._left_out(candidate, "retry_budget", "failed tries may have cost three times a good one already")
            return False
        return True

    def _is_shut(self, candidate: Candidate, state: ChannelState) -> bool:
        """Whether the breaker lets nothing through."""
        if state.breaker.standing(self.policy, self.gateway.clock()) != "open":
            return False
        is_probed = state.breaker.has_trial
        detail = "after failures, another request is trying it" if is_probed else "the breaker is open after failures"
        self._passed_over(candidate, "breaker_open", detail)
        return True

    async def _admits(self, candidate: Candidate, state: ChannelState) -> bool:
        """Whether the breaker lets this try through; half open, it lets one through in all processes."""
        now_s = self.gateway.clock()
        standing = state.breaker.standing(self.policy, now_s)
        probing = self.gateway.probing
        if standing == "closed" or (
            standing == "half_open" and await probing.take(self.tenant_id, candidate.channel, state, self.policy, now_s)
        ):
            return True
        self._passed_over(candidate, "breaker_open", "after failures, another request is trying it")
        return False

    async def _passage(self, candidate: Candidate) -> Passage | None:
        """Return the way to a candidate, the same in every round; None where there is none for this request."""
        passage = self._passages.get(id(candidate))
        if passage is not None:
            return passage
        if candidate.channel.spec.id in self.snapshot.channel_quotas and not await self._is_affordable(candidate):
            return None
        if not self._has_credential(candidate):
            return None
        try:
            passage = self._passages[id(candidate)] = await passage_to(self.call, candidate, self.gateway)
        except GatewayError as refusal:
            self._refused(candidate, refusal)
            self._left_out(candidate, "cannot_carry", refusal.message[:300])
        return passage

    def _has_credential(self, candidate: Candidate) -> bool:
        """Whether the channel has a credential, or needs none."""
        if not candidate.channel.lacks_credential:
            return True
        self.without_credential.append(candidate.channel.spec.slug)
        self._left_out(candidate, "no_credential", "the channel has no credential")
        return False

    async def _try(
        self, passage: Passage, credential: Credential, state: ChannelState, grants: list[Grant]
    ) -> Committed:
        began_s = time.perf_counter()
        error: UpstreamError | None = None
        committed: Committed | None = None
        state.retries.tried(self.gateway.clock(), is_retry=self.budget.tries > 0)
        self.budget.tries += 1
        self.call.tries += 1
        state.begin(credential.slug)
        try:
            committed = await self._send(passage, credential)
            self.call.grants += grants
            tell_limits(self.call.grants, is_refusal=False)
            return committed
        except UpstreamError as caught:
            error = caught
            if isinstance(error, UpstreamStatus) and error.status == 429:
                tell_limits((*grants, *self.call.grants), is_refusal=True)
            give_back_unused(grants)
            raise
        except asyncio.CancelledError:
            self.verdicts.none(passage.candidate, state)
            error = UpstreamError("the client left")
            error.reason = "abandoned"
            give_back_unused(grants)
            raise
        finally:
            if committed is None:
                state.end()
            duration_ms = (time.perf_counter() - began_s) * 1000
            if error is None:
                state.measured(passage.candidate.upstream_model, self.asked.is_stream, duration_ms)
            self.call.attempts.append(
                AttemptRecord(
                    channel=passage.candidate.channel.spec.slug,
                    credential=credential.slug,
                    model=passage.candidate.upstream_model,
                    status=error.status if isinstance(error, UpstreamStatus) else (200 if error is None else None),
                    reason="ok" if error is None else error.reason,
                    detail="" if error is None else str(error)[:300],
                    duration_ms=duration_ms,
                )
            )

    async def _send(self, passage: Passage, credential: Credential) -> Committed:
        if self.deadline_s is None:
            return await send(passage, credential, self.snapshot, self.gateway)
        try:
            async with asyncio.timeout(self.deadline_s - self.gateway.clock()):
                return await send(passage, credential, self.snapshot, self.gateway)
        except TimeoutError as error:
            raise OutOfTime("no answer within the time that the client gives it") from error

    async def _is_affordable(self, candidate: Candidate) -> bool:
        """Reserve from the quotas of the channel itself; a channel that has used its own up is passed over."""
        assert self.gateway.budget is not None
        try:
            await self.gateway.budget.reserve_channel(self.call, candidate)
        except GatewayError as refusal:
            self._refused(candidate, refusal)
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

    def _refused(self, candidate: Candidate, refusal: GatewayError) -> None:
        """Note that a candidate cannot serve this request, however long it waits."""
        self.refusals.append(refusal)
        self.waits.unable(candidate)

    def _passed_over(self, candidate: Candidate, reason: str, detail: str) -> None:
        self._left_out(candidate, reason, f"{detail}; next try in {self.waits.of(candidate):.0f} s")

    def _left_out(self, candidate: Candidate, reason: str, detail: str) -> None:
        self.call.attempts.append(
            AttemptRecord(
                channel=candidate.channel.spec.slug, model=candidate.upstream_model, reason=reason, detail=detail
            )
        )

    def _may_go_round(self, ordered: list[list[Candidate]]) -> bool:
        """Whether another round over the same candidates may help: budget left and a passing fault seen last."""
        now_s, states = self.gateway.clock(), self.gateway.states.tenant(self.tenant_id)
        channel_ids = {candidate.channel.spec.id for group in ordered for candidate in group}
        if not self.faults or not self.budget.allows(now_s):
            return False
        if not any(states[channel_id].retries.allows_retry(now_s) for channel_id in channel_ids):
            return False
        error = self.faults[-1].error
        if isinstance(error, UpstreamStatus):
            return error.status >= 500 or error.status in {408, 425}
        return isinstance(error, UpstreamRefused | UpstreamBroken)

    def _why_waiting(self, count: int) -> str:
        limited = any(attempt.reason == "limited" for attempt in self.call.attempts)
        is_resting = any(attempt.reason in {"cooling_down", "breaker_open"} for attempt in self.call.attempts)
        limit = "at its limit" if count == 1 else "at their limits"
        return " or ".join(["cooling down after errors"] * is_resting + [limit] * limited)

    def _final_error(self) -> GatewayError:
        """Return what the client is told, and when the soonest of all that may serve it is tried again."""
        if not self.faults and self.refusals:
            return self.refusals[0]
        if self.faults:
            # Where nothing rests the next request begins with those that failed, and never comes to the others.
            tried = [[fault.passage.candidate for fault in self.faults]]
            waits_s = self.waits.by_channel(self.groups if self.policy.has_cooldown else tried)
            return final_error(named(self.asked.model), self.faults, min(waits_s, default=0.0))
        waits_s = self.waits.by_channel(self.groups)
        return nobody_ready(self.asked.model, self.without_credential, waits_s, self._why_waiting(len(waits_s)))


def _deadline_s(call: Call, now_s: float) -> float | None:
    """Return until when the client waits for an answer to begin; raises BadRequest for a header that is no number."""
    said = call.header(b"x-routex-timeout-ms")
    if not said:
        return None
    if not said.isdecimal() or len(said) > 9 or not int(said):
        raise BadRequest(f"x-routex-timeout-ms must be a number of milliseconds such as 30000, not `{said[:40]}`.")
    return now_s + (int(said) - call.elapsed_ms()) / 1000
