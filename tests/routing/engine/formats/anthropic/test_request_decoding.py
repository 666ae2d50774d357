import json

import pytest

from routing.engine.errors import BadRequest
from routing.engine.messages import (
    CacheMark,
    Citation,
    Media,
    Message,
    Native,
    Opaque,
    OutputFormat,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from routing.engine.provenance import wrap
from tests.routing.engine.formats.anthropic.exchanges import CODEC, asked, state


def said(*blocks, role="user"):
    """Return the parts of one message."""
    return asked(messages=[{"role": role, "content": list(blocks)}]).messages[0].parts


def test_texts_stand_for_lists_of_blocks():
    request = asked(system="S", messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": ["b"]}])
    assert request.system == (Text("S"),)
    assert request.messages == (Message("user", (Text("a"),)), Message("assistant", (Text("b"),)))


def test_null_is_absent():
    nothing = dict.fromkeys(("system", "tools", "tool_choice", "thinking", "metadata", "stop_sequences", "stream"))
    request = asked(**nothing, temperature=None, container=None, messages=[{"role": "user", "content": None}])
    assert request == asked(messages=[{"role": "user", "content": []}])
    assert request.native == {}


def test_numbers_and_flags():
    request = asked(max_tokens=5.0, temperature=0, top_p=0.5, top_k=3, stop_sequences="END", stream=True)
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k) == (5, 0, 0.5, 3)
    assert (request.stop, request.is_stream) == (("END",), True)


def test_a_token_count_needs_no_limit():
    assert asked(max_tokens=...).max_tokens is None
    assert asked(max_tokens=0).max_tokens == 0


def test_model_and_stream_may_stand_in_the_path():
    body = b'{"messages": []}'
    request = CODEC.decode_request(body, model="claude-y", is_stream=True)
    assert (request.model, request.is_stream) == ("claude-y", True)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": ...}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": 3}}]}]},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "a", "input": {}}]}]},
            "messages[0].content[0].name",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": "yes"}]}]},
            "messages[0].content[0].cache_control",
        ),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"system": 5}, "system"),
        ({"max_tokens": "100"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": 1}, "stream"),
        ({"stop_sequences": ["a", 1]}, "stop_sequences[1]"),
        ({"tools": {"name": "f"}}, "tools"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0].input_schema"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled", "budget_tokens": "many"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"metadata": {"user_id": 7}}, "metadata.user_id"),
        ({"model": ["m"]}, "model"),
        ({"model": ""}, "model"),
    ],
)
def test_what_has_another_shape_is_refused_with_its_path(members, param):
    with pytest.raises(BadRequest) as refused:
        asked(**members)
    assert refused.value.param == param
    assert f"`{param}`" in refused.value.message


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"model": "m", "messages": [', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(body):
    with pytest.raises(BadRequest):
        CODEC.decode_request(body)


def test_half_a_character_is_replaced():
    body = b'{"model": "m", "messages": [{"role": "user", "content": "a\\ud83d"}]}'
    assert CODEC.decode_request(body).messages[0].parts == (Text("a�"),)


def test_pictures_and_documents():
    cached = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    parts = said(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBOR"}, **cached},
        {"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}},
        {"type": "image", "source": {"type": "url", "url": "data:image/gif;base64,R0lG"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}, "transformations": {"resize": 1}},
        {"type": "document", "source": pdf, "title": "r.pdf", "context": "old", "citations": {"enabled": True}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "notes"}},
    )
    assert parts == (
        Media("image", "image/png", data="iVBOR", cache=CacheMark("1h")),
        Media("image", url="https://e.com/a.png"),
        Media("image", "image/gif", data="R0lG"),
        Media("image", file_id="file_1", native={"transformations": {"resize": 1}}),
        Media("document", "application/pdf", data="JVBERi0=", title="r.pdf", context="old", wants_citations=True),
        Media("document", "text/plain", text="notes"),
    )


def test_documents_of_blocks_and_search_results_can_be_read_by_others():
    source = {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    found = {
        "type": "search_result",
        "title": "T",
        "source": "https://e.com",
        "content": [{"type": "text", "text": "x"}],
    }
    written, result = said({"type": "document", "source": source, "title": "D"}, found)
    assert (written.kind, written.text, written.title) == ("document", "a\n\nb", "D")
    assert (result.kind, result.text, result.title, result.context) == ("document", "https://e.com\n\nx", "T", "")


def test_blocks_that_only_this_format_has_are_kept_as_they_are():
    blocks = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "document", "source": {"type": "content", "content": [{"type": "image", "source": {"type": "url"}}]}},
        {"type": "of_the_future", "x": 1},
    ]
    assert said(*blocks) == tuple(Native("anthropic", block["type"], block) for block in blocks)


def test_calls_and_results():
    assert said(
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"é": [1.0, None]}, "caller": {"type": "direct"}},
        {"type": "tool_use", "id": "t2", "name": "g"},
        role="assistant",
    ) == (ToolCall("t1", "f", '{"é":[1.0,null]}', native={"caller": {"type": "direct"}}), ToolCall("t2", "g"))
    assert said(
        {"type": "tool_result", "tool_use_id": "t1", "content": "4C", "cache_control": {"type": "ephemeral"}},
        {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
        {"type": "tool_result", "tool_use_id": "t3", "content": [{"type": "tool_reference", "tool_name": "f"}]},
        {"type": "tool_result", "tool_use_id": "t4", "content": {"rows": 1}},
    ) == (
        ToolResult("t1", (Text("4C"),), cache=CacheMark()),
        ToolResult("t2", is_error=True),
        ToolResult("t3", (Native("anthropic", "tool_reference", {"type": "tool_reference", "tool_name": "f"}),)),
        ToolResult("t4", (Text('{"rows":1}'),)),
    )


# --- opaque state --------------------------------------------------------------------------------------------------


def test_a_raw_signature_has_no_origin_and_a_wrapped_one_its_own():
    wrapped = state("enc", "rs_1", format="openai-responses", family="gpt")
    assert said(
        {"type": "thinking", "thinking": "a", "signature": "sig"},
        {"type": "thinking", "thinking": "b", "signature": wrap(wrapped)},
        {"type": "redacted_thinking", "data": "dark"},
        {"type": "redacted_thinking", "data": wrap(wrapped)},
        role="assistant",
    ) == (
        Reasoning(("a",), Opaque("sig")),
        Reasoning(("b",), wrapped),
        Reasoning(state=Opaque("dark"), is_redacted=True),
        Reasoning(state=wrapped),
    )


@pytest.mark.parametrize("signature", ["", None, wrap(state(""))])
def test_thinking_that_nobody_signed_has_no_state(signature):
    block = {"type": "thinking", "thinking": "a", "signature": signature}
    assert said(block, role="assistant") == (Reasoning(("a",)),)


def test_a_signature_that_a_call_lent_goes_back_to_the_call():
    lent = state("sig", "call", format="gemini")
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    again = {**call, "id": "t2"}
    assert said({"type": "thinking", "thinking": "a", "signature": wrap(lent)}, call, again, role="assistant") == (
        Reasoning(("a",)),
        ToolCall("t1", "f", "{}", state=lent),
        ToolCall("t2", "f", "{}"),
    )
    assert said({"type": "redacted_thinking", "data": wrap(lent)}, call, role="assistant") == (
        ToolCall("t1", "f", "{}", state=lent),
    )


def test_citations_keep_their_own_form_unless_we_made_them():
    own = {"type": "web_search_result_location", "url": "https://e.com", "cited_text": "q", "encrypted_index": "E"}
    made = {**own, "encrypted_index": wrap(state("", "citation"))}
    (part,) = said({"type": "text", "text": "x", "citations": [own, made]}, role="assistant")
    assert part.citations == (
        Citation("https://e.com", quote="q", native=own, format="anthropic"),
        Citation("https://e.com", quote="q"),
    )


# --- the rest ------------------------------------------------------------------------------------------------------


def test_only_the_billing_block_is_for_this_format_alone():
    billing = "x-anthropic-billing-header: cc_version=2; cc_entrypoint=cli;"
    request = asked(system=[{"type": "text", "text": billing}, {"type": "text", "text": "You are an agent."}])
    assert request.system == (Text(billing, only_for="anthropic"), Text("You are an agent."))
    assert asked(system=f"{billing}\nYou are an agent.").system[0].only_for == ""
    assert asked(messages=[{"role": "user", "content": billing}]).messages[0].parts == (Text(billing),)


def test_tools():
    plain = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}
    rich = {**plain, "type": "custom", "defer_loading": True, "cache_control": {"type": "ephemeral"}}
    search = {"type": "web_search_20260209", "name": "web_search", "max_uses": 3}
    editor = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"}
    servers = {"type": "mcp_toolset", "mcp_server_name": "s"}
    assert asked(tools=[plain, rich, {"name": "g"}, search, editor, servers]).tools == (
        Tool("f", description="d", schema={"type": "object"}, strict=True),
        Tool(
            "f",
            description="d",
            schema={"type": "object"},
            strict=True,
            native=rich,
            format="anthropic",
            cache=CacheMark(),
        ),
        Tool("g"),
        Tool("web_search", "hosted", native=search, format="anthropic"),
        Tool("str_replace_based_edit_tool", "hosted", native=editor, format="anthropic"),
        Tool("mcp_toolset", "hosted", native=servers, format="anthropic"),
    )


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ({"type": "auto"}, (ToolChoice("auto"), None)),
        ({"type": "any", "disable_parallel_tool_use": True}, (ToolChoice("required"), False)),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, (ToolChoice("required", ("f",)), True)),
        ({"type": "none"}, (ToolChoice("none"), None)),
    ],
)
def test_tool_choice(choice, meant):
    request = asked(tool_choice=choice)
    assert (request.tool_choice, request.parallel_tool_calls) == meant


@pytest.mark.parametrize(
    ("members", "thinking", "native"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Thinking("enabled", budget_tokens=2000), {}),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Thinking("adaptive", is_shown=False), {}),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
            Thinking("adaptive", "max", is_shown=True),
            {},
        ),
        ({"thinking": {"type": "disabled"}}, Thinking("disabled"), {}),
        ({"output_config": {"effort": "low"}}, Thinking(effort="low"), {}),
        ({"thinking": {"type": "between_tools"}}, None, {"thinking": {"type": "between_tools"}}),
        (
            {"thinking": {"type": "adaptive", "display": "updates", "block_binding": {}}},
            Thinking("adaptive"),
            {"thinking": {"display": "updates", "block_binding": {}}},
        ),
        ({}, None, {}),
    ],
)
def test_thinking(members, thinking, native):
    request = asked(**members)
    assert (request.thinking, request.native) == (thinking, native)


@pytest.mark.parametrize("place", ["output_config", "output_format"])
def test_answers_by_a_schema(place):
    asks = {"type": "json_schema", "schema": {"type": "object"}}
    request = asked(**{place: {"format": asks} if place == "output_config" else asks})
    assert request.output == OutputFormat("json_schema", {"type": "object"}, strict=True)
    assert request.native == {}


@pytest.mark.parametrize(
    ("members", "tier", "native"),
    [
        ({"service_tier": "auto"}, "auto", {}),
        ({"service_tier": "standard_only"}, "default", {}),
        ({"speed": "fast"}, "fast", {}),
        ({"speed": "standard"}, "", {}),
        ({"speed": "fast", "service_tier": "auto"}, "fast", {"service_tier": "auto"}),
    ],
)
def test_service_tiers(members, tier, native):
    request = asked(**members)
    assert (request.service_tier, request.native) == (tier, native)


def test_members_that_only_this_format_has_are_kept_by_name():
    own = {"container": "c", "context_management": {"edits": []}, "mcp_servers": [], "inference_geo": "eu"}
    request = asked(**own, cache_control={"type": "ephemeral"}, metadata={"user_id": "u", "x": 1})
    assert request.native == own
    assert (request.cache, request.user, request.metadata) == (CacheMark(), "u", {"x": 1})


def test_every_example_of_claude_code_can_be_read():
    metadata = {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s"})}
    request = asked(
        metadata=metadata,
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        messages=[{"role": "user", "content": "one"}, {"role": "system", "content": "Agent types: a"}],
    )
    assert [message.role for message in request.messages] == ["user", "system"]
    assert len(request.user) > 64
