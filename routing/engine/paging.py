"""Pages of a sorted list of names, by the name before or after them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from routing.engine.errors import BadRequest


class Page(NamedTuple):
    """Some names, and whether there are more in the direction that was asked for."""

    names: Sequence[str]
    has_more: bool = False


def page(names: Sequence[str], size: int | None, *, after: str = "", before: str = "") -> Page:
    """Return a page of names that are sorted; all that there are without a size.

    A name that is gone since the last page was read does not matter: its place does.
    """
    start = bisect_right(names, after) if after else 0
    end = bisect_left(names, before) if before else len(names)
    found = names[start:end]
    if size is None or len(found) <= size:
        return Page(found)
    return Page(found[-size:] if before and not after else found[:size], has_more=True)


def read_size(text: str | None, name: str) -> int | None:
    """Return the size of a page in a query, None where there is none or 0, which stands for the default.

    Raises:
        BadRequest: it is no number.
    """
    if text is None or text == "0":
        return None
    if not text.isdigit() or len(text) > 6:
        raise BadRequest(f"`{name}` must be a whole number, 1 or more.", param=name)
    return int(text)
