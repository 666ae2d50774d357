"""The grammar of Chat Completions streams."""

from __future__ import annotations

from typing import Any

from tests.routing.engine.translation.grammar.reading import Reading


class _ChatChoice:
    def __init__(self) -> None:
        self.has_role = False
        self.finish: str | None = None
        self.tools = 0


class ChatReading(Reading):
    """Chunks without event names; a role once per choice; a call's id, type and name once; usage last; `[DONE]`."""

    FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.choices: list[_ChatChoice] = []
        self.has_usage = False

    def take(self, name: str, data: str) -> None:
        self.expect(not name, f"a name, {name!r}, on an event")
        if data == "[DONE]":
            self.expect(self.choices, "[DONE] before any choice")
            self.expect(
                all(choice.finish for choice in self.choices), "[DONE] before each choice has its finish_reason"
            )
            self.ending = "clean"
            return
        chunk = self.decoded(data)
        if chunk is None:
            return
        if chunk.get("error"):
            self._error(chunk["error"])
            return
        self.expect(chunk.get("object") == "chat.completion.chunk", f"object is {chunk.get('object')!r}")
        self.constant("id", chunk.get("id"))
        self.constant("model", chunk.get("model"))
        self.count("created", chunk.get("created"))
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            self.wrong(f"choices is {choices!r}")
            return
        self.expect(not (self.has_usage and choices), "a chunk after the usage chunk: SDKs keep the last chunk's usage")
        for each in choices:
            self._choice(each)
        if chunk.get("usage") is not None:
            self._usage(chunk["usage"], choices)

    def _error(self, error: Any) -> None:
        self.expect(isinstance(error, dict) and isinstance(error.get("message"), str), f"error is {error!r}")
        self.ending = "error"

    def _usage(self, usage: dict[str, Any], choices: list[Any]) -> None:
        self.expect(self.wants_usage, "usage that nobody asked for")
        self.expect(not choices, "usage in a chunk with choices")
        self.expect(not self.has_usage, "usage twice")
        for each in ("prompt_tokens", "completion_tokens", "total_tokens"):
            self.count(each, usage.get(each))
        self.has_usage = True

    def _choice(self, each: dict[str, Any]) -> None:
        index, delta = each.get("index"), each.get("delta")
        if not isinstance(index, int) or not isinstance(delta, dict):
            self.wrong(f"a choice without index or delta: {each!r}")
            return
        if index == len(self.choices):
            self.choices.append(_ChatChoice())
        if not 0 <= index < len(self.choices):
            self.wrong(f"choice {index} before choice {len(self.choices)}")
            return
        choice = self.choices[index]
        self._role(choice, delta)
        said = {key for key, value in delta.items() if value not in (None, "", []) and key != "role"}
        self.expect(not (choice.finish and said), f"{said} after the finish_reason")
        for key in ("content", "refusal", "reasoning_content"):
            self.expect(delta.get(key) is None or isinstance(delta[key], str), f"{key} is {delta.get(key)!r}")
        for call in delta.get("tool_calls") or ():
            self._call(choice, call)
        for detail in delta.get("reasoning_details") or ():
            self.count("index of a reasoning detail", detail.get("index"))
        self._finish(choice, each)

    def _role(self, choice: _ChatChoice, delta: dict[str, Any]) -> None:
        if not choice.has_role:
            self.expect(delta.get("role") == "assistant", f"role of the first delta is {delta.get('role')!r}")
        else:
            self.expect(delta.get("role") is None, "role twice: SDKs join the two")
        choice.has_role = True

    def _call(self, choice: _ChatChoice, call: dict[str, Any]) -> None:
        index = call.get("index")
        kind = call.get("type") or ("custom" if "custom" in call else "function")
        inner = call.get(kind) if isinstance(call.get(kind), dict) else {}
        if index == choice.tools:
            choice.tools += 1
            self.text("type of a call", call.get("type"))
            self.expect(isinstance(call.get("id"), str) and call["id"], f"a call without id: {call!r}")
            self.expect(isinstance(inner.get("name"), str) and inner["name"], f"a call without name: {call!r}")
            self.text("arguments of a call", inner.get("arguments" if kind == "function" else "input"))
            return
        self.expect(isinstance(index, int) and 0 <= index < choice.tools, f"call {index} before call {choice.tools}")
        for key, value in (("id", call.get("id")), ("type", call.get("type")), ("name", inner.get("name"))):
            self.expect(value is None, f"{key} of call {index} again: SDKs join the two")
        self.text("arguments of a call", inner.get("arguments" if kind == "function" else "input"))

    def _finish(self, choice: _ChatChoice, each: dict[str, Any]) -> None:
        finish = each.get("finish_reason")
        if finish is None:
            return
        self.expect(finish in self.FINISHES, f"finish_reason is {finish!r}")
        self.expect(choice.finish is None, "finish_reason twice")
        self.expect(not choice.tools or finish in {"tool_calls", "length", "content_filter"}, f"{finish} beside calls")
        choice.finish = finish
