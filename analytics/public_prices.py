"""The genai-prices package resolved into the price book's plain data; only the control plane imports it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version as installed_version
from typing import Any, Final

import msgspec

from analytics.engine.price_book import Clause, DatedPrice, PricedModel, PriceList
from analytics.engine.pricing import Price, Tier, digest
from channels_app.engine.rates import Rates

PACKAGE: Final = "genai-prices"
#: Goes up when the same package is to be resolved in another way.
RESOLVER: Final = 1

_NANO: Final = Decimal(10**9)
#: The package's word for a rate (USD per million tokens) → ours.
_RATES: Final = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
}
#: USD per thousand pieces.
_PIECES: Final = {"requests_kcount": "request_nano_usd", "web_searches_kcount": "web_search_nano_usd"}
#: Kinds that no answer reports apart: they cost what the kind they are a part of costs.
_WITHIN_OTHERS: Final = frozenset(
    {"cache_audio_read_mtok", "cache_image_read_mtok", "input_video_mtok", "output_video_mtok"}
    | {"output_citation_mtok", "storage_searches_kcount"}
)
_TEXTS: Final = {
    "ClauseEquals": ("equals", "equals"),
    "ClauseStartsWith": ("starts", "starts_with"),
    "ClauseEndsWith": ("ends", "ends_with"),
    "ClauseContains": ("contains", "contains"),
}
_GROUPS: Final = {"ClauseOr": ("any", "or_"), "ClauseAnd": ("all", "and_")}


def source() -> str:
    """Return which package, resolved how, a book made now would be from; cheap, nothing is imported."""
    return f"{PACKAGE}-{installed_version(PACKAGE)}-r{RESOLVER}"


def resolve() -> tuple[str, bytes]:
    """Return the version and the body of the book that the installed package makes; takes about a second."""
    # The package and its pydantic weigh 60 MB, which no process but the one that resolves should carry.
    from genai_prices.data import providers  # noqa: PLC0415

    lists = {provider.id: _list(provider) for provider in providers}
    body = msgspec.json.encode({"lists": lists})
    return f"{PACKAGE}-{installed_version(PACKAGE)}-{digest(lists)}", body


def _list(provider: Any) -> PriceList:
    return PriceList(tuple(_model(model) for model in provider.models), tuple(provider.fallback_model_providers or ()))


def _model(model: Any) -> PricedModel:
    if isinstance(model.prices, list):
        dated = tuple(
            msgspec.structs.replace(_when(entry.constraint), price=_price(model.id, entry.prices))
            for entry in model.prices
        )
    else:
        dated = (DatedPrice(_price(model.id, model.prices)),)
    return PricedModel(model.id, _clause(model.match), dated)


def _when(constraint: Any) -> DatedPrice:
    if constraint is None:
        return DatedPrice()
    if hasattr(constraint, "start_date"):
        start = dt.datetime.combine(constraint.start_date, dt.time(), dt.UTC)
        return DatedPrice(from_s=int(start.timestamp()))
    return DatedPrice(daily_s=(_second_of_day(constraint.start_time), _second_of_day(constraint.end_time)))


def _second_of_day(time: dt.time) -> int:
    moment = dt.datetime.combine(dt.date(1970, 1, 2), time, time.tzinfo or dt.UTC).astimezone(dt.UTC)
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def _clause(clause: Any) -> Clause:
    kind = type(clause).__name__
    if kind in _TEXTS:
        how, name = _TEXTS[kind]
        return Clause(how, getattr(clause, name).lower())  # type: ignore[arg-type]
    if kind in _GROUPS:
        how, name = _GROUPS[kind]
        return Clause(how, of=tuple(map(_clause, getattr(clause, name))))  # type: ignore[arg-type]
    return Clause("regex", clause.regex)


def _price(model_id: str, given: Any) -> Price | None:
    """Return a price; None where what is charged for is something that Routex does not count, or is not said."""
    named = {name: value for name, value in vars(given).items() if value is not None}
    if not named:
        return Price(Rates(), ()) if model_id.endswith(":free") else None
    if not named.keys() & {"input_mtok", "requests_kcount"} or named.keys() - {*_RATES, *_PIECES, *_WITHIN_OTHERS}:
        return None
    pieces = {ours: _nano(_base(named[name]) / 1000) for name, ours in _PIECES.items() if name in named}
    return Price(
        _rates_at(named, 0),
        tuple(Tier(start, _rates_at(named, start + 1)) for start in sorted(set(_starts(named)))),
        pieces.get("request_nano_usd", 0),
        pieces.get("web_search_nano_usd", 0),
    )


def _rates_at(named: dict[str, Any], input_tokens: int) -> Rates:
    return Rates(**{ours: _nano(_at(named[name], input_tokens)) for name, ours in _RATES.items() if name in named})


def _at(price: Any, input_tokens: int) -> Decimal:
    """Return a rate for a prompt of that size: the last tier that it is above."""
    found = _base(price)
    for tier in getattr(price, "tiers", ()):
        if input_tokens > tier.start:
            found = tier.price
    return found


def _starts(named: dict[str, Any]) -> Iterator[int]:
    for price in named.values():
        yield from (tier.start for tier in getattr(price, "tiers", ()))


def _base(price: Any) -> Decimal:
    base: Decimal = getattr(price, "base", price)
    return base


def _nano(usd: Decimal) -> int:
    return int((usd * _NANO).to_integral_value(ROUND_HALF_UP))
