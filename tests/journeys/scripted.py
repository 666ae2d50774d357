"""An upstream that answers by script in the format of the path: text, tool calls, refusals, broken streams.

Every channel leads to a lane of its own (`http://…/<lane>/v1/…`), and every lane has its own script. A request that
offers tools takes the next step of the script; one without tools, as clients make on the side, is told `SIDE`.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SIDE = "Nothing of note."


@dataclass(frozen=True)
class Text:
    """Answer with a text."""

    text: str


@dataclass(frozen=True)
class Call:
    """Answer with the call of a tool.

    What only Responses has: `text` is the input of a free-text tool, `set` holds the tool; other formats are told of
    `arguments`, and of the set within the name.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    set: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.set}__{self.name}" if self.set else self.name


@dataclass(frozen=True)
class Busy:
    """Refuse with a status and a time to wait, in seconds."""

    status: int = 429
    retry_after: str = "1"


@dataclass(frozen=True)
class Broken:
    """Begin a text and then tell an error."""

    text: str = "Let me"


Step = Text | Call | Busy | Broken
Event = tuple[str, dict[str, Any]]
ERROR = "the model is overloaded"


# --- what each format says -------------------------------------------------------------------------------------------


def _chat_stream(step: Step, model: str) -> Iterator[Event]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return "", {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model} | {
            "choices": [choice]
        }

    yield chunk({"role": "assistant", "content": ""})
    match step:
        case Call(arguments=arguments):
            function = {"name": step.full_name, "arguments": ""}
            began = {"index": 0, "id": "call_1", "type": "function", "function": function}
            yield chunk({"tool_calls": [began]})
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": json.dumps(arguments)}}]})
            yield chunk({}, "tool_calls")
        case Broken(text):
            yield chunk({"content": text})
            yield "", {"error": {"message": ERROR, "type": "server_error", "code": "overloaded"}}
            return
        case Text(text):
            yield chunk({"content": text})
            yield chunk({}, "stop")
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    yield (
        "",
        {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        | {
            "choices": [],
            "usage": usage,
        },
    )


def _chat_whole(step: Step, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": getattr(step, "text", None)}
    if isinstance(step, Call):
        function = {"name": step.full_name, "arguments": json.dumps(step.arguments)}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
    finish = "tool_calls" if isinstance(step, Call) else "stop"
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model} | {
        "choices": [choice],
        "usage": usage,
    }


def _item(step: Step) -> dict[str, Any]:
    if isinstance(step, Call):
        called = {"id": "fc_1", "call_id": "call_1", "name": step.name, "status": "completed"}
        if step.set:
            called["namespace"] = step.set
        if step.text is not None:
            return called | {"type": "custom_tool_call", "input": step.text}
        return called | {"type": "function_call", "arguments": json.dumps(step.arguments)}
    part = {"type": "output_text", "text": getattr(step, "text", ""), "annotations": []}
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]}


def _responses_whole(step: Step, model: str) -> dict[str, Any]:
    usage = {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 25,
    }
    answer = {"id": "resp_1", "object": "response", "created_at": 1, "model": model, "status": "completed"}
    return answer | {"output": [_item(step)], "usage": usage, "error": None, "incomplete_details": None}


def _responses_stream(step: Step, model: str) -> Iterator[Event]:
    whole = _responses_whole(step, model)
    item = whole["output"][0]
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    here = {"output_index": 0, "item_id": item["id"]}
    events: list[dict[str, Any]] = [{"type": "response.created", "response": begun}]
    if isinstance(step, Call):
        kind, body = (
            ("custom_tool_call_input", "input")
            if step.text is not None
            else (
                "function_call_arguments",
                "arguments",
            )
        )
        added = item | {body: "", "status": "in_progress"}
        events += [
            {"type": "response.output_item.added", "output_index": 0, "item": added},
            {"type": f"response.{kind}.delta", "delta": item[body], **here},
            {"type": f"response.{kind}.done", body: item[body], **here},
        ]
    else:
        part = item["content"][0]
        here |= {"content_index": 0}
        added = item | {"content": [], "status": "in_progress"}
        events += [
            {"type": "response.output_item.added", "output_index": 0, "item": added},
            {"type": "response.content_part.added", "part": part | {"text": ""}, **here},
            {"type": "response.output_text.delta", "delta": part["text"], **here},
        ]
        if not isinstance(step, Broken):
            events += [
                {"type": "response.output_text.done", "text": part["text"], **here},
                {"type": "response.content_part.done", "part": part, **here},
            ]
    if isinstance(step, Broken):
        failed = {"status": "failed", "error": {"code": "server_error", "message": ERROR}, "output": [], "usage": None}
        events.append({"type": "response.failed", "response": whole | failed})
    else:
        events += [
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
    for number, event in enumerate(events):
        yield event["type"], event | {"sequence_number": number}


def _anthropic_whole(step: Step, model: str) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": getattr(step, "text", "")}
    if isinstance(step, Call):
        block = {"type": "tool_use", "id": "toolu_1", "name": step.full_name, "input": step.arguments}
    reason = "tool_use" if isinstance(step, Call) else "end_turn"
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [block]}
    return answer | {
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 20, "output_tokens": 5},
    }


def _anthropic_stream(step: Step, model: str) -> Iterator[Event]:
    whole = _anthropic_whole(step, model)
    (block,) = whole["content"]
    if isinstance(step, Call):
        empty = block | {"input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(step.arguments)}
    else:
        empty, delta = block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
    begun = whole | {"content": [], "stop_reason": None, "usage": {"input_tokens": 20, "output_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "content_block_delta", "index": 0, "delta": delta},
    ]
    if isinstance(step, Broken):
        events.append({"type": "error", "error": {"type": "overloaded_error", "message": ERROR}})
    else:
        ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        events += [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ]
    yield from ((event["type"], event) for event in events)


def _gemini_whole(step: Step, model: str) -> dict[str, Any]:
    part: dict[str, Any] = {"text": getattr(step, "text", "")}
    if isinstance(step, Call):
        part = {"functionCall": {"name": step.full_name, "args": step.arguments}, "thoughtSignature": "c2lnbmF0dXJl"}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 20, "candidatesTokenCount": 5, "totalTokenCount": 25}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "resp-1"}


def _gemini_stream(step: Step, model: str) -> Iterator[Event]:
    whole = _gemini_whole(step, model)
    if isinstance(step, Broken):
        del whole["candidates"][0]["finishReason"]
    yield "", whole
    if isinstance(step, Broken):
        yield "", {"error": {"code": 503, "message": ERROR, "status": "UNAVAILABLE"}}


Whole = Callable[[Step, str], dict[str, Any]]
Stream = Callable[[Step, str], Iterator[Event]]
#: Format → where it is asked, and what it says.
FORMATS: dict[str, tuple[str, Whole, Stream]] = {
    "openai-chat": ("/chat/completions", _chat_whole, _chat_stream),
    "openai-responses": ("/responses", _responses_whole, _responses_stream),
    "anthropic": ("/messages", _anthropic_whole, _anthropic_stream),
    "gemini": ("enerateContent", _gemini_whole, _gemini_stream),
}
COUNTS = {
    "/messages/count_tokens": {"input_tokens": 20},
    ":countTokens": {"totalTokens": 20},
    "/responses/input_tokens": {"object": "response.input_tokens", "input_tokens": 20},
}


# --- the server ------------------------------------------------------------------------------------------------------


@dataclass
class Lane:
    """The script of a channel, and the requests that have come for it."""

    steps: list[Step] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    #: When each of them came, in seconds.
    came_s: list[float] = field(default_factory=list)


class ScriptedUpstream:
    """The server, in threads of this process."""

    def __init__(self) -> None:
        self.lanes: defaultdict[str, Lane] = defaultdict(Lane)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.lock = threading.Lock()

    def script(self, lane: str, *steps: Step) -> Lane:
        """Give a lane a new script, and forget what it was asked."""
        self.lanes[lane] = Lane(list(steps))
        return self.lanes[lane]

    def next_step(self, lane: Lane, body: dict[str, Any]) -> Step:
        with self.lock:
            lane.seen.append(body)
            lane.came_s.append(time.monotonic())
            return lane.steps.pop(0) if _offers_tools(body) and lane.steps else Text(SIDE)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _offers_tools(body: dict[str, Any]) -> bool:
    items = body.get("input")
    declared = [item.get("tools") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return bool(body.get("tools")) or any(declared)


def _handler(upstream: ScriptedUpstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, json.dumps({"object": "list", "data": []}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            _, lane, path = self.path.partition("?")[0].split("/", 2)
            for ending, count in COUNTS.items():
                if path.endswith(ending):
                    self._send(200, json.dumps(count).encode())
                    return
            ending, whole, stream = next(said for said in FORMATS.values() if f"/{path}".endswith(said[0]))
            step = upstream.next_step(upstream.lanes[lane], body)
            model = body.get("model") or path.rpartition("/models/")[2].partition(":")[0]
            is_stream = body.get("stream") or "streamGenerateContent" in path
            if isinstance(step, Busy):
                error = {"type": "error", "error": {"type": "rate_limit_error", "code": step.status, "message": "wait"}}
                self._send(step.status, json.dumps(error).encode(), retry_after=step.retry_after)
            elif is_stream:
                events = "".join(_sse(name, data) for name, data in stream(step, model))
                done = "data: [DONE]\n\n" if whole is _chat_whole and not isinstance(step, Broken) else ""
                self._send(200, (events + done).encode(), "text/event-stream")
            else:
                status = 503 if isinstance(step, Broken) else 200
                said = {"error": {"message": ERROR}} if isinstance(step, Broken) else whole(step, model)
                self._send(status, json.dumps(said).encode())

        def _send(self, status: int, body: bytes, kind: str = "application/json", retry_after: str = "") -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            if retry_after:
                self.send_header("retry-after", retry_after)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: Any) -> None:
            """Say nothing."""

    return Handler


def _sse(name: str, data: dict[str, Any]) -> str:
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n"
