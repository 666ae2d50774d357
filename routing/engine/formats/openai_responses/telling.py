"""Items of an upstream's stream as events of an answer: text, reasoning, calls, and what only this format has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from routing.engine.codec import Exchange
from routing.engine.formats.openai_responses.citations import citation_of
from routing.engine.formats.openai_responses.content import native_part
from routing.engine.formats.openai_responses.fields import json_text
from routing.engine.formats.openai_responses.known_items import Event, Item, Items
from routing.engine.formats.openai_responses.response import CALLS, plain_call, rows_of
from routing.engine.formats.openai_responses.toolsets import joined_name, set_of
from routing.engine.formats.openai_responses.vocabulary import NAME, native_members
from routing.engine.logprobs import read_logprobs
from routing.engine.messages import (
    Cited,
    LogprobsDelta,
    Native,
    PartEnded,
    PartMade,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    TextDelta,
    ToolBegan,
    ToolDelta,
    ToolEnded,
)
from routing.engine.openai_shape import text_of
from routing.engine.toolnames import mint_id

Events = list[StreamEvent]
_MESSAGE, _REASONING = "message", "reasoning"


class Telling:
    """Tells what an event about an item adds; what comes whole is told as far as it has not been told in pieces."""

    def __init__(self, exchange: Exchange, items: Items) -> None:
        self._exchange = exchange
        self._items = items
        #: The part that is open: its item and its number in it.
        self._open: Item | None = None
        self._open_part = 0
        #: Characters of all text so far.
        self._chars = 0
        #: How many calls have begun.
        self.calls = 0
        self._used_ids: set[str] = set()
        self.readers: dict[str, Callable[[Event, Events], None]] = {
            "response.output_item.added": self._added,
            "response.output_item.done": self._done,
            "response.content_part.done": self._part_done,
            "response.output_text.delta": self._text,
            "response.output_text.done": self._text_done,
            "response.output_text.annotation.added": self._cited,
            "response.refusal.delta": self._refusal,
            "response.refusal.done": self._refusal_done,
            "response.reasoning_summary_text.delta": self._summary,
            "response.reasoning_summary_text.done": self._summary_done,
            "response.reasoning_text.delta": self._reasoning,
            "response.reasoning_text.done": self._reasoning_done,
            "response.function_call_arguments.delta": self._arguments,
            "response.function_call_arguments.done": self._arguments_done,
            "response.custom_tool_call_input.delta": self._input,
            "response.custom_tool_call_input.done": self._input_done,
        }

    # --- items -----------------------------------------------------------------------------------------------------

    def _added(self, event: Event, events: Events) -> None:
        if not isinstance(event.item, dict):
            return
        kind = text_of(event.item.get("type"))
        item = self._items.announced(kind, event.item, event.output_index)
        if kind in CALLS:
            self._begin_call(item, event.item, events)

    def _done(self, event: Event, events: Events) -> None:
        if isinstance(event.item, dict):
            kind = text_of(event.item.get("type"))
            self.whole_item(event.item, self._items.find(kind, event.item.get("id"), event.output_index), events)

    def whole_item(self, item: dict[str, Any], known: Item | None, events: Events) -> None:
        """Tell what is new in an item that is whole, which is all of it where nothing was streamed."""
        item = plain_call(item, self._exchange)
        kind = text_of(item.get("type"))
        if known is None:
            known = self._items.add(kind, item.get("id"), None)
        if known.is_done:
            return
        known.is_done = True
        known.learn(item)
        if kind in CALLS:
            self._whole_call(known, item, events)
        elif kind == _MESSAGE:
            self._whole_message(known, item, events)
        elif kind == _REASONING:
            self._whole_reasoning(known, item, events)
        elif kind:
            self._open = None
            events.append(PartMade(Native(NAME, kind, item)))

    def _enter(self, item: Item, part: int, events: Events) -> None:
        """Open a part; what was open ends, and says so where the kind stays the same."""
        before = self._open
        is_same_reasoning = before is item and item.kind == _REASONING
        if before is not None and before.kind == item.kind and not is_same_reasoning:
            events.append(PartEnded())
        self._open, self._open_part = item, part
        item.seen.add(part)
        if item.kind == _MESSAGE:
            item.starts[part] = self._chars

    def _leave(self, item: Item, events: Events) -> None:
        if self._open is item:
            self._open = None
            events.append(PartEnded())

    # --- text ------------------------------------------------------------------------------------------------------

    def _say(
        self, item: Item, part: int, text: str, events: Events, *, is_refusal: bool = False, logprobs: Any = None
    ) -> None:
        if not text:
            return
        if self._open is not item or self._open_part != part:
            self._enter(item, part, events)
        self._chars += len(text)
        events.append(TextDelta(text, 0, is_refusal, item.phase))
        if logprobs and (tokens := read_logprobs(logprobs)):
            events.append(LogprobsDelta(tokens))

    def _text(self, event: Event, events: Events) -> None:
        item = self._items.of(event, _MESSAGE)
        self._say(item, _number(event.content_index), item.delta(event.delta), events, logprobs=event.logprobs)

    def _text_done(self, event: Event, events: Events) -> None:
        item, part = self._items.of(event, _MESSAGE), _number(event.content_index)
        if part not in item.seen:
            self._say(item, part, text_of(event.text), events, logprobs=event.logprobs)

    def _refusal(self, event: Event, events: Events) -> None:
        item = self._items.of(event, _MESSAGE)
        self._say(item, _number(event.content_index), item.delta(event.delta), events, is_refusal=True)

    def _refusal_done(self, event: Event, events: Events) -> None:
        item, part = self._items.of(event, _MESSAGE), _number(event.content_index)
        if part not in item.seen:
            self._say(item, part, text_of(event.refusal), events, is_refusal=True)

    def _cited(self, event: Event, events: Events) -> None:
        item, part = self._items.of(event, _MESSAGE), _number(event.content_index)
        self._cite(item, part, event.annotation, events)

    def _cite(self, item: Item, part: int, annotation: Any, events: Events) -> None:
        item.cited[part] = item.cited.get(part, 0) + 1
        citation = citation_of(annotation, item.starts.get(part, self._chars))
        if citation is not None:
            events.append(Cited(citation))

    def _part_done(self, event: Event, events: Events) -> None:
        if isinstance(event.part, dict) and event.part.get("type") not in ("reasoning_text", "summary_text"):
            item, part = self._items.of(event, _MESSAGE), _number(event.content_index)
            self._whole_content(item, part, event.part, events)
            self._leave(item, events)

    def _whole_content(self, item: Item, part: int, content: dict[str, Any], events: Events) -> None:
        kind = text_of(content.get("type"))
        if kind not in {"output_text", "text", "refusal", ""}:
            if part not in item.seen:
                item.seen.add(part)
                self._open = None
                events.append(PartMade(native_part(content, kind)))
            return
        if part not in item.seen:
            is_refusal = kind == "refusal"
            text = text_of(content.get("refusal" if is_refusal else "text"))
            self._say(item, part, text, events, is_refusal=is_refusal, logprobs=content.get("logprobs"))
        for annotation in rows_of(content.get("annotations"))[item.cited.get(part, 0) :]:
            self._cite(item, part, annotation, events)

    def _whole_message(self, item: Item, given: dict[str, Any], events: Events) -> None:
        content = given.get("content")
        if isinstance(content, str):
            content = [{"type": "output_text", "text": content}]
        for part, each in enumerate(rows_of(content)):
            if isinstance(each, dict):
                self._whole_content(item, part, each, events)
        self._leave(item, events)

    # --- reasoning -------------------------------------------------------------------------------------------------

    def _think(self, item: Item, part: int, text: str, events: Events, *, is_verbatim: bool) -> None:
        if not text:
            return
        if self._open is not item or self._open_part != part:
            self._enter(item, part, events)
        events.append(ReasoningDelta(text, 0, part, is_verbatim))

    def _summary(self, event: Event, events: Events) -> None:
        item = self._items.of(event, _REASONING)
        text = item.delta(event.delta)
        self._think(item, _number(event.summary_index), text, events, is_verbatim=False)

    def _summary_done(self, event: Event, events: Events) -> None:
        item, part = self._items.of(event, _REASONING), _number(event.summary_index)
        if part not in item.seen:
            self._think(item, part, text_of(event.text), events, is_verbatim=False)

    def _reasoning(self, event: Event, events: Events) -> None:
        item = self._items.of(event, _REASONING)
        text = item.delta(event.delta)
        self._think(item, _number(event.content_index), text, events, is_verbatim=True)

    def _reasoning_done(self, event: Event, events: Events) -> None:
        item, part = self._items.of(event, _REASONING), _number(event.content_index)
        if part not in item.seen:
            self._think(item, part, text_of(event.text), events, is_verbatim=True)

    def _whole_reasoning(self, item: Item, given: dict[str, Any], events: Events) -> None:
        said = rows_of(given.get("content"))
        for part, each in enumerate(said or rows_of(given.get("summary"))):
            if part not in item.seen and isinstance(each, dict):
                self._think(item, part, text_of(each.get("text")), events, is_verbatim=bool(said))
        blob = text_of(given.get("encrypted_content"))
        if not blob:
            self._leave(item, events)
            return
        if self._open is not None and self._open is not item and self._open.kind == _REASONING:
            events.append(PartEnded())
        self._open = None
        events.append(ReasoningState(self._exchange.issued(blob, item.id)))

    # --- calls -----------------------------------------------------------------------------------------------------

    def _begin_call(self, item: Item, given: dict[str, Any], events: Events) -> None:
        """Tell that a call begins, once its name is known."""
        if self._exchange.request.format == NAME:
            item.native = native_members(given)
        if item.call >= 0 or not item.name:
            return
        item.call, self.calls = self.calls, self.calls + 1
        call_id = item.call_id or item.id
        if not call_id or call_id in self._used_ids:
            call_id = mint_id()
        self._used_ids.add(call_id)
        self._open = None
        is_custom = item.kind == "custom_tool_call"
        name = joined_name(set_of(item.native), item.name)
        events.append(ToolBegan(item.call, call_id, name, is_custom=is_custom, native=item.native))
        pending, item.pending = "".join(item.pending), []
        if pending:
            events.append(ToolDelta(item.call, pending))

    def _argue(self, item: Item, text: str, events: Events) -> None:
        if not text or item.has_ended:
            return
        item.seen.add(0)
        if item.call < 0:
            item.pending.append(text)
        else:
            events.append(ToolDelta(item.call, text))

    def _arguments(self, event: Event, events: Events) -> None:
        item = self._items.of(event, "function_call")
        self._argue(item, item.delta(event.delta), events)

    def _input(self, event: Event, events: Events) -> None:
        item = self._items.of(event, "custom_tool_call")
        self._argue(item, item.delta(event.delta), events)

    def _arguments_done(self, event: Event, events: Events) -> None:
        self._argued(self._items.of(event, "function_call"), event, event.arguments, events)

    def _input_done(self, event: Event, events: Events) -> None:
        self._argued(self._items.of(event, "custom_tool_call"), event, event.input, events)

    def _argued(self, item: Item, event: Event, whole: Any, events: Events) -> None:
        item.name = item.name or text_of(event.name)
        self._begin_call(item, {}, events)
        if 0 not in item.seen:
            self._argue(item, json_text(whole), events)
        if item.call >= 0 and 0 in item.seen:
            self.close_call(item, events)

    def _whole_call(self, item: Item, given: dict[str, Any], events: Events) -> None:
        self._begin_call(item, given, events)
        if 0 not in item.seen:
            self._argue(item, json_text(given.get("input" if item.kind == "custom_tool_call" else "arguments")), events)
        self.close_call(item, events)

    @staticmethod
    def close_call(item: Item, events: Events) -> None:
        """Tell that a call's arguments are whole, once."""
        if item.call >= 0 and not item.has_ended:
            item.has_ended = True
            events.append(ToolEnded(item.call))


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
