"""How each try ended, told to all that learn from it: breaker, credential, session, speed and retry budget."""

from __future__ import annotations

import time
from collections.abc import Iterable

from channels_app.engine.errors import UpstreamBroken, UpstreamError, UpstreamStatus, UpstreamTimeout
from routing.engine.allowance import allowance
from routing.engine.call import Call
from routing.engine.gateway import Gateway
from routing.engine.ordering import Ordering
from routing.engine.retries import RetryBudget
from routing.engine.sending import Committed
from routing.engine.snapshot import Candidate, Credential
from routing.engine.states import ChannelState

#: Rest of a credential when the upstream does not say how long.
REST_S = {401: 60.0, 402: 300.0, 403: 60.0, 429: 5.0}
#: Longest rest that an upstream's `retry-after` can ask for; the windows of its allowance may ask for more.
MAX_REST_S = 600.0
#: What a failed try counts as in a channel's speed: it must not look fast by failing at once.
FAILED_MS = 10_000.0


class OutOfTime(UpstreamError):
    """The client waits no longer; it says nothing about the channel."""

    reason = "out_of_time"
    is_retryable = False


class Verdicts:
    """The verdicts on the tries of one call."""

    def __init__(self, call: Call, gateway: Gateway, ordering: Ordering, budget: RetryBudget) -> None:
        self.call = call
        self.gateway = gateway
        self.ordering = ordering
        self.budget = budget
        self.policy, self.tenant_id = ordering.policy, ordering.tenant_id
        self.is_stream = call.asked is not None and call.asked.is_stream

    def succeeded(self, committed: Committed, credential: Credential, state: ChannelState) -> None:
        """Tell the breaker, the session and the credential; the answer is in flight until the call is settled."""
        candidate = committed.candidate
        if state.breaker.succeeded(self.policy):
            self.gateway.probing.closed(self.tenant_id, candidate.channel, self.policy)
        self.call.in_flight = state
        self.call.session_name = self.ordering.answered(candidate, credential)
        if self.policy.has_cooldown:
            self._note_allowance(committed.response.headers, credential, state)

    def _note_allowance(
        self, headers: Iterable[tuple[bytes, bytes]], credential: Credential, state: ChannelState
    ) -> None:
        """Let a credential rest of which its provider says that nothing is left."""
        told = allowance(headers, time.time())
        if told is not None:
            state.credential(credential.slug).left = told.left
            if told.rest_s:
                state.rest(credential.slug, self.gateway.clock() + told.rest_s)

    def failed(self, candidate: Candidate, credential: Credential, state: ChannelState, error: UpstreamError) -> None:
        """Tell the breaker or the credential."""
        now_s = self.gateway.clock()
        if isinstance(error, OutOfTime):
            self.none(candidate, state)
        elif isinstance(error, UpstreamStatus) and error.is_about_credential:
            self.none(candidate, state)
            # Without a credential only the provider's limits can pass by themselves; a refusal is told as it is.
            if self.policy.has_cooldown and (credential.slug or error.status == 429):
                asked_s = error.retry_after_s if error.retry_after_s is not None else REST_S[error.status]
                state.rest(credential.slug, now_s + min(asked_s, MAX_REST_S))
                self._note_allowance(error.headers.items(), credential, state)
        elif isinstance(error, UpstreamStatus) and error.status < 500:
            # The request is at fault, not the channel.
            if state.breaker.succeeded(self.policy):
                self.gateway.probing.closed(self.tenant_id, candidate.channel, self.policy)
        else:
            self._channel_failed(candidate, state, error, now_s)

    def _channel_failed(self, candidate: Candidate, state: ChannelState, error: UpstreamError, now_s: float) -> None:
        state.retries.failed(now_s)
        state.measured(candidate.upstream_model, self.is_stream, FAILED_MS)
        if isinstance(error, UpstreamBroken) or (isinstance(error, UpstreamTimeout) and error.wait != "connect"):
            # It may have begun to answer, and what it began it may charge for.
            self.budget.charge(self.ordering.worst_cost(candidate))
        if state.breaker.failed(self.policy, now_s):
            self.gateway.probing.opened(self.tenant_id, candidate.channel, self.policy)
        elif state.breaker.failures == 1:
            # Others may know more: the next request here looks first.
            state.is_known = False

    def none(self, candidate: Candidate, state: ChannelState) -> None:
        """Nobody knows how it would have ended; a probe gives its right back."""
        if state.breaker.abandoned():
            self.gateway.probing.given_up(self.tenant_id, candidate.channel, self.policy)
