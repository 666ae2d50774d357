"""What this process remembers of channels: breaker, resting credentials, requests in flight, speed, retries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from routing.engine.breaker import Breaker
from routing.engine.retries import RetryWindow
from routing.engine.rounds import Round
from routing.engine.snapshot import MAX_REMEMBERED_CHARS, Channel, Credential

#: How much of the newest measurement goes into the average.
NEWEST_SHARE = 0.2
#: Models whose speed is remembered per channel, and whose turns per tenant; the oldest are forgotten.
MAX_MODELS = 500
#: Stands for the credential of a channel that needs none.
NO_CREDENTIAL = Credential("", "")


@dataclass(slots=True)
class CredentialState:
    """What is known of one credential, or of the nameless one of a channel that needs none."""

    resting_until_s: float = 0.0
    #: Share of its allowance that is left, 0 to 1, as its provider said last.
    left: float = 1.0
    #: The count of the channel's tries when it was used last.
    used_at: int = -1


@dataclass(slots=True)
class ChannelState:
    """One channel."""

    breaker: Breaker = field(default_factory=Breaker)
    credentials: dict[str, CredentialState] = field(default_factory=dict)
    retries: RetryWindow = field(default_factory=RetryWindow)
    #: Tries that this process has sent there, and those whose answer is not over.
    tries: int = 0
    in_flight: int = 0
    #: Tries as `least_used` counts them: a channel that is new begins where the others are. None until it is looked at.
    used: float | None = None
    #: (upstream model, is a stream) → milliseconds to the first content, a moving average.
    first_token_ms: dict[tuple[str, bool], float] = field(default_factory=dict)
    #: Whether the shared breaker has been asked about this channel since the process began.
    is_known: bool = False

    def credential(self, slug: str) -> CredentialState:
        """Return the state of a credential."""
        state = self.credentials.get(slug)
        if state is None:
            state = self.credentials[slug] = CredentialState()
        return state

    def rested(self, credentials: Sequence[Credential], now_s: float, pinned: str = "") -> list[Credential]:
        """Return the credentials that may be used now: the session's own, then those with most left, longest idle.

        A channel without any is tried with none, and rests as one does.
        """
        if len(credentials) < 2:
            credential = credentials[0] if credentials else NO_CREDENTIAL
            return [] if self.is_resting(credential.slug, now_s) else [credential]
        awake = [(self.credential(c.slug), c) for c in credentials]
        awake = [(state, c) for state, c in awake if state.resting_until_s <= now_s]
        # Providers report the rest to the last token: a tenth is what tells pools apart without making them flap.
        awake.sort(key=lambda each: (each[1].slug != pinned, -int(each[0].left * 10), each[0].used_at))
        return [c for _, c in awake]

    def begin(self, credential: str) -> None:
        """A try goes out."""
        self.tries += 1
        self.in_flight += 1
        if self.used is not None:
            self.used += 1
        if credential:
            self.credential(credential).used_at = self.tries

    def end(self) -> None:
        """The answer to a try is over."""
        self.in_flight -= 1

    def rest(self, slug: str, until_s: float) -> None:
        """Let a credential rest; of two reasons the one that holds longer counts."""
        state = self.credential(slug)
        state.resting_until_s = max(state.resting_until_s, until_s)

    def is_resting(self, slug: str, now_s: float) -> bool:
        """Whether a credential rests."""
        state = self.credentials.get(slug)
        return state is not None and state.resting_until_s > now_s

    def measured(self, model: str, is_stream: bool, ms: float) -> None:
        """Take a time to the first content into the average."""
        known = self.first_token_ms
        key = (model[:MAX_REMEMBERED_CHARS], is_stream)
        before = known.get(key)
        known[key] = ms if before is None else before + NEWEST_SHARE * (ms - before)
        if len(known) > MAX_MODELS:
            del known[next(iter(known))]

    def speed(self, model: str, is_stream: bool) -> float | None:
        """Return the milliseconds to the first content as they were lately; None for what was never measured."""
        return self.first_token_ms.get((model[:MAX_REMEMBERED_CHARS], is_stream))

    def ready_at_s(self, credentials: Sequence[Credential]) -> float:
        """Return when the channel may be tried again: the breaker's time, or the first credential's."""
        states = self.credentials
        slugs = [credential.slug for credential in credentials or (NO_CREDENTIAL,)]
        waking = min(states[slug].resting_until_s if slug in states else 0.0 for slug in slugs)
        return max(self.breaker.open_until_s, waking)


class TenantStates(dict[str, ChannelState]):
    """The channels of one tenant by their ids, and whose turn it is for each of its models."""

    def __init__(self) -> None:
        super().__init__()
        #: Model → requests so far.
        self._turns: dict[str, int] = {}
        #: Model, channels and their weights → whose turn it is among them.
        self._rounds: dict[tuple[str, tuple[str, ...], tuple[int, ...]], Round] = {}

    def __missing__(self, channel_id: str) -> ChannelState:
        state = self[channel_id] = ChannelState()
        return state

    def next_turn(self, model: str) -> int:
        """Return how many times this was asked before for the model."""
        turn = self._turns.pop(model, 0)
        self._turns[model] = turn + 1
        if len(self._turns) > MAX_MODELS:
            del self._turns[next(iter(self._turns))]
        return turn

    def round(self, model: str, channel_ids: tuple[str, ...], weights: tuple[int, ...]) -> Round:
        """Return whose turn it is for the model among channels of these weights."""
        key = (model, channel_ids, weights)
        found = self._rounds.get(key)
        if found is None:
            found = self._rounds[key] = Round(weights)
            if len(self._rounds) > MAX_MODELS:
                del self._rounds[next(iter(self._rounds))]
        return found


class ChannelStates:
    """The states of all channels that this process has used, by tenant."""

    def __init__(self) -> None:
        self._tenants: dict[str, TenantStates] = {}

    def tenant(self, tenant_id: str) -> TenantStates:
        """Return the states of a tenant's channels."""
        states = self._tenants.get(tenant_id)
        if states is None:
            states = self._tenants[tenant_id] = TenantStates()
        return states

    def of(self, tenant_id: str, channel: Channel) -> ChannelState:
        """Return the state of a tenant's channel."""
        return self.tenant(tenant_id)[channel.spec.id]
