"""One request, one answer and one stream that use nearly everything: what hostile inputs are grown from."""

from __future__ import annotations

from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.answers import events_of
from routing.engine.errors import BadRequest
from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Choice,
    Citation,
    Finish,
    Media,
    Message,
    Opaque,
    OutputFormat,
    Reasoning,
    StreamEvent,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from tests.routing.engine.translation import talking
from tests.routing.engine.translation.carries import CARRIES, PDF, PIXEL
from tests.routing.engine.translation.talking import asked, encoded, exchange

_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "A city", "enum": ["a", "b"]},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "many": {"type": "array", "items": {"type": ["integer", "null"]}},
    },
    "required": ["city"],
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
}
_STATE = Opaque("c2lnbmF0dXJl")


def request(name: str) -> ChatRequest:
    """Return a request with tools, media, thoughts, calls and results."""
    call = ToolCall("call_1", "get_weather", '{"city":"a","deep":{"x":[1,2.5,null]}}')
    other = ToolCall("call_2", "get_weather", "{}")
    thought = (Reasoning(("I think",), _STATE),) if CARRIES[name].reasoning_in_history else ()
    image, document = Media("image", "image/png", PIXEL), Media("document", "application/pdf", PDF, title="a.pdf")
    return ChatRequest(
        name,
        "m",
        (
            Message("user", (Text("Look:"), image, document)),
            Message("assistant", (*thought, Text("I look."), call, other)),
            Message("user", (ToolResult("call_1", (Text("sunny"),), name="get_weather"),)),
            Message("user", (ToolResult("call_2", (Text('{"t":1}'),), name="get_weather"),)),
            Message("assistant", (Text("It is sunny."),)),
            Message("user", (Text("Thanks."),)),
        ),
        system=(Text("Be brief."),),
        tools=(Tool("get_weather", description="Tells the weather", schema=_SCHEMA),),
        tool_choice=ToolChoice("auto"),
        max_tokens=4000,
        stop=("END",),
        thinking=Thinking("adaptive" if name == "anthropic" else None, effort="low"),
        output=OutputFormat("json_schema", _SCHEMA, "answer"),
        metadata={"a": "b"},
        user="u",
        is_stream=True,
    )


def request_body(name: str) -> Any:
    """Return the same as the body of a client of this format."""
    try:
        written = talking.translation(request(name), name).write().body
    except BadRequest:  # pragma: no cover - a codec that refuses its own sample fails the property tests
        written = {}
    return msgspec.json.decode(msgspec.json.encode(written))


def answer() -> ChatAnswer:
    """Return an answer with thoughts, words, citations and calls."""
    parts = (
        Reasoning(("First,",), _STATE),
        Text("It is sunny. 😀", citations=(Citation("https://a.example", "A", 0, 5),)),
        ToolCall("call_1", "get_weather", '{"city":"a","deep":{"x":[1,2.5,null]}}'),
        ToolCall("call_2", "get_weather", '{"city":"b"}'),
    )
    usage = Usage(input_tokens=9, output_tokens=8, cache_read_tokens=3, cache_write_tokens=1, reasoning_tokens=2)
    return ChatAnswer("up_1", "upstream-model", 1_790_000_000, (Choice(parts, Finish("tool_calls")),), usage)


def answer_body(name: str) -> Any:
    """Return the same as the body of an upstream's answer."""
    return msgspec.json.decode(talking.client(name).encode_answer(answer(), exchange(asked(name), name)))


def stream(name: str, events: list[StreamEvent] | None = None) -> bytes:
    """Return the same, or other events, as an upstream's stream."""
    told = list(events_of(answer())) if events is None else events
    return encoded(talking.client(name).stream_encoder(exchange(asked(name, is_stream=True), name)), told)
