"""The grammar of Responses streams."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.routing.engine.translation.grammar.reading import Reading


class _Item:
    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item
        self.texts: dict[tuple[str, Any], str] = {}
        self.open: set[tuple[str, Any]] = set()
        self.is_done = False


class ResponsesReading(Reading):
    """Named, numbered events; items added, filled and done in turn; one terminal event with the whole response."""

    TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
    #: A delta's event → the member of its `.done` event that repeats the whole, and the part's number.
    FLOWS: ClassVar[dict[str, tuple[str, str]]] = {
        "response.output_text": ("text", "content_index"),
        "response.refusal": ("refusal", "content_index"),
        "response.reasoning_text": ("text", "content_index"),
        "response.reasoning_summary_text": ("text", "summary_index"),
        "response.function_call_arguments": ("arguments", ""),
        "response.custom_tool_call_input": ("input", ""),
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.number = -1
        self.has_begun = False
        self.items: dict[int, _Item] = {}
        self.is_failing = False

    def take(self, name: str, data: str) -> None:
        event = self.decoded(data)
        if event is None:
            return
        kind = str(event.get("type"))
        self.expect(name == kind, f"event {name!r} holds type {kind!r}")
        self._numbered(event)
        if not self.has_begun:
            self.expect(kind in {"response.created", "error"}, f"{kind} before response.created")
        self.expect(not self.is_failing or kind == "response.failed", f"{kind} after an error")
        self.has_begun = True
        if kind == "error":
            self.is_failing = True
            self.text("message of the error", event.get("message"))
        elif "response" in event:
            self._lifecycle(kind, event["response"])
        elif kind == "response.output_item.added":
            self._added(event)
        elif kind == "response.output_item.done":
            self._done(event)
        else:
            self._inside(kind, event)

    def close(self) -> None:
        if self.is_failing and self.ending == "open":
            self.ending = "error"

    def _numbered(self, event: dict[str, Any]) -> None:
        number = event.get("sequence_number")
        self.expect(isinstance(number, int) and number > self.number, f"sequence_number {number!r} after {self.number}")
        self.number = number if isinstance(number, int) else self.number

    def _lifecycle(self, kind: str, response: dict[str, Any]) -> None:
        self.constant("id", response.get("id"))
        self.constant("model", response.get("model"))
        self.expect(response.get("object") == "response", f"object is {response.get('object')!r}")
        self.expect(isinstance(response.get("output"), list), f"output is {response.get('output')!r}")
        statuses = {"response.created": {"in_progress", "queued"}, "response.queued": {"queued"}}
        fit = statuses.get(kind, {kind.removeprefix("response.")})
        self.expect(response.get("status") in fit, f"status of {kind} is {response.get('status')!r}")
        if kind in self.TERMINAL:
            self._terminal(kind, response)

    def _terminal(self, kind: str, response: dict[str, Any]) -> None:
        if kind == "response.failed":
            error = response.get("error")
            self.expect(isinstance(error, dict) and error.get("message") and error.get("code"), f"error is {error!r}")
            self.ending = "error"
            return
        self.ending = "clean"
        if kind == "response.incomplete":
            reason = (response.get("incomplete_details") or {}).get("reason")
            self.expect(reason in {"max_output_tokens", "content_filter"}, f"incomplete for {reason!r}")
        open_items = [index for index, item in self.items.items() if not item.is_done]
        self.expect(not open_items, f"items {open_items} are not done")
        output = response.get("output") or []
        items = [self.items[index].item for index in sorted(self.items)]
        self.expect(output == items, f"output is not what the items were: {output!r} for {items!r}")
        usage = response.get("usage")
        for each in ("input_tokens", "output_tokens", "total_tokens") if usage else ():
            self.count(each, usage.get(each))
        for each in ("input_tokens_details", "output_tokens_details") if usage else ():
            self.expect(isinstance(usage.get(each), dict), f"{each} is {usage.get(each)!r}")

    def _added(self, event: dict[str, Any]) -> None:
        index, item = event.get("output_index"), event.get("item") or {}
        self.expect(index == len(self.items), f"item {index!r}, expected {len(self.items)}")
        self.expect(isinstance(item.get("id"), str) and item["id"], f"an item without id: {item!r}")
        self.items[index] = _Item(item)

    def _done(self, event: dict[str, Any]) -> None:
        known = self.items.get(event.get("output_index", -1))
        item = event.get("item") or {}
        if known is None or known.is_done:
            self.wrong(f"done for item {event.get('output_index')!r}, which is not open")
            return
        for key in ("id", "type"):
            self.expect(item.get(key) == known.item.get(key), f"{key} of an item changed to {item.get(key)!r}")
        self.expect(not known.open, f"an item is done while {known.open} is open")
        self._whole(item, known)
        known.item, known.is_done = item, True

    def _whole(self, item: dict[str, Any], known: _Item) -> None:
        """Note a problem where a done item's text is not what its deltas said."""
        said = {
            # A part of a kind that is not known here has no text, and no deltas.
            "message": [part.get("text", part.get("refusal", "")) for part in item.get("content") or ()],
            "function_call": [item.get("arguments")],
            "custom_tool_call": [item.get("input")],
            "reasoning": [part.get("text") for part in (*(item.get("summary") or ()), *(item.get("content") or ()))],
        }.get(str(item.get("type")))
        if said is not None:
            told = list(known.texts.values())
            self.expect(said == told, f"a done {item.get('type')} says {said!r}, its deltas {told!r}")
        if item.get("type") in {"function_call", "custom_tool_call"}:
            for key in ("call_id", "name"):
                self.expect(isinstance(item.get(key), str) and item[key], f"{key} of a call is {item.get(key)!r}")

    def _inside(self, kind: str, event: dict[str, Any]) -> None:
        """Read an event inside an item: a part that opens or closes, a delta, the end of a text."""
        known = self.items.get(event.get("output_index", -1))
        if known is None or known.is_done:
            self.wrong(f"{kind} for item {event.get('output_index')!r}, which is not open")
            return
        self.expect(event.get("item_id") == known.item.get("id"), f"item_id of {kind} is {event.get('item_id')!r}")
        flow, _, step = kind.rpartition(".")
        if flow in {"response.content_part", "response.reasoning_summary_part"}:
            group = "content" if flow == "response.content_part" else "summary"
            self._part(known, step, (group, event.get(f"{group}_index")))
        elif flow in self.FLOWS:
            self._flow(known, flow, step, event)

    def _part(self, known: _Item, step: str, place: tuple[str, Any]) -> None:
        if step == "added":
            self.expect(place not in known.texts, f"part {place} twice")
            known.open.add(place)
            known.texts[place] = ""
        else:
            self.expect(place in known.open, f"the end of part {place}, which is not open")
            known.open.discard(place)

    def _flow(self, known: _Item, flow: str, step: str, event: dict[str, Any]) -> None:
        member, number = self.FLOWS[flow]
        group = "summary" if number == "summary_index" else "content" if number else flow
        place = (group, event.get(number) if number else None)
        has_parts = flow in {"response.output_text", "response.refusal", "response.reasoning_summary_text"}
        self.expect(not has_parts or place in known.open, f"{flow}.{step} for part {place}, which is not open")
        if step == "delta":
            self.text(f"delta of {flow}", event.get("delta"))
            known.texts[place] = known.texts.get(place, "") + str(event.get("delta"))
        elif step == "done":
            told = known.texts.setdefault(place, "")
            self.expect(event.get(member) == told, f"{flow}.done says {event.get(member)!r}, its deltas {told!r}")
