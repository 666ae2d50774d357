"""Price: what one model costs at one moment, and what a usage costs at a price, in whole nano-USD."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from analytics.engine.record import Usage
from channels_app.engine.rates import PriceOverride, Rates, scaled

#: Rates are per million tokens: sums are kept in millionths of a nano-USD until the one rounding at their end.
_PER: Final = 1_000_000


class Tier(msgspec.Struct, frozen=True, omit_defaults=True):
    """Other rates for a request whose whole prompt has more than `above` tokens; they hold for all of its tokens."""

    above: int
    rates: Rates


class Price(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one model costs. Amounts are nano-USD, of `rates` per million tokens, of the pieces each.

    A kind that the rates do not name costs what the kind it is a part of costs: cache reads and writes, audio and
    images what input costs, reasoning and output of other kinds what output costs; a write kept for an hour costs what
    one kept for five minutes costs. That is never less than nothing and, with the discounts that providers give for
    cache reads, never too little.
    """

    rates: Rates
    #: By rising `above`.
    tiers: tuple[Tier, ...] = ()
    request_nano_usd: int = 0
    web_search_nano_usd: int = 0
    #: Which price list, in which version, said so.
    version: str = ""

    def rates_for(self, input_tokens: int) -> Rates:
        """Return the rates of a request with a prompt of that size."""
        found = self.rates
        for tier in self.tiers:
            if input_tokens <= tier.above:
                break
            found = tier.rates
        return found


def cost(usage: Usage, price: Price) -> int:
    """Return what a usage costs, in nano-USD, exact and rounded half up once.

    Cached, audio and image tokens are parts of the input, which several providers report otherwise: what the parts
    exceed the whole by is charged as the parts say, and plain input is then none, never less.
    """
    rates = price.rates_for(usage.input_tokens)
    read, write_1h = usage.cache_read_tokens, usage.cache_write_1h_tokens
    write_5m = max(usage.cache_write_tokens - write_1h, 0)
    audio, image = usage.input_audio_tokens, usage.input_image_tokens
    text = max(usage.input_tokens - read - write_5m - write_1h - audio - image, 0)
    total = text * rates.input
    if read:
        total += read * _either(rates.cache_read, rates.input)
    if write_5m:
        total += write_5m * _either(rates.cache_write, rates.input)
    if write_1h:
        total += write_1h * _either(rates.cache_write_1h, _either(rates.cache_write, rates.input))
    if audio:
        total += audio * _either(rates.input_audio, rates.input)
    if image:
        total += image * _either(rates.input_image, rates.input)
    total += _output_cost(usage, rates)
    total += _PER * (price.request_nano_usd + usage.web_searches * price.web_search_nano_usd)
    return (total + _PER // 2) // _PER


def _output_cost(usage: Usage, rates: Rates) -> int:
    """Return the cost of the output in millionths of a nano-USD."""
    total, rest = 0, usage.output_tokens
    # A part without a rate of its own stays among the rest.
    if rates.reasoning is not None:
        total += usage.reasoning_tokens * rates.reasoning
        rest -= usage.reasoning_tokens
    if rates.output_audio is not None:
        total += usage.output_audio_tokens * rates.output_audio
        rest -= usage.output_audio_tokens
    if rates.output_image is not None:
        total += usage.output_image_tokens * rates.output_image
        rest -= usage.output_image_tokens
    return total + max(rest, 0) * rates.output


def worst_cost(input_tokens: int, output_tokens: int, price: Price) -> int:
    """Return the most that a request with so many tokens at most can cost, in nano-USD, rounded up.

    Every token counts as the dearest kind, at the dearest rates that the prompt's size may lead to. Searches that the
    provider's own tools make are left out: nothing bounds their number.
    """
    input_rate, output_rate = _dearest_input(price.rates), _dearest_output(price.rates)
    for tier in price.tiers:
        if input_tokens > tier.above:
            input_rate = max(input_rate, _dearest_input(tier.rates))
            output_rate = max(output_rate, _dearest_output(tier.rates))
    total = input_tokens * input_rate + output_tokens * output_rate
    return price.request_nano_usd - (-total // _PER)


def _dearest_input(rates: Rates) -> int:
    return max(
        rates.input, rates.cache_read or 0, rates.cache_write or 0, rates.cache_write_1h or 0, rates.input_audio or 0,
        rates.input_image or 0,
    )  # fmt: skip


def _dearest_output(rates: Rates) -> int:
    return max(rates.output, rates.reasoning or 0, rates.output_audio or 0, rates.output_image or 0)


def _either(rate: int | None, other: int) -> int:
    """Return a rate, or the other one where it is not named."""
    return other if rate is None else rate


@lru_cache(maxsize=4096)
def overridden(override: PriceOverride, book: Price | None) -> Price | None:
    """Return a model's price under a channel's override; None where it is a factor of a price that nobody knows."""
    base = book
    if override.rates is not None:
        base = Price(
            override.rates,
            request_nano_usd=override.request_nano_usd,
            web_search_nano_usd=override.web_search_nano_usd,
        )
    if base is None:
        return None
    factor = override.multiplier_millionths
    return Price(
        base.rates.times(factor),
        tuple(Tier(tier.above, tier.rates.times(factor)) for tier in base.tiers),
        scaled(base.request_nano_usd, factor),
        scaled(base.web_search_nano_usd, factor),
        "+".join(filter(None, (base.version, f"channel:{digest(override)}"))),
    )


def digest(value: object) -> str:
    """Return eight characters that stand for a value's content."""
    return blake2b(msgspec.json.encode(value), digest_size=4).hexdigest()
