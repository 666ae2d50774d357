"""Keep the public prices in the database, where gateways read them."""

from __future__ import annotations

from django.utils import timezone

from analytics import public_prices
from analytics.engine import price_book as engine
from analytics.models import PriceBook


def price_book_ensure() -> bool:
    """Store the installed package's prices unless they are in force already; return whether anything was stored."""
    current = PriceBook.objects.only("source").first()
    if current is not None and current.source == public_prices.source():
        return False
    price_book_update()
    return True


def price_book_update() -> tuple[str, bool]:
    """Resolve the installed package's prices and put them in force; return their version and whether it is another.

    Older books stay: records name the version that they were rated with.
    """
    source, (version, body) = public_prices.source(), public_prices.resolve()
    current = PriceBook.objects.only("version", "source").first()
    if current is not None and (current.version, current.source) == (version, source):
        return version, False
    PriceBook.objects.update_or_create(
        version=version, defaults={"source": source, "body": body, "in_force_since": timezone.now()}
    )
    return version, current is None or current.version != version


def price_book_read(*, version: str = "") -> engine.PriceBook:
    """Return the book in force, or the one of that version.

    Raises:
        PriceBook.DoesNotExist: there is none of that version.
    """
    if version:
        stored = PriceBook.objects.get(version=version)
    else:
        found = PriceBook.objects.first()
        if found is None:
            return engine.PriceBook()
        stored = found
    return engine.PriceBook(stored.version, bytes(stored.body))
