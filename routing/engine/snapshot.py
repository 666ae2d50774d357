"""Snapshot: one tenant's whole routing configuration, immutable, with a version."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any

from analytics.engine.price_book import PriceBook, Prices
from analytics.engine.pricing import Price, overridden
from channels_app.engine.operations import is_conversation
from channels_app.engine.provider import Provider, Timeouts
from routing.engine.document import ChannelSpec, TenantDocument
from tenants.engine.limits import LimitSpec, QuotaSpec

#: Answers about models that a channel remembers.
MAX_OFFERED = 1000
#: Of so many model names a snapshot remembers which limits count; globs let clients ask for any number.
MANY_MODELS = 1000
#: So many answers a snapshot remembers; clients can ask under any number of names.
MANY_ANSWERS = 2000
#: Where a channel serves every name, nothing is remembered under more of a name than this.
MAX_REMEMBERED_CHARS = 200


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential ready to use; `secret` is kept out of every repr."""

    slug: str
    secret: str

    def __repr__(self) -> str:
        return f"Credential({self.slug!r})"


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel ready to use."""

    spec: ChannelSpec
    provider: Provider
    credentials: tuple[Credential, ...]
    timeouts: Timeouts
    #: What hashing strategies mix with a name: the same for a channel in every process and snapshot.
    seed: int = field(init=False, compare=False, repr=False)
    #: What it may be asked with, one after the other: its credentials, or a nameless one where it needs none.
    pool: tuple[Credential, ...] = field(init=False, compare=False, repr=False)
    _offered: dict[tuple[tuple[str, ...], str], str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        digest = blake2b(self.spec.id.encode(), digest_size=8).digest()
        object.__setattr__(self, "seed", int.from_bytes(digest, "big") >> 1)
        object.__setattr__(self, "pool", self.credentials or (Credential("", ""),))
        object.__setattr__(self, "_offered", {})

    @property
    def lacks_credential(self) -> bool:
        """Whether the provider needs a credential and the channel has none."""
        return self.provider.needs_credential and not self.credentials

    def operation(self, operations: tuple[str, ...], model: str) -> str:
        """Return what to ask this channel for a model of its own; "" when it offers none of the operations for it.

        The first one, which is the client's own, wins where it is offered; else the provider's order counts. A channel
        with a format of its own converses in that one only, and still embeds in its provider's.
        """
        found = self._offered.get((operations, model))
        if found is None:
            if len(model) > MAX_REMEMBERED_CHARS:
                return self._operation(operations, model)
            if len(self._offered) >= MAX_OFFERED:  # callers may name any model to a channel with globs
                self._offered.clear()
            found = self._offered[operations, model] = self._operation(operations, model)
        return found

    def _operation(self, operations: tuple[str, ...], model: str) -> str:
        known = [*operations[:1], *(each for each in self.provider.endpoints if each in operations)]
        offered = [each for each in known if self.provider.offers(each, model)]
        own = [each for each in offered if self.spec.format in {"", each.partition(":")[0]}]
        if operations and is_conversation(operations[0]):
            return next(iter(own), "")
        return next(iter(own or offered), "")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to serve a model: a channel and the model's name there."""

    channel: Channel
    public_model: str
    upstream_model: str
    #: The channel lists this very model, not only a glob that matches it.
    is_named: bool = True
    #: Where strategies put it before all else: 0 named, 1 matched by a glob, 2 only when nothing else is left.
    place: int = field(init=False, compare=False, default=0)
    #: 1 / weight, what a weighted draw is raised to.
    share: float = field(init=False, compare=False, default=1.0)
    #: Of the channel, at hand for whoever orders many candidates.
    weight: int = field(init=False, compare=False, default=0)
    channel_id: str = field(init=False, compare=False, default="")

    def __post_init__(self) -> None:
        weight = self.channel.spec.weight
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "channel_id", self.channel.spec.id)
        object.__setattr__(self, "place", 2 if weight <= 0 else int(not self.is_named))
        object.__setattr__(self, "share", 1.0 / weight if weight > 0 else 1.0)

    @property
    def remembered_as(self) -> str:
        """Return the public model as far as things are remembered under it."""
        return self.public_model[:MAX_REMEMBERED_CHARS]

    def operation(self, operations: tuple[str, ...]) -> str:
        """Return what to ask, of the operations that can answer a request; "" when none can."""
        return self.channel.operation(operations, self.upstream_model)


#: Says how many tokens an answer may have at most, for a format, a model and the bytes of a body.
Writer = tuple[Callable[[str, str, int], int], str, str]


def in_order(limits: Iterable[LimitSpec]) -> tuple[LimitSpec, ...]:
    """Return limits in the order they are asked: nobody waits in a queue for a refusal that could be known at once."""
    return tuple(sorted(limits, key=_turn))


def joined(first: tuple[LimitSpec, ...], second: tuple[LimitSpec, ...]) -> tuple[LimitSpec, ...]:
    """Return both in that order; each of them is in it already."""
    if not first or not second or _turn(first[-1]) <= _turn(second[0]):
        return first + second
    return in_order(first + second)


def _turn(spec: LimitSpec) -> int:
    return 2 if spec.algorithm == "leaky_bucket" else int(spec.kind == "concurrency")


class Snapshot:
    """A tenant's configuration with what every request looks up prepared."""

    def __init__(
        self,
        document: TenantDocument,
        channels: Iterable[Channel],
        private_networks: tuple[str, ...] = (),
        prices: Prices | None = None,
    ) -> None:
        self.document = document
        #: Private address ranges that this tenant's channels may reach, the platform's grants included.
        self.private_networks = private_networks
        self.prices = prices or Prices()
        self._priced: dict[tuple[str, str], Price | None] = {}
        self._priced_at: tuple[int, object] = (0, None)
        #: When this process built it, in seconds since the epoch; what model listings show as their date.
        self.created_s = int(time.time())
        self.channels = {channel.spec.slug: channel for channel in channels}
        quotas = document.quotas
        self.has_quotas = bool(quotas)
        self.tenant_quotas = tuple(spec for spec in quotas if spec.scope == "tenant")
        #: By `name=value` of a key's tag, and by the channel's id.
        self.tag_quotas = _by_scope_id(spec for spec in quotas if spec.scope == "tag")
        self.channel_quotas = _by_scope_id(spec for spec in quotas if spec.scope == "channel")
        #: The groups whose prices were asked last, when, by which book, and what they were.
        self._groups_priced: tuple[list[list[Candidate]], int, PriceBook, tuple[Price | None, ...]] | None = None
        #: The groups whose longest answers were asked last, by which operations, and whom to ask.
        self._groups_writing: tuple[list[list[Candidate]], tuple[str, ...], tuple[Writer, ...]] | None = None
        #: What requests have asked of this snapshot before; see `remember`.
        self.remembered: dict[Hashable, Any] = {}
        self._exact: dict[str, tuple[Candidate, ...]] = {}
        self._globs: list[tuple[str, Candidate]] = []
        found: dict[str, list[Candidate]] = {}
        for channel in self.channels.values():
            for model in channel.spec.models:
                candidate = Candidate(channel, model.name, model.upstream)
                if any(mark in model.name for mark in "*?["):
                    self._globs.append((model.name, candidate))
                else:
                    found.setdefault(model.name, []).append(candidate)
        self._exact = {name: tuple(candidates) for name, candidates in found.items()}
        self._index_limits()

    def _index_limits(self) -> None:
        """Sort the limits by what they count for."""
        specs = in_order(self.document.limits)
        self.channel_limits = {
            channel.spec.id: tuple(s for s in specs if s.scope == "channel" and s.scope_id == channel.spec.id)
            for channel in self.channels.values()
        }
        self.channel_slugs = {channel.spec.id: channel.spec.slug for channel in self.channels.values()}
        self._shared_limits = tuple(spec for spec in specs if spec.scope in {"tenant", "model"})
        self._limits_by_model: dict[str, tuple[LimitSpec, ...]] = {}

    def limits_of(self, model: str) -> tuple[LimitSpec, ...]:
        """Return the limits of the tenant and of a public model."""
        if not self._shared_limits:
            return ()
        found = self._limits_by_model.get(model)
        if found is None:
            found = tuple(s for s in self._shared_limits if s.scope == "tenant" or fnmatchcase(model, s.scope_id))
            if len(self._limits_by_model) < MANY_MODELS:
                self._limits_by_model[model] = found
        return found

    def model_limits_of(self, model: str) -> tuple[LimitSpec, ...]:
        """Return the limits of a public model alone."""
        return tuple(spec for spec in self.limits_of(model) if spec.scope == "model")

    @property
    def models(self) -> list[str]:
        """Return the public model names that enabled channels serve, and aliases, sorted; globs are left out."""
        served = {name for name, found in self._exact.items() if any(c.channel.spec.is_enabled for c in found)}
        return sorted(served | set(self.document.aliases))

    def price(self, candidate: Candidate, at_s: float) -> Price | None:
        """Return what a candidate's model costs at a time in seconds since the epoch; None when nobody knows.

        The channel's own prices win over the price book's.
        """
        spec = candidate.channel.spec
        override = spec.price_override(candidate.upstream_model, at_s)
        if override is not None and override.rates is not None:
            return overridden(override, None)
        price_list, model = candidate.channel.provider.priced_as(spec.base_url, candidate.upstream_model)
        price = self.prices.book.price(price_list, model, at_s) if price_list else None
        return price if override is None else overridden(override, price)

    def price_now(self, candidate: Candidate, at_s: float) -> Price | None:
        """Return the same, remembered for the second: for asking about every candidate of every request."""
        version = (int(at_s), self.prices.book)
        if version != self._priced_at:
            self._priced_at = version
            self._priced.clear()
        key = (candidate.channel.spec.id, candidate.upstream_model)
        try:
            return self._priced[key]
        except KeyError:
            price = self._priced[key] = self.price(candidate, at_s)
            return price

    def prices_of(self, groups: list[list[Candidate]], at_s: float) -> tuple[Price | None, ...]:
        """Return the different prices among candidates, remembered for the second as `price_now` is."""
        known = self._groups_priced
        if known is None or known[0] is not groups or known[1] != int(at_s) or known[2] is not self.prices.book:
            found = tuple({self.price_now(each, at_s) for group in groups for each in group})
            known = self._groups_priced = (groups, int(at_s), self.prices.book, found)
        return known[3]

    def most_output(self, groups: list[list[Candidate]], operations: tuple[str, ...], body_bytes: int) -> int:
        """Return how many tokens the answer of any candidate may have, where the request does not limit it."""
        known = self._groups_writing
        if known is None or known[0] is not groups or known[1] != operations:
            writers = {
                (each.channel.spec.provider, each.operation(operations).partition(":")[0], each.upstream_model): each
                for group in groups
                for each in group
            }
            ask = tuple((each.channel.provider.most_output, form, model) for (_, form, model), each in writers.items())
            known = self._groups_writing = (groups, operations, ask)
        return max([most(form, model, body_bytes) for most, form, model in known[2]], default=0)

    def remember(self, key: tuple[Hashable, ...], value: Any) -> None:
        """Keep what follows from this snapshot alone, so that it is worked out once; nobody may change it later.

        Not under names that are longer than any model's: clients could fill the memory with them.
        """
        if any(isinstance(part, str) and len(part) > MAX_REMEMBERED_CHARS for part in key):
            return
        if len(self.remembered) >= MANY_ANSWERS:
            self.remembered.clear()
        self.remembered[key] = value

    def is_named(self, model: str) -> bool:
        """Whether a channel lists this very public model, be it switched off; globs do not count."""
        return model in self._exact

    def candidates(self, model: str) -> tuple[Candidate, ...]:
        """Return every way to serve exactly this public model name, channels that are switched off included."""
        found = self._exact.get(model, ())
        if not self._globs:
            return found
        matched = (
            Candidate(candidate.channel, model, model, is_named=False)
            for glob, candidate in self._globs
            if fnmatchcase(model, glob) and all(candidate.channel is not other.channel for other in found)
        )
        return (*found, *matched)


def _by_scope_id(quotas: Iterable[QuotaSpec]) -> dict[str, tuple[QuotaSpec, ...]]:
    found: dict[str, tuple[QuotaSpec, ...]] = {}
    for spec in quotas:
        found[spec.scope_id] = (*found.get(spec.scope_id, ()), spec)
    return found


def build_snapshot(
    document: TenantDocument,
    *,
    provider: Callable[[str], Provider],
    unseal: Callable[[str], str],
    private_networks: tuple[str, ...] = (),
    prices: Prices | None = None,
) -> Snapshot:
    """Return the snapshot of a document.

    Raises:
        KeyError: a channel names a provider that is not registered here.
        ValueError: a credential cannot be unsealed with the keys at hand.
    """
    return Snapshot(
        document,
        [
            Channel(
                spec=spec,
                provider=provider(spec.provider),
                credentials=tuple(Credential(c.slug, unseal(c.sealed)) for c in spec.credentials),
                timeouts=Timeouts(spec.connect_s, spec.first_byte_s, spec.idle_s, spec.total_s),
            )
            for spec in document.channels
        ],
        private_networks,
        prices,
    )
