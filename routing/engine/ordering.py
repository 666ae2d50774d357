"""In which order the candidates of one request are tried: the session's own channel first, then the strategy's."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from analytics.engine.pricing import cost, worst_cost
from analytics.engine.record import Usage
from routing.engine.call import Call
from routing.engine.decision import CandidateTrace
from routing.engine.decoding import conversation
from routing.engine.errors import GatewayError
from routing.engine.estimate import input_tokens
from routing.engine.gateway import Gateway
from routing.engine.messages import ChatRequest
from routing.engine.session import begun_id, conversation_of
from routing.engine.sessions import Name, Pin
from routing.engine.snapshot import Candidate, Credential, Snapshot
from routing.engine.states import TenantStates
from routing.engine.strategies import STRATEGIES
from routing.engine.strategy import Ranked, Situation, Strategy

#: A session leaves a credential that rests longer than this; for a moment's rest it only makes a detour.
MOMENT_S = 5.0
#: How long providers keep a prompt cached unless told otherwise.
CACHE_S = 300.0
#: Tokens of output that a request is reckoned with where nobody knows better, and the members that limit them.
USUAL_OUTPUT_TOKENS = 1000
_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


class Ordering:
    """Orders the groups of one call, and remembers where its session was answered."""

    def __init__(self, call: Call, gateway: Gateway, snapshot: Snapshot) -> None:
        self.call = call
        self.gateway = gateway
        self.snapshot = snapshot
        self.policy = snapshot.document.policy
        self.tenant_id = snapshot.document.tenant_id
        self.states: TenantStates = gateway.states.tenant(self.tenant_id)
        self._session = ""
        self._pins: dict[str, Pin] = {}
        #: Models whose session only makes a detour: it stays pinned where it was.
        self._detours: set[str] = set()
        call.decision.strategy = self.policy.strategy

    def name_session(self, groups: Sequence[Sequence[Candidate]]) -> None:
        """Find out which session the call belongs to; one without a name costs something, so only where it matters."""
        call = self.call
        if not (self.policy.is_session_enabled and call.is_conversation and _has_choice(groups)):
            return
        call.session_id = call.session_id or begun_id(call)
        self._session = conversation_of(call)
        call.decision.session = self._session

    async def order(self, group: Sequence[Candidate]) -> list[Candidate]:
        """Return a group's candidates, the one to try first at the front."""
        model = group[0].remembered_as
        if self._session:
            pin = await self.gateway.sessions.find(self.tenant_id, (self._session, model))
            if pin is not None:
                self._pins[model] = pin
        strategy = STRATEGIES[self.policy.strategy]
        if len(group) == 1:
            ranked = [Ranked(group[0], 0.0)]
        else:
            ranked = strategy.order(group, self._situation(model))
        pinned = self._pinned(group)
        if pinned is not None and ranked[0].candidate is not pinned:
            ranked.sort(key=lambda each: each.candidate is not pinned)
        self.call.untold.append(lambda: self._trace(ranked, strategy, pinned))
        return [each.candidate for each in ranked]

    def pinned_credential(self, candidate: Candidate) -> str:
        """Return the credential that the session used on a candidate's channel, "" for none."""
        pin = self._pins.get(candidate.remembered_as)
        return pin.credential if pin is not None and pin.channel_id == candidate.channel.spec.id else ""

    def answered(self, candidate: Candidate, credential: Credential) -> Name | None:
        """Keep the session where its request was answered; return its name, None where there is no session."""
        model, channel_id = candidate.remembered_as, candidate.channel.spec.id
        if not self._session or model in self._detours:
            return None
        before = self._pins.get(model)
        if before is not None and before.channel_id != channel_id and self.call.decision.stickiness == "kept":
            self.call.decision.stickiness = "moved"
        name = (self._session, model)
        sessions = self.gateway.sessions
        sessions.pin(self.tenant_id, name, channel_id, credential.slug, self.policy.session_ttl_s)
        sessions.clean_every(self.tenant_id, self.policy.session_cleanup_interval_s)
        return name

    def worst_cost(self, candidate: Candidate) -> int | None:
        """Return the most that a try at a candidate may cost, in nano-USD; None without a price."""
        price = self.snapshot.price(candidate, time.time())
        return None if price is None else worst_cost(input_tokens(self.call), self._output_tokens(), price)

    # --- sessions ------------------------------------------------------------------------------------------------

    def _pinned(self, group: Sequence[Candidate]) -> Candidate | None:
        """Return the candidate that the session is to stay on, and say on the call why when there is none."""
        if not self._session:
            return None
        model = group[0].remembered_as
        pin = self._pins.get(model)
        if pin is None:
            self._say("new")
            return None
        candidate = next((each for each in group if each.channel.spec.id == pin.channel_id), None)
        reason = self._why_leave(pin, candidate)
        if reason:
            del self._pins[model]
            self._say(f"unpinned:{reason}")
            self.gateway.sessions.unpin(self.tenant_id, (self._session, model))
            return None
        if not self.policy.is_session_sticky or candidate is None:
            self._say("off" if candidate is not None else "elsewhere")
            return None
        if self.states[pin.channel_id].is_resting(pin.credential, self.gateway.clock()):
            self._detours.add(model)
        self._say("kept")
        return candidate

    def _why_leave(self, pin: Pin, candidate: Candidate | None) -> str:
        """Return why a session must leave its channel, "" when it may stay."""
        if candidate is None:
            return self._why_missing(pin.channel_id)
        state, now_s = self.states[pin.channel_id], self.gateway.clock()
        if state.breaker.standing(self.policy, now_s) != "closed":
            return "breaker_open"
        return "credential_resting" if state.is_resting(pin.credential, now_s + MOMENT_S) else ""

    def _why_missing(self, channel_id: str) -> str:
        channel = next((c for c in self.snapshot.channels.values() if c.spec.id == channel_id), None)
        if channel is None:
            return "channel_gone"
        if not channel.spec.is_enabled:
            return "channel_disabled"
        assert self.call.principal is not None
        # Else a rule or the client itself has chosen among other channels: this request goes there, the pin with it.
        return "" if self.call.principal.may_use_channel(channel.spec.slug) else "not_permitted"

    def _say(self, stickiness: str) -> None:
        self.call.decision.stickiness = self.call.decision.stickiness or stickiness

    # --- what strategies look at ---------------------------------------------------------------------------------

    def _situation(self, model: str) -> Situation:
        call, gateway = self.call, self.gateway
        pin = self._pins.get(model)
        return Situation(
            chance=gateway.chance,
            now_s=gateway.clock(),
            states=self.states,
            client_address=call.client_address,
            session=self._session or call.session_id,
            key_id=call.principal.key_id if call.principal is not None else "",
            model=model,
            is_stream=call.asked is not None and call.asked.is_stream,
            operations=call.operations,
            cost=lambda candidate: self._cost(candidate, pin),
            conversation=self._conversation,
        )

    def _cost(self, candidate: Candidate, pin: Pin | None) -> int | None:
        """Return what the request would cost at a candidate: what its cache holds is read at the cached price."""
        now_s = time.time()
        price = self.snapshot.price(candidate, now_s)
        if price is None:
            return None
        tokens = input_tokens(self.call)
        cached = 0
        if pin is not None and pin.channel_id == candidate.channel.spec.id and now_s - pin.used_s < CACHE_S:
            cached = min(pin.cached_tokens, tokens)
        usage = Usage(input_tokens=tokens, cache_read_tokens=cached, output_tokens=self._output_tokens())
        return cost(usage, price)

    def _output_tokens(self) -> int:
        assert self.call.asked is not None
        values = self.call.asked.members.values
        for name in _OUTPUT_LIMITS:
            if name in values:
                try:
                    return min(USUAL_OUTPUT_TOKENS, msgspec.json.decode(values[name], type=int))
                except msgspec.MsgspecError:
                    break
        return USUAL_OUTPUT_TOKENS

    def _conversation(self) -> ChatRequest | None:
        if not self.call.is_conversation:
            return None
        try:
            return conversation(self.call)
        except GatewayError:
            return None  # whoever speaks the client's format may still judge it

    def _trace(self, ranked: Sequence[Ranked], strategy: Strategy, pinned: Candidate | None) -> None:
        """Note the order on the call; ranks go on over all of its groups."""
        traces = self.call.decision.candidates
        words = strategy.words if len(ranked) > 1 else _nothing
        first = 1 + sum([trace.rank > 0 for trace in traces])
        for rank, (candidate, number) in enumerate([(e.candidate, e.number) for e in ranked], first):
            said = "the session's own" if candidate is pinned else words(number)
            traces.append(CandidateTrace(candidate.channel.spec.slug, candidate.upstream_model, rank, said))


def _nothing(number: float) -> str:
    return ""


def _has_choice(groups: Sequence[Sequence[Candidate]]) -> bool:
    """Whether it makes a difference where a request goes: more than one channel, or a pool of credentials."""
    return sum(map(len, groups)) > 1 or any(len(each.channel.credentials) > 1 for group in groups for each in group)
