"""Tool calls of an upstream's stream, brought into order whatever the dialect makes of indexes, ids and names."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.codec import Exchange
from routing.engine.formats.openai_chat.chunks import TornTexts
from routing.engine.messages import StreamEvent, ToolBegan, ToolDelta
from routing.engine.openai_shape import text_of
from routing.engine.toolnames import mint_id

_encode = msgspec.json.Encoder().encode


class _Call(msgspec.Struct):
    """One call. It is told once its name is known and its id is known or has been waited for long enough."""

    #: Its place among the calls that were seen.
    serial: int
    id: str = ""
    name: str = ""
    is_custom: bool = False
    signature: str = ""
    #: Arguments that came before the call could be told.
    held: list[str] = []
    has_arguments: bool = False
    #: Its number among the calls of the choice, −1 before it is told.
    number: int = -1


class CallDecoder:
    """Follows the calls of one choice."""

    def __init__(self, exchange: Exchange, choice: int, torn: TornTexts) -> None:
        self.exchange = exchange
        self.choice = choice
        self.torn = torn
        self.count = 0
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._told_ids: set[str] = set()

    def take(self, entries: Any, is_torn: bool, events: list[StreamEvent]) -> None:
        """Append the events of a `tool_calls` list."""
        if isinstance(entries, dict):
            entries = [entries]
        if not isinstance(entries, list):
            return
        ids: set[str] = set()
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict):
                continue
            call_id = text_of(entry.get("id"))
            if call_id in ids and type(entry.get("index")) is not int:
                entry = {**entry, "id": None}  # another call of the same list: it needs an id of its own
            ids.add(call_id)
            self._take(entry, place if len(entries) > 1 else None, is_torn, events)

    def number_of(self, serial: int) -> int:
        """Return the number under which a call was told."""
        return self._calls[serial].number

    def close(self, events: list[StreamEvent]) -> bool:
        """Append the calls that still waited; return whether one of them has no name to be called by."""
        for call in self._calls:
            if call.number < 0 and call.name:
                self._begin(call, events)
        return any(call.number < 0 and call.held for call in self._calls)

    def _take(self, entry: dict[str, Any], place: int | None, is_torn: bool, events: list[StreamEvent]) -> None:
        custom, function = entry.get("custom"), entry.get("function")
        inner = custom if isinstance(custom, dict) else function if isinstance(function, dict) else entry
        call_id, name = text_of(entry.get("id")), text_of(inner.get("name"))
        text = _text(inner.get("input") if inner is custom else inner.get("arguments"))
        if not (call_id or name or text):
            return
        call = self._find(entry.get("index"), place, call_id, name)
        call.id = call.id or call_id
        call.name = call.name or name
        call.is_custom = call.is_custom or inner is custom
        if not call.signature and "extra_content" in entry:
            call.signature = _signature(entry["extra_content"])
        if call.number < 0 and call.name and (call.id or text):
            self._begin(call, events)
        if text and (is_torn or self.torn):
            text = self.torn.join(call.serial, text)
        if not text:
            return
        call.has_arguments = True
        if call.number < 0:
            call.held.append(text)
        else:
            events.append(ToolDelta(call.number, text, self.choice))

    def _find(self, index: Any, place: int | None, call_id: str, name: str) -> _Call:
        if type(index) is not int:
            index = place if not call_id else None
        if index is not None:
            call = self._by_index.get(index)
        elif call_id:
            call = self._by_id.get(call_id) or self._last_without_id(name)
        else:
            call = self._calls[-1] if self._calls else None
        if call is None or _is_another(call, call_id, name, is_indexed=index is not None):
            call = _Call(len(self._calls))
            self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        if call_id:
            self._by_id.setdefault(call_id, call)
        return call

    def _last_without_id(self, name: str) -> _Call | None:
        last = self._calls[-1] if self._calls else None
        return last if last is not None and not last.id and not name else None

    def _begin(self, call: _Call, events: list[StreamEvent]) -> None:
        call.number = self.count
        self.count += 1
        if not call.id or call.id in self._told_ids:
            call.id = mint_id(f"{self.exchange.request_id} {self.choice} {call.number} {call.name}")
        self._told_ids.add(call.id)
        state = self.exchange.issued(call.signature, "call") if call.signature else None
        events.append(ToolBegan(call.number, call.id, call.name, self.choice, call.is_custom, state))
        events += [ToolDelta(call.number, text, self.choice) for text in call.held]
        call.held = []


def _is_another(call: _Call, call_id: str, name: str, is_indexed: bool) -> bool:
    """Whether an entry with this header begins another call than the one that is known under its index, or the last.

    Servers that send calls whole give each the index 0, or none; servers that send them in pieces repeat the header.
    """
    if not name or not call.name:
        return False
    if call_id and call.id:
        return call_id != call.id
    return name != call.name or (call.has_arguments and not is_indexed)


def _text(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return _encode(arguments).decode() if isinstance(arguments, dict | list) else ""


def _signature(extra: Any) -> str:
    google = extra.get("google") if isinstance(extra, dict) else None
    return text_of(google.get("thought_signature")) if isinstance(google, dict) else ""
