"""Worst case: the most that a request may use of what quotas count, and what that may cost (ADR 13)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from analytics.engine.pricing import Price, worst_cost
from analytics.engine.record import AttemptRecord
from routing.engine.body import read_any
from routing.engine.call import Call
from routing.engine.errors import Unavailable
from routing.engine.estimate import input_tokens
from routing.engine.output_cap import whole_numbers
from routing.engine.snapshot import Candidate
from tenants.engine.limits import QuotaSpec
from tenants.engine.quota import quota_name

#: Who may serve a request, by groups, and the prices among them.
Serving = tuple[list[list[Candidate]], tuple[Price, ...]]

#: An answer of fewer tokens than this is of no use, unless its request asks for no more.
LEAST_OUTPUT_TOKENS: Final = 16
#: Tokens that a form, whose contents nobody has read yet, counts as at least; and the bytes of recorded speech that
#: are a token, of the closest codecs.
FORM_TOKENS: Final = 4096
FORM_TOKEN_BYTES: Final = 32
#: What input may have that is not in the request, or cannot be told from its bytes: the context of today's models.
UNSEEN_TOKENS: Final = 1_048_576
#: How far the estimate of a prompt may be off: a quarter, and what a short one has besides.
INPUT_MARGIN_TOKENS: Final = 64
_IMAGE_TOKENS: Final = 1600


@dataclass(slots=True)
class Worst:
    """The most that a request may use: tokens in, tokens out for each of `choices` answers, at the dearest price.

    `unseen_tokens` are in beside `input_tokens` where a part of the input lies elsewhere.
    """

    input_tokens: int
    output_tokens: int
    choices: int
    prices: tuple[Price, ...]
    #: An answer of fewer tokens than this is of no use.
    useful_tokens: int = LEAST_OUTPUT_TOKENS
    unseen_tokens: int = 0
    #: The most that it may cost in nano-USD, once somebody asked.
    _nano_usd: int | None = None

    @property
    def least_output(self) -> int:
        """Return how short an answer may be made at most."""
        return min(self.useful_tokens, self.output_tokens)

    def seen(self) -> Worst:
        """Return the same without what nobody can see here."""
        return replace(self, unseen_tokens=0, _nano_usd=None)

    def of(self, kind: str, output_tokens: int | None = None) -> int:
        """Return it as a quota of that kind counts it, perhaps with a shorter answer."""
        if kind == "requests":
            return 1
        if kind == "usd" and output_tokens is None:
            if self._nano_usd is None:
                self._nano_usd = self._cost(self.output_tokens)
            return self._nano_usd
        output = self.output_tokens if output_tokens is None else output_tokens
        return self._cost(output) if kind == "usd" else self._asked + output * self.choices

    def shorten(self, output_tokens: int) -> None:
        """Go by a shorter answer from now on."""
        self.output_tokens, self._nano_usd = output_tokens, None

    def output_for(self, kind: str, amount: int) -> int:
        """Return the longest answer that an amount is enough for, in tokens."""
        low, high = 0, self.output_tokens
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.of(kind, middle) <= amount else (low, middle - 1)
        return low

    @property
    def _asked(self) -> int:
        return self.input_tokens + self.unseen_tokens

    def _cost(self, output_tokens: int) -> int:
        output = output_tokens * self.choices
        return max([worst_cost(self._asked, output, price) for price in self.prices], default=0)


def priced(call: Call, groups: list[list[Candidate]], specs: Iterable[QuotaSpec]) -> Serving:
    """Return the candidates whose cost is known, where a quota counts money: money is never spent unseen."""
    assert call.snapshot is not None
    at_s, price_now = call.started_us / 1e6, call.snapshot.price_now
    prices = call.snapshot.prices_of(groups, at_s)
    if None not in prices:
        return groups, prices  # type: ignore[return-value]
    offers = [[(each, price_now(each, at_s)) for each in group] for group in groups]
    spec = next((spec for spec in specs if spec.kind == "usd"), None)
    known = tuple(price for price in prices if price is not None)
    if spec is None:
        return groups, known
    for each in (each for group in offers for each, price in group if price is None):
        slug, model = each.channel.spec.slug, each.upstream_model
        if not known:
            raise Unavailable(
                f"Nobody knows what `{model}` costs, and the {quota_name(spec).lower()} counts it. Set `prices` "
                f"for it on channel `{slug}`, or use a model that has a price.",
                code="unpriced_model",
                should_retry=False,
            )
        detail = "the model has no price, and a budget counts its cost"
        call.attempts.append(AttemptRecord(channel=slug, model=model, reason="unpriced", detail=detail))
    return [[each for each, price in group if price is not None] for group in offers], known


def worst_case(
    call: Call, groups: list[list[Candidate]], prices: tuple[Price, ...], default_output_tokens: int | None
) -> Worst:
    """Return the most that a request may use, and note on its decision what that may cost.

    `default_output_tokens` stands for what an answer may have whose request does not limit it; None: all that the
    model can write.
    """
    assert call.asked is not None and call.snapshot is not None
    form = call.format
    unseen = 0
    if call.upload is not None:
        size = call.upload.declared_size
        tokens = max(FORM_TOKENS, (size or 0) // FORM_TOKEN_BYTES)
        unseen = UNSEEN_TOKENS if size is None else 0
    else:
        tokens = min(input_tokens(call) * 5 // 4 + INPUT_MARGIN_TOKENS, len(call.body))
        # What is only linked costs what the picture costs, not its link.
        tokens += _IMAGE_TOKENS * (call.body.count(b'image_url"') + call.body.count(b'"image"'))
        unseen = UNSEEN_TOKENS if _has_unseen_input(call) else 0
    members = call.asked.members
    has_output = call.is_conversation or form.has_output
    output = 0
    if has_output and not (output := min(whole_numbers(members, form.output_limits), default=0)):
        output = default_output_tokens or call.snapshot.most_output(groups, call.operations, len(call.body))
    worst = Worst(
        tokens,
        output,
        max(whole_numbers(members, form.choice_counts), default=1),
        prices,
        max(whole_numbers(members, form.output_floors), default=0) + LEAST_OUTPUT_TOKENS,
        unseen,
    )
    if worst.prices:
        call.decision.worst_cost_nano_usd = max(worst.of("usd"), call.decision.worst_cost_nano_usd or 0)
    return worst


def _has_unseen_input(call: Call) -> bool:
    """Whether a part of the input lies with the upstream or behind a link, or is a document of so many pages."""
    assert call.asked is not None
    form, members = call.format, call.asked.members
    return any(name in members and read_any(members, name) is not None for name in form.kept_input) or any(
        mark in call.body for mark in form.unread_input
    )
