"""PriceBook: public prices as the control plane resolved them, looked up by price list and model."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

import msgspec

from analytics.engine.pricing import Price

#: Answers that are remembered; clients may ask for any model name, hence a limit.
MAX_REMEMBERED: Final = 4096
_DAY_S: Final = 86_400


class Clause(msgspec.Struct, frozen=True, omit_defaults=True):
    """Says whether a model's name, in lower case, is meant: by a text, or by clauses of which any or all must hold."""

    how: Literal["equals", "starts", "ends", "contains", "regex", "any", "all"]
    text: str = ""
    of: tuple[Clause, ...] = ()

    def matches(self, model: str) -> bool:
        """Return whether the name is meant."""
        match self.how:
            case "equals":
                return model == self.text
            case "starts":
                return model.startswith(self.text)
            case "ends":
                return model.endswith(self.text)
            case "contains":
                return self.text in model
            case "regex":
                return re.search(self.text, model) is not None
            case "any":
                return any(clause.matches(model) for clause in self.of)
        return all(clause.matches(model) for clause in self.of)


class DatedPrice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A price and when it counts: from a moment on, or every day between two times (seconds of the day, UTC)."""

    #: None: the list has the model and no price for it that could be counted.
    price: Price | None = None
    from_s: int = 0
    daily_s: tuple[int, int] | None = None

    def counts_at(self, at_s: float) -> bool:
        """Return whether it counts at a time in seconds since the epoch."""
        if self.daily_s is None:
            return at_s >= self.from_s
        start_s, end_s = self.daily_s
        of_day_s = at_s % _DAY_S
        if end_s < start_s:
            return of_day_s >= start_s or of_day_s < end_s
        return start_s <= of_day_s < end_s


class PricedModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model of a price list. Of its prices the last one that counts is taken, or else the first."""

    id: str
    match: Clause
    prices: tuple[DatedPrice, ...]

    def price(self, at_s: float) -> Price | None:
        """Return the price at a time."""
        for dated in reversed(self.prices):
            if dated.counts_at(at_s):
                return dated.price
        return self.prices[0].price if self.prices else None


class PriceList(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one vendor charges. `also` names the lists of vendors whose models it resells at their prices."""

    models: tuple[PricedModel, ...]
    also: tuple[str, ...] = ()


class StoredBook(msgspec.Struct, frozen=True):
    """A book as it is stored. Its lists stay bytes until somebody asks for one: most are never asked for."""

    lists: dict[str, msgspec.Raw]


_decode_book = msgspec.json.Decoder(StoredBook).decode
_decode_list = msgspec.json.Decoder(PriceList).decode


class PriceBook:
    """Prices by list and model. An empty book knows none."""

    def __init__(self, version: str = "", body: bytes = b'{"lists":{}}') -> None:
        """Take a stored body; raises msgspec.MsgspecError when it is none."""
        self.version = version
        self._raw = _decode_book(body).lists
        self._lists: dict[str, PriceList] = {}
        self._models: dict[tuple[str, str], PricedModel | None] = {}

    def price(self, price_list: str, model: str, at_s: float) -> Price | None:
        """Return what a model costs at a time in seconds since the epoch; None when the list does not say."""
        found = self.model(price_list, model)
        return None if found is None else found.price(at_s)

    def model(self, price_list: str, model: str) -> PricedModel | None:
        """Return a list's entry for a model as an upstream calls it."""
        try:
            return self._models[price_list, model]
        except KeyError:
            pass
        if len(self._models) >= MAX_REMEMBERED:
            self._models.clear()
        found = self._models[price_list, model] = self._find(price_list, model.lower())
        return found

    def list_of(self, name: str) -> PriceList | None:
        """Return a list by its name, as it is stored: its prices do not say which version they are of."""
        if name not in self._lists and name in self._raw:
            self._lists[name] = _decode_list(self._raw[name])
        return self._lists.get(name)

    def names_model(self, model: str) -> bool:
        """Whether any vendor lists a model of this very name; none of its prices is read for that."""
        entry = b'"id":' + msgspec.json.encode(model)
        return any(entry in bytes(memoryview(listed)) for listed in self._raw.values())

    @property
    def names(self) -> list[str]:
        """The names of the lists."""
        return sorted(self._raw)

    def _find(self, name: str, model: str) -> PricedModel | None:
        prices = self.list_of(name)
        if prices is None:
            return None
        # A second look for dates written without dashes, as resellers do: gpt-5.2-20251211.
        for spelling in dict.fromkeys((model, _COMPACT_DATE.sub(_dashed, model))):
            for each in (prices, *map(self.list_of, prices.also)):
                for entry in each.models if each is not None else ():
                    if entry.match.matches(spelling):
                        return _stamped(entry, self.version)
        return None


@dataclass(slots=True)
class Prices:
    """The book in force. One for each process, shared by all snapshots and replaced when a newer book is stored."""

    book: PriceBook = field(default_factory=PriceBook)


def _stamped(model: PricedModel, version: str) -> PricedModel:
    """Return an entry whose prices say which version of the book they are from."""
    replace = msgspec.structs.replace
    return replace(
        model,
        prices=tuple(
            replace(dated, price=dated.price and replace(dated.price, version=version)) for dated in model.prices
        ),
    )


_COMPACT_DATE: Final = re.compile(r"(?<=-)(20\d{2})(\d{2})(\d{2})(?=[-:]|$)")


def _dashed(found: re.Match[str]) -> str:
    year, month, day = map(int, found.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return found[0]
