"""What is known of an upstream's items while its stream runs, and which of them an event is about."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.openai_shape import text_of
from routing.engine.wirejson import Halves


class Event(msgspec.Struct, gc=False):
    """What any event may say; servers leave out and change what they like, so nothing is taken for granted."""

    type: Any = None
    item_id: Any = None
    output_index: Any = None
    content_index: Any = None
    summary_index: Any = None
    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    name: Any = None
    logprobs: Any = None
    item: Any = None
    part: Any = None
    annotation: Any = None
    response: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: Any = None
    code: Any = None
    message: Any = None


class Item:
    """An item of the upstream's output, as far as it is known."""

    __slots__ = (
        "call",
        "call_id",
        "cited",
        "halves",
        "has_ended",
        "id",
        "is_announced",
        "is_done",
        "kind",
        "name",
        "native",
        "pending",
        "phase",
        "seen",
        "starts",
    )

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.id = ""
        #: Its parts (or, for a call, part 0: the arguments) of which something has been told.
        self.seen: set[int] = set()
        self.is_announced = False
        self.is_done = False
        self.phase = ""
        #: Where its texts begin in the whole text, and how many of their citations have been told.
        self.starts: dict[int, int] = {}
        self.cited: dict[int, int] = {}
        #: A call's number, −1 until it has begun; its arguments until then.
        self.call = -1
        self.call_id = ""
        self.name = ""
        self.native: dict[str, Any] | None = None
        self.pending: list[str] = []
        self.has_ended = False
        self.halves: Halves | None = None

    def learn(self, item: dict[str, Any]) -> None:
        """Take over what the upstream says of it."""
        self.id = text_of(item.get("id")) or self.id
        self.call_id = text_of(item.get("call_id")) or self.call_id
        self.name = text_of(item.get("name")) or self.name
        self.phase = text_of(item.get("phase")) or self.phase

    def delta(self, delta: Any) -> str:
        """Return a delta's text, characters that were cut in two joined."""
        if not isinstance(delta, str):
            return ""
        if self.halves is None:
            if delta.isascii():
                return delta
            self.halves = Halves()
        return self.halves.join(delta)


class Items:
    """All items of a stream, found by place, id and kind."""

    def __init__(self) -> None:
        self.all: list[Item] = []
        self._by_index: dict[int, Item] = {}
        self._by_id: dict[str, Item] = {}
        self._latest: dict[str, Item] = {}

    def find(self, kind: str, item_id: Any, index: Any) -> Item:
        """Return the item of a kind: the one at its place unless its id says otherwise, or a new one."""
        at_place = self._by_index.get(index) if isinstance(index, int) else None
        by_id = self._by_id.get(item_id) if isinstance(item_id, str) else None
        if at_place is not None and at_place.kind == kind and (by_id is None or at_place.id == item_id):
            return at_place
        if by_id is not None and by_id.kind == kind:
            return by_id
        if index is None and not item_id:
            latest = self._latest.get(kind)
            if latest is not None and not latest.is_done:
                return latest
        return self.add(kind, item_id, index)

    def of(self, event: Event, kind: str) -> Item:
        """Return the item that an event is about."""
        return self.find(kind, event.item_id, event.output_index)

    def announced(self, kind: str, given: dict[str, Any], index: Any) -> Item:
        """Return the item that an announcement is about: one whose events came before it, or a new one."""
        item = self._by_index.get(index) if isinstance(index, int) else None
        item_id, call_id = text_of(given.get("id")), text_of(given.get("call_id"))
        is_known = item is not None and item.kind == kind and not item.is_done and item.call_id in {"", call_id}
        if item is None or not is_known or (item.is_announced and item.id != item_id):
            item = self.add(kind, item_id, index)
        item.is_announced = True
        item.learn(given)
        return item

    def add(self, kind: str, item_id: Any, index: Any) -> Item:
        """Return a new item; a place or an id that was taken is its own from now on, or stays the other's."""
        item = self._latest[kind] = Item(kind)
        self.all.append(item)
        if isinstance(index, int):
            self._by_index[index] = item
        if isinstance(item_id, str) and item_id:
            item.id = item_id
            self._by_id.setdefault(item_id, item)
        return item

    def matched(self, output: list[Any]) -> list[tuple[dict[str, Any], Item | None]]:
        """Return the items of the final output, each with the one it was in the stream.

        By id; where a server makes new ones for the end, by call, or as the next of its kind.
        """
        items = [item for item in output if isinstance(item, dict)]
        by_call = {item.call_id: item for item in self.all if item.call_id}
        found = [
            self._by_id.get(text_of(item.get("id"))) or by_call.get(text_of(item.get("call_id"))) for item in items
        ]
        taken = {id(item) for item in found if item is not None}
        rest: dict[str, list[Item]] = {}
        for known in reversed(self.all):
            if id(known) not in taken:
                rest.setdefault(known.kind, []).append(known)
        matched = []
        for item, streamed in zip(items, found, strict=True):
            others = rest.get(text_of(item.get("type")))
            matched.append((item, streamed or (others.pop() if others else None)))
        return matched
