"""What this format says to itself through the gateway: nothing that it can say may be lost."""

import json

import pytest
from msgspec.structs import replace

from routing.engine.translation import Translation
from tests.routing.engine.formats.anthropic.exchanges import (
    CLAUDE,
    CODEC,
    CUTS,
    accumulated,
    asked,
    block,
    decoded,
    encoded,
    end,
    exchange,
    start,
    text,
    write,
)

EPHEMERAL = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
WEB = {
    "type": "web_search_result_location",
    "url": "https://e.com",
    "title": "T",
    "cited_text": "q",
    "encrypted_index": "RW5j",
}
BODY = {
    "model": "claude-x",
    "max_tokens": 64000,
    "stream": True,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cc_entrypoint=cli;"},
        {"type": "text", "text": "You are an agent.", **HOUR},
    ],
    "thinking": {"type": "adaptive", "display": "summarized"},
    "output_config": {
        "effort": "high",
        "task_budget": {"type": "tokens", "total": 90000},
        "format": {"type": "json_schema", "schema": {"type": "object", "properties": {"n": {"minimum": 1}}}},
    },
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "mcp_servers": [{"type": "url", "url": "https://e.com", "name": "s"}],
    "container": {"id": "c", "skills": []},
    "metadata": {"user_id": '{"device_id":"d","session_id":"s"}'},
    "service_tier": "standard_only",
    "stop_sequences": ["\n\nHuman:"],
    "tools": [
        {
            "name": "f",
            "description": "d",
            "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"},
            "strict": True,
            "eager_input_streaming": True,
            "input_examples": [{"a": 1}],
            "allowed_callers": ["direct", "code_execution_20260120"],
            **EPHEMERAL,
        },
        {"name": "g", "input_schema": {"type": "object"}, "defer_loading": True},
        {"type": "web_search_20260209", "name": "web_search", "max_uses": 5, "allowed_domains": ["e.com"]},
        {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        {"type": "mcp_toolset", "mcp_server_name": "s", "default_config": {"enabled": False}},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "document", "source": PDF, "title": "r.pdf", "context": "c", "citations": {"enabled": True}},
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "a"}]},
                    "title": "D",
                },
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}, "transformations": {"crop": 1}},
                {
                    "type": "search_result",
                    "source": "s",
                    "title": "T",
                    "content": [{"type": "text", "text": "x"}],
                    "citations": {"enabled": True},
                },
                {"type": "container_upload", "file_id": "file_2"},
                {"type": "text", "text": "go"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "plan ", "signature": "U0lHTkFUVVJF"},
                {"type": "redacted_thinking", "data": "RGFyaw=="},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srvtoolu_1",
                    "content": [{"type": "web_search_result", "url": "https://e.com", "encrypted_content": "E"}],
                },
                {"type": "text", "text": "Found.", "citations": [WEB]},
                {"type": "compaction", "content": "so far", "signature": "s"},
                {"type": "thinking", "thinking": "", "signature": "T01JVFRFRA=="},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "f",
                    "input": {"b": [1, 2.5, None], "a": "é"},
                    "caller": {"type": "direct"},
                },
                {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}, "toolset_name": "browser"},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [
                        {"type": "text", "text": "4C"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
                        {"type": "tool_reference", "tool_name": "g"},
                    ],
                    **EPHEMERAL,
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_2",
                    "content": [{"type": "text", "text": "no"}],
                    "is_error": True,
                    "toolset_name": "browser",
                },
                {"type": "text", "text": "and?", **EPHEMERAL},
            ],
        },
        {"role": "system", "content": [{"type": "text", "text": "Agent types: a, b"}]},
    ],
}


def test_a_request_comes_out_as_it_went_in():
    body, losses = write(asked(**BODY), replace(CLAUDE, mid_system=True))
    assert body == BODY
    assert losses == ()


def test_texts_and_defaults_mean_the_same():
    body, _ = write(asked(system="S", messages=[{"role": "user", "content": "a"}], cache_control={"type": "ephemeral"}))
    assert body["system"] == [{"type": "text", "text": "S"}]
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    assert body["cache_control"] == {"type": "ephemeral"}


def test_without_breakpoints_nothing_else_is_lost():
    def plain(value):
        if isinstance(value, dict):
            return {name: plain(each) for name, each in value.items() if name != "cache_control"}
        return [plain(each) for each in value] if isinstance(value, list) else value

    body, _ = write(asked(**BODY), replace(CLAUDE, mid_system=True, cache_control=False))
    assert body == plain(BODY)


# --- an answer, and the next request with it -----------------------------------------------------------------------

CONTENT = [
    {"type": "thinking", "thinking": "plan", "signature": "U0lHTkFUVVJF"},
    {"type": "redacted_thinking", "data": "RGFyaw=="},
    {"type": "thinking", "thinking": "", "signature": "T01JVFRFRA=="},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
    {"type": "text", "text": "Found.", "citations": [WEB]},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
]
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "ok"}]}


def streamed():
    """Return the content as an upstream streams it."""
    texts = {"thinking": "thinking_delta", "text": "text_delta"}
    body = start()
    for index, said in enumerate(CONTENT):
        kind = said["type"]
        deltas = []
        if kind in texts:
            deltas += [{"type": texts[kind], kind: piece} for piece in said[kind]]
            deltas += [{"type": "citations_delta", "citation": each} for each in said.get("citations", ())]
            if kind == "thinking":
                deltas.append({"type": "signature_delta", "signature": said["signature"]})
            begun = {"type": kind, kind: "", **({"signature": ""} if kind == "thinking" else {})}
        elif "input" in said:
            given = json.dumps(said["input"])
            deltas += [{"type": "input_json_delta", "partial_json": piece} for piece in (given[:4], given[4:])]
            begun = {**said, "input": {}}
        else:
            begun = said
        body += block(index, begun, *deltas)
    return body + end("tool_use")


def next_request(content):
    """Return what the upstream gets when the client goes on."""
    messages = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": [RESULT]},
    ]
    body, losses = write(asked(messages=messages, tools=[{"name": "f"}]))
    assert losses == ()
    return body["messages"][1]["content"]


def test_a_whole_answer_goes_back_as_it_came():
    said = {"type": "message", "id": "m", "model": "c", "content": CONTENT, "stop_reason": "tool_use", "usage": {}}
    translating = Translation(CODEC, CODEC, exchange(asked()))
    told = json.loads(translating.tell(translating.read(json.dumps(said).encode())))
    assert [each["type"] for each in told["content"]] == [each["type"] for each in CONTENT]
    assert "U0lHTkFUVVJF" not in json.dumps(told)  # it travels in our wrapper
    assert next_request(told["content"]) == CONTENT


@pytest.mark.parametrize("size", CUTS)
def test_a_streamed_answer_goes_back_as_it_came(size):
    exchanging = exchange(asked())
    told = accumulated(encoded(decoded(streamed(), size, exchanging), exchanging))
    assert told["stop_reason"] == "tool_use"
    content = [{name: value for name, value in each.items() if value is not None} for each in told["content"]]
    assert next_request(content) == CONTENT


def test_streams_do_not_depend_on_the_cuts():
    body = streamed().replace(b"\n", b"\r\n")
    events = decoded(body, len(body), exchange(asked()))
    for size in range(1, 40):
        assert decoded(body, size, exchange(asked())) == events


def test_deltas_are_told_one_by_one():
    body = start() + text(0, *["word "] * 10_000) + end()
    told = encoded(decoded(body))
    assert told.count(b'"text_delta"') == 10_000
    assert accumulated(told, 65_536)["content"][0]["text"] == "word " * 10_000
