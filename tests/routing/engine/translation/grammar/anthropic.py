"""The grammar of Anthropic Messages streams."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from tests.routing.engine.translation.grammar.reading import Reading


class AnthropicReading(Reading):
    """Named events; blocks one after the other; usage at both ends; a signature once, as a block's last delta."""

    DELTAS: ClassVar[dict[str, frozenset[str]]] = {
        "text": frozenset({"text_delta", "citations_delta"}),
        "thinking": frozenset({"thinking_delta", "signature_delta"}),
        "tool_use": frozenset({"input_json_delta"}),
        "server_tool_use": frozenset({"input_json_delta"}),
        "compaction": frozenset({"compaction_delta"}),
    }
    START: ClassVar[dict[str, dict[str, Any]]] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    STOPS = frozenset(
        [
            "end_turn",
            "max_tokens",
            "stop_sequence",
            "tool_use",
            "pause_turn",
            "refusal",
            "model_context_window_exceeded",
        ]
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.has_begun = False
        self.blocks = 0
        self.kind = ""
        self.json: list[str] = []
        self.is_signed = False
        self.has_calls = False
        self.stop: str | None = None

    def take(self, name: str, data: str) -> None:
        event = self.decoded(data)
        if event is None:
            return
        kind = event.get("type")
        self.expect(name == kind, f"event {name!r} holds type {kind!r}: SDKs drop what has no name")
        if kind == "error":
            self._error(event)
        elif kind == "message_start":
            self._begin(event)
        elif not self.has_begun:
            self.wrong(f"{kind} before message_start")
        elif kind != "ping":
            take = {
                "content_block_start": self._open,
                "content_block_delta": self._delta,
                "content_block_stop": self._close_block,
                "message_delta": self._message_delta,
                "message_stop": self._stop,
            }.get(str(kind))
            self.expect(take, f"unknown event {kind!r}")
            if take:
                take(event)

    def _error(self, event: dict[str, Any]) -> None:
        error = event.get("error")
        is_whole = isinstance(error, dict) and all(isinstance(error.get(key), str) for key in ("type", "message"))
        self.expect(is_whole, f"error is {error!r}")
        self.ending = "error"

    def _begin(self, event: dict[str, Any]) -> None:
        self.expect(not self.has_begun, "message_start twice")
        self.has_begun = True
        message = event.get("message") or {}
        self.constant("id", message.get("id"))
        self.constant("model", message.get("model"))
        self.expect(message.get("type") == "message" and message.get("role") == "assistant", f"message is {message!r}")
        self.expect(message.get("content") == [], f"content at the start is {message.get('content')!r}")
        self.expect(message.get("stop_reason") is None, "stop_reason at the start")
        usage = message.get("usage") or {}
        for each in ("input_tokens", "output_tokens"):
            self.count(each, usage.get(each))

    def _open(self, event: dict[str, Any]) -> None:
        self.expect(not self.kind, f"a block begins while a {self.kind} block is open")
        self.expect(self.stop is None, "a block after message_delta")
        self.expect(event.get("index") == self.blocks, f"block {event.get('index')!r}, expected {self.blocks}")
        block = event.get("content_block") or {}
        self.kind, self.json, self.is_signed = str(block.get("type")), [], False
        for key, value in self.START.get(self.kind, {}).items():
            self.expect(block.get(key) == value, f"{key} of a {self.kind} block begins as {block.get(key)!r}")
        if self.kind == "tool_use":
            self.has_calls = True
            for key in ("id", "name"):
                self.expect(isinstance(block.get(key), str) and block[key], f"{key} of a call is {block.get(key)!r}")
        elif self.kind == "redacted_thinking":
            self.expect(isinstance(block.get("data"), str) and block["data"], "redacted thinking without data")

    def _delta(self, event: dict[str, Any]) -> None:
        self.expect(
            self.kind and event.get("index") == self.blocks, f"a delta for {event.get('index')!r}, which is not open"
        )
        delta = event.get("delta") or {}
        kind = delta.get("type")
        self.expect(kind in self.DELTAS.get(self.kind, {kind}), f"{kind} in a {self.kind} block")
        self.expect(not self.is_signed, f"{kind} after the signature")
        member = {
            "text_delta": "text",
            "thinking_delta": "thinking",
            "signature_delta": "signature",
            "input_json_delta": "partial_json",
        }.get(str(kind))
        if member:
            self.text(member, delta.get(member))
        if kind == "signature_delta":
            self.is_signed = True
            self.expect(delta.get("signature"), "an empty signature")
        elif kind == "input_json_delta":
            self.json.append(str(delta.get("partial_json")))

    def _close_block(self, event: dict[str, Any]) -> None:
        self.expect(
            self.kind and event.get("index") == self.blocks, f"the end of {event.get('index')!r}, which is not open"
        )
        self.kind = ""
        self.blocks += 1

    def _message_delta(self, event: dict[str, Any]) -> None:
        self.expect(not self.kind, f"message_delta while a {self.kind} block is open")
        usage = event.get("usage")
        self.expect(isinstance(usage, dict), f"usage of message_delta is {usage!r}")
        self.count("output_tokens", (usage or {}).get("output_tokens"))
        stop = (event.get("delta") or {}).get("stop_reason")
        if stop is not None:
            # Upstreams invent reasons; what could be one, and is no other format's, is told to their own clients.
            is_foreign = stop in {"stop", "length", "tool_calls", "content_filter", "completed", "incomplete"}
            is_word = isinstance(stop, str) and re.fullmatch(r"[a-z][a-z0-9_]*", stop) and not is_foreign
            self.expect(stop in self.STOPS or is_word, f"stop_reason is {stop!r}")
            is_fit = not self.has_calls or stop in {
                "tool_use",
                "max_tokens",
                "refusal",
                "model_context_window_exceeded",
            }
            self.expect(is_fit, f"{stop} beside calls")
            self.stop = stop

    def _stop(self, event: dict[str, Any]) -> None:
        self.expect(self.stop, "message_stop without a stop_reason")
        self.expect(not self.kind, f"message_stop while a {self.kind} block is open")
        self.ending = "clean"
