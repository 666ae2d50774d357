import base64
import json

import pytest
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.errors import BadRequest
from routing.engine.formats.anthropic.codec import AnthropicCodec
from routing.engine.formats.anthropic.hosted import BedrockInvokeCodec, VertexAnthropicCodec
from routing.engine.messages import (
    CacheMark,
    Failed,
    Finish,
    Opaque,
    Origin,
    Reasoning,
    Text,
    TextDelta,
    Thinking,
    Tool,
    ToolCall,
)
from tests.routing.engine.formats.upstream import (
    SIZES,
    assistant,
    chat,
    collected,
    exchange_of,
    sent,
    texts,
    told,
    written,
)
from tests.routing.engine.frames import event as frame_of
from tests.routing.engine.frames import exception

BEDROCK, VERTEX = BedrockInvokeCodec(), VertexAnthropicCodec()
HOSTS = [BEDROCK, VERTEX]
MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CLAUDE = {"thinking": "enabled", "cache_control": True, "max_output": 64000, "top_k": True, "service_tier": False}
STATE = Opaque("c2ln", Origin("anthropic", "provider", "chn_1", "claude"))


def asked(body, **native):
    request = AnthropicCodec().decode_request(json.dumps({"model": "asked", "max_tokens": 99, **body}).encode())
    return replace(request, native={**request.native, **native})


def said(text):
    return {"messages": [{"role": "user", "content": text}]}


def encoded(codec, request, **capabilities):
    """Return body, headers and losses."""
    request_sent, losses = sent(codec, request, MODEL, **{**CLAUDE, **capabilities})
    return request_sent.body, request_sent.headers, losses


@pytest.mark.parametrize(
    ("codec", "envelope", "operations"),
    [
        (BEDROCK, {"anthropic_version": "bedrock-2023-05-31"}, ("bedrock-invoke", "bedrock-invoke:stream")),
        (
            VERTEX,
            {"anthropic_version": "vertex-2023-10-16", "stream": True},
            ("vertex-anthropic", "vertex-anthropic:stream"),
        ),
    ],
)
def test_body_goes_into_the_hosts_envelope(codec, envelope, operations):
    body, headers, losses = encoded(codec, asked({**said("Hi"), "stream": True, "metadata": {"user_id": "u"}}))
    content = [{"type": "text", "text": "Hi"}]
    rest = {"max_tokens": 99, "messages": [{"role": "user", "content": content}], "metadata": {"user_id": "u"}}
    assert body == {**envelope, **rest}
    assert (headers, losses) == ({}, [])
    assert (codec.operation(False), codec.operation(True)) == operations


CODE = {
    **said("Hi"),
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2;"},
        {"type": "text", "text": "You code.", "cache_control": {"type": "ephemeral"}},
    ],
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    "container": "c_1",
    "tools": [
        {"name": "f", "input_schema": {"type": "object"}, "defer_loading": True, "eager_input_streaming": True},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_fetch_20250910", "name": "web_fetch"},
    ],
}
BETAS = ["claude-code-20250219", "advanced-tool-use-2025-11-20", "context-1m-2025-08-07"]


@pytest.mark.parametrize("codec", HOSTS)
def test_what_the_host_does_not_know_is_left_out(codec):
    body, _, losses = encoded(codec, asked(CODE, betas=BETAS))
    assert body["tools"] == [
        {"name": "f", "input_schema": {"type": "object"}},
        {"type": "bash_20250124", "name": "bash"},
    ]
    assert body["system"] == [{"type": "text", "text": "You code.", "cache_control": {"type": "ephemeral"}}]
    assert {"container", "context_management"}.isdisjoint(body)
    assert losses == ["dropped:tool:web_fetch_20250910", "dropped:context_management", "dropped:container"]


def test_betas_that_the_host_knows_open_what_they_are_for():
    betas = [*BETAS, "context-management-2025-06-27", "tool-search-tool-2025-10-19"]
    known = ["context-1m-2025-08-07", "context-management-2025-06-27", "tool-search-tool-2025-10-19"]
    body, headers, losses = encoded(BEDROCK, asked(CODE, betas=betas))
    assert (body["anthropic_beta"], headers) == (known, {})
    assert body["context_management"] == CODE["context_management"]
    assert body["tools"][0]["defer_loading"] is True
    assert "dropped:context_management" not in losses
    body, headers, _ = encoded(VERTEX, asked(CODE, betas=",".join(betas)))
    assert headers == {"anthropic-beta": ",".join(known)}
    assert {"anthropic_beta", "betas"}.isdisjoint(body)


def test_effort_beside_manual_thinking_brings_its_beta():
    request = asked({**said("Hi"), "output_config": {"effort": "high"}})
    body, _, _ = encoded(BEDROCK, request, reasoning_effort=True)
    assert (body["output_config"], body["anthropic_beta"]) == ({"effort": "high"}, ["effort-2025-11-24"])
    body, _, _ = encoded(BEDROCK, request, thinking="adaptive")
    assert "anthropic_beta" not in body


def test_automatic_caching_becomes_a_breakpoint_where_it_is_not_known():
    request = replace(asked(said("Hi")), cache=CacheMark())
    body, _, losses = encoded(BEDROCK, request)
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral"}
    assert ("cache_control" in body, losses) == (False, [])
    assert encoded(VERTEX, request)[0]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("codec", HOSTS)
def test_search_that_does_not_run_there_leaves_no_trace(codec):
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    turn = [{"type": "text", "text": "I looked."}, found]
    search = {"type": "web_search_20250305", "name": "web_search"}
    request = asked(
        {
            "messages": [*said("Hi")["messages"], {"role": "assistant", "content": turn}, *said("So?")["messages"]],
            "tools": [search],
            "tool_choice": {"type": "tool", "name": "web_search"},
        }
    )
    body, _, losses = encoded(codec, request, web_search=codec is VERTEX)
    if codec is VERTEX:
        assert (body["tools"], body["messages"][1]["content"], losses) == ([search], turn, [])
    else:
        assert {"tools", "tool_choice"}.isdisjoint(body)
        assert body["messages"][1]["content"] == turn[:1]
        assert losses == ["dropped:web_search", "dropped:web_search_tool_result"]


@pytest.mark.parametrize("codec", HOSTS)
@pytest.mark.parametrize(
    ("state", "client", "is_sent"),
    [
        (STATE, "openai-chat", True),
        (replace(STATE, origin=Origin("anthropic", "anthropic", "chn_9", "claude")), "gemini", True),
        (replace(STATE, origin=Origin("gemini", "gemini", "chn_9", "gemini-3")), "anthropic", False),
        (Opaque("c2ln"), "anthropic", True),
        (Opaque("c2ln"), "openai-chat", False),
    ],
)
def test_thoughts_survive_a_change_of_host(codec, state, client, is_sent):
    request = chat("Hi", assistant(Reasoning(("Hm.",), state), "Hello"), "Go", client=client)
    body, losses = written(codec, request, MODEL, **CLAUDE)
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    assert (body["messages"][1]["content"][0] == thought) is is_sent
    assert losses == ([] if is_sent else ["dropped:thinking"])


@pytest.mark.parametrize("codec", HOSTS)
def test_other_formats_are_translated_as_for_the_api_itself(codec):
    request = chat("Hi", tools=(Tool("f"),), thinking=Thinking(effort="low"), seed=1, native={"store": True})
    body, losses = written(codec, request, MODEL, **CLAUDE)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert losses == ["dropped:seed", "dropped:store"]


def test_files_lie_with_their_own_host():
    content = [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}]
    with pytest.raises(BadRequest, match="file_1"):
        written(BEDROCK, asked({"messages": [{"role": "user", "content": content}]}), MODEL, **CLAUDE)


# --- answers --------------------------------------------------------------------------------------------------------

USAGE = {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 1}
EVENTS = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": USAGE}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hé🙂"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"a":1}'}},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 999, "outputTokenCount": 999}},
]


def chunk(said):
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return frame_of("chunk", {"bytes": base64.b64encode(body).decode(), "p": "abc"})


FRAMES = b"".join(map(chunk, EVENTS))
LINES = b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in EVENTS)
WHOLE = {
    "id": "msg_1",
    "type": "message",
    "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "text", "text": "Hé🙂"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "usage": {**USAGE, "output_tokens": 7},
}


def exchange(codec):
    return exchange_of(codec, chat("hi"), MODEL, **CLAUDE)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("codec", "stream"), [(BEDROCK, FRAMES), (VERTEX, LINES)])
def test_streams_say_what_the_api_itself_says(codec, stream, size):
    answer = collected(told(codec, stream, size, exchange(codec)))
    assert answer.choices[0].parts == (
        Reasoning(("Hm.",), STATE),
        Text("Hé🙂"),
        ToolCall("toolu_1", "f", '{"a":1}'),
    )
    assert answer.choices[0].finish == Finish("tool_calls")
    assert answer.usage == Usage(input_tokens=8, output_tokens=7, cache_read_tokens=3)
    whole = json.dumps(WHOLE).encode()
    assert codec.decode_answer(whole, exchange(codec)) == answer
    assert collected(told(codec, whole, size, exchange(codec))) == answer  # in place of the stream


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("frame", "failed"),
    [
        (exception("throttlingException", "Slow down"), Failed("Slow down", 429, "throttlingException")),
        (
            chunk({"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}),
            Failed("Busy", 529, "overloaded_error"),
        ),
        (frame_of("chunk", {"bytes": "%%%"}), Failed("The upstream sent an event that cannot be read.", 502)),
        (frame_of("chunk", b"{"), Failed("The upstream sent an event that cannot be read.", 502)),
        (chunk(b"{"), None),
    ],
)
def test_broken_frames_and_exceptions_end_the_stream(frame, failed, size):
    start = b"".join(map(chunk, EVENTS[:8]))
    events = told(BEDROCK, start + frame_of("unknown", {}) + frame + FRAMES, size, exchange(BEDROCK))
    assert texts(events, TextDelta) == "Hé🙂"
    assert isinstance(events[-1], Failed)
    assert failed is None or events[-1] == failed


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("codec", "events", "ending"), [(BEDROCK, EVENTS, chunk), (VERTEX, EVENTS, None)])
def test_stream_without_its_end_has_none(codec, events, ending, size):
    cut = b"".join(map(chunk, events[:-2])) if ending else LINES[: LINES.index(b"event: message_delta")]
    with pytest.raises(AssertionError):
        collected(told(codec, cut, size, exchange(codec)))


def test_json_errors_in_place_of_a_stream_are_told():
    events = told(BEDROCK, b'{"message":"No such model."}', 7, exchange(BEDROCK))
    assert events == [Failed("No such model.")]


def test_error_answers_are_the_hosts_own():
    refused = BEDROCK.decode_error(b'{"message":"Slow"}', {b"x-amzn-errortype": b"ThrottlingException:x"})
    assert (refused.message, refused.code) == ("Slow", "ThrottlingException")
    google = {"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}
    for body in (google, [google]):
        assert VERTEX.decode_error(json.dumps(body).encode(), {}).message == "Quota exceeded."
    own = {"type": "error", "error": {"type": "invalid_request_error", "message": "Bad."}}
    assert VERTEX.decode_error(json.dumps(own).encode(), {}).message == "Bad."
