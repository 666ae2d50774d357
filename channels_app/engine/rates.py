"""Rates: what each kind of token costs, and the rates that a channel sets over the price book's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from tenants.engine.money import nano_usd

MILLION: Final = 1_000_000
#: Highest multiplier; it is there to catch a percentage written for a factor.
MAX_MULTIPLIER: Final = 1000
_GLOB_MARKS: Final = frozenset("*?[")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class Rates(msgspec.Struct, frozen=True, omit_defaults=True):
    """Nano-USD per million tokens of each kind; None where a price list does not name the kind."""

    input: int = 0
    output: int = 0
    cache_read: int | None = None
    #: Kept for five minutes, and for an hour.
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    input_image: int | None = None
    output_image: int | None = None

    def times(self, millionths: int) -> Rates:
        """Return every rate multiplied, rounded half up to a nano-USD per million tokens."""
        rates = msgspec.structs.asdict(self)
        return Rates(**{kind: scaled(rate, millionths) for kind, rate in rates.items() if rate is not None})


class PriceOverride(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a channel says about the price of a model: rates of its own, a factor, or both."""

    #: The upstream's name of the model, or a glob.
    model: str
    #: In force from this moment on, in seconds since the epoch.
    from_s: int = 0
    #: None: those of the price book, which `multiplier_millionths` then changes.
    rates: Rates | None = None
    request_nano_usd: int = 0
    web_search_nano_usd: int = 0
    multiplier_millionths: int = MILLION

    @property
    def is_glob(self) -> bool:
        """Whether `model` stands for many."""
        return not _GLOB_MARKS.isdisjoint(self.model)


#: What an override may be written with: token kinds, and what is counted by the piece.
TOKEN_FIELDS: Final = {f"{kind}_usd_per_mtok": kind for kind in Rates.__struct_fields__}
PIECE_FIELDS: Final = {"request_usd": "request_nano_usd", "web_search_usd": "web_search_nano_usd"}
_KNOWN: Final = (*TOKEN_FIELDS, *PIECE_FIELDS, "multiplier", "from")


def read_overrides(prices: Mapping[str, Any]) -> tuple[PriceOverride, ...]:
    """Return a channel's `prices` as values: {model or glob: entry, or a list of entries with different `from`}.

    They come in the order in which they are to be looked through: names before globs, and of one name the latest
    `from` first.

    Raises:
        ValueError: an entry cannot be used; the message says which one and what to write instead.
    """
    overrides = [
        _read_entry(model, entry)
        for model, given in prices.items()
        for entry in (given if isinstance(given, list) else [given])
    ]
    for model in prices:
        moments = [override.from_s for override in overrides if override.model == model]
        if not moments:
            raise ValueError(f"the price of {model!r} is an empty list; leave the model out instead")
        if len(set(moments)) < len(moments):
            raise ValueError(f"two prices of {model!r} begin at the same time; give each its own `from`")
    return tuple(sorted(overrides, key=lambda each: (each.is_glob, list(prices).index(each.model), -each.from_s)))


def _read_entry(model: str, entry: Any) -> PriceOverride:
    if not isinstance(entry, dict) or not entry:
        raise ValueError(
            f'the price of {model!r} looks like {{"input_usd_per_mtok": "1.25", "output_usd_per_mtok": "10"}} '
            'or {"multiplier": "1.5"}'
        )
    for name in entry:
        if name not in _KNOWN:
            raise ValueError(f"{name!r} of {model!r} is no price; known are: {', '.join(_KNOWN)}")
    rates = {kind: _amount(model, name, entry[name]) for name, kind in TOKEN_FIELDS.items() if name in entry}
    pieces = {field: _amount(model, name, entry[name]) for name, field in PIECE_FIELDS.items() if name in entry}
    if (rates or pieces) and not {"input", "output"} <= rates.keys():
        raise ValueError(
            f"the price of {model!r} needs both input_usd_per_mtok and output_usd_per_mtok; "
            'write "0" where nothing is charged'
        )
    if not rates and "multiplier" not in entry:
        raise ValueError(f"the price of {model!r} has a date and no price; add input_usd_per_mtok or multiplier")
    return PriceOverride(
        model=model,
        from_s=_moment_s(model, entry["from"]) if "from" in entry else 0,
        rates=Rates(**rates) if rates else None,
        multiplier_millionths=_millionths(model, entry["multiplier"]) if "multiplier" in entry else MILLION,
        **pieces,
    )


def _amount(model: str, name: str, amount: Any) -> int:
    if not _is_exact(amount):
        raise ValueError(f'{name} of {model!r}: write the amount as a string, for example "1.25"')
    try:
        return nano_usd(amount)
    except ValueError as error:
        raise ValueError(f"{name} of {model!r}: {str(error).rstrip('.')}") from None


def _millionths(model: str, multiplier: Any) -> int:
    if not _is_exact(multiplier):
        raise ValueError(f'multiplier of {model!r}: write it as a string, for example "1.5"')
    try:
        millionths = Decimal(multiplier) * MILLION
    except InvalidOperation:
        raise ValueError(f'multiplier of {model!r}: {multiplier!r} is no factor; write for example "1.5"') from None
    if not millionths.is_finite() or not 0 <= millionths <= MAX_MULTIPLIER * MILLION:
        raise ValueError(f"multiplier of {model!r}: {multiplier!r} is not between 0 and {MAX_MULTIPLIER}")
    if millionths != millionths.to_integral_value():
        raise ValueError(f"multiplier of {model!r}: {multiplier!r} is finer than six decimal places")
    return int(millionths)


def _moment_s(model: str, moment: Any) -> int:
    try:
        when = datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        raise ValueError(
            f'from of {model!r}: {moment!r} is no date; write "2026-01-31", which begins at 00:00 UTC, '
            'or a time with its zone, "2026-01-31T09:00:00+08:00"'
        ) from None
    if when.tzinfo is None:
        if not _DAY.fullmatch(moment):
            raise ValueError(f"from of {model!r}: {moment!r} does not name its time zone; add Z or +08:00")
        when = when.replace(tzinfo=UTC)
    return max(0, int(when.timestamp()))


def _is_exact(amount: Any) -> bool:
    """Whether an amount came in as written; a float is already something else."""
    return isinstance(amount, str | int) and not isinstance(amount, bool)


def scaled(amount_nano: int, millionths: int) -> int:
    """Return an amount multiplied, rounded half up to a nano-USD."""
    return (amount_nano * millionths + MILLION // 2) // MILLION
