"""Amounts of USD: decimal strings outside, integer nano-USD inside, never a float."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

NANO_PER_USD: Final = 1_000_000_000
#: The largest amount that fits the database's 64 bits.
MAX_NANO: Final = 2**63 - 1


def nano_usd(amount: str | int) -> int:
    """Return an amount such as "12.50" in nano-USD.

    Raises:
        ValueError: it is no amount of zero or more, is too large, or is finer than a nano-USD.
    """
    try:
        nano = Decimal(amount).scaleb(9)
    except InvalidOperation:
        raise ValueError(f'{amount!r} is no amount of USD; write for example "50.00".') from None
    if not nano.is_finite() or not 0 <= nano <= MAX_NANO:
        raise ValueError(f"{amount!r} is not between 0 and {usd_text(MAX_NANO)} USD.")
    if nano != nano.to_integral_value():
        raise ValueError(f"{amount!r} is finer than nine decimal places.")
    return int(nano)


def usd_text(nano: int) -> str:
    """Return nano-USD as a decimal string with at least two places: 12500000000 → "12.50"."""
    whole, rest = divmod(nano, NANO_PER_USD)
    places = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{places}"
