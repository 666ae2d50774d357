import json

import pytest

from routing.engine.errors import BadRequest
from routing.engine.messages import (
    CacheMark,
    Media,
    Message,
    Native,
    Opaque,
    Origin,
    OutputFormat,
    Reasoning,
    Search,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from routing.engine.provenance import wrap
from tests.routing.engine.formats.openai_chat.talk import CODEC, decoded, turn

USER = {"role": "user", "content": "hi"}
CLAUDE = Origin("anthropic", "anthropic", "chn_9", "claude")


def refusal(body: object) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        CODEC.decode_request(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value


def parts(message: dict) -> tuple:
    return turn({"role": "user", "content": "q"}, message).messages[1].parts


# --- messages ----------------------------------------------------------------------------------------------------


def test_system_messages_lead_or_stay_in_place():
    request = turn(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}, "c"]},
        USER,
        {"role": "system", "content": "later"},
    )
    assert request.system == (Text("a"), Text("b"), Text("c"))
    assert request.messages == (Message("user", (Text("hi"),)), Message("system", (Text("later"),)))


@pytest.mark.parametrize("content", ["hi", ["hi"], [{"type": "text", "text": "hi"}], {"type": "text", "text": "hi"}])
def test_text_is_taken_as_a_string_or_as_parts(content):
    assert parts({"role": "user", "content": content}) == (Text("hi"),)


@pytest.mark.parametrize("content", ["", None, [], [{"type": "text", "text": ""}], [""]])
def test_empty_content_has_no_parts(content):
    assert parts({"role": "assistant", "content": content}) == ()


def test_media_keep_their_type_detail_and_order():
    content = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": "https://a.example/b.png"},
        {"type": "image_url", "image_url": {"url": "/9j/4AAQ"}},
        {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        {"type": "file", "file": {"filename": "r.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "file", "file": {"file_data": "JVBERi0="}},
        {"type": "file", "file": {"filename": "n.txt", "file_data": "data:,a%20b"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "text", "text": "compare"},
    ]
    assert parts({"role": "user", "content": content}) == (
        Media("image", "image/png", data="AAAA", detail="low"),
        Media("image", url="https://a.example/b.png"),
        Media("image", "image/jpeg", data="/9j/4AAQ"),
        Media("audio", "audio/wav", data="UklG"),
        Media("document", "application/pdf", data="JVBERi0=", title="r.pdf"),
        Media("document", "application/pdf", data="JVBERi0="),
        Media("document", "text/plain", data="YSBi", title="n.txt"),
        Media("document", file_id="file-1"),
        Text("compare"),
    )


def test_cache_marks_are_read_in_either_spelling():
    content = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "b", "prompt_cache_breakpoint": {"mode": "explicit"}},
    ]
    assert parts({"role": "user", "content": content}) == (
        Text("a", cache=CacheMark("1h")),
        Text("b", cache=CacheMark()),
    )
    marked = {"role": "user", "content": "c", "cache_control": {"type": "ephemeral"}}
    assert parts(marked) == (Text("c", cache=CacheMark()),)


def test_parts_that_only_this_format_has_are_kept():
    odd = {"type": "doc_url", "doc_url": {"url": "x"}}
    assert parts({"role": "user", "content": [odd]}) == (Native("openai-chat", "doc_url", odd),)
    assert parts({"role": "assistant", "audio": {"id": "a1"}}) == (Native("openai-chat", "audio", {"id": "a1"}),)


def test_refusals_are_read_from_member_and_part():
    message = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "refusal": "never"}
    assert parts(message) == (Text("no", is_refusal=True), Text("never", is_refusal=True))


@pytest.mark.parametrize(
    "members",
    [
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm", "index": 0}]},
        {
            "reasoning_details": [
                {"type": "reasoning.summary", "summary": "h"},
                {"type": "reasoning.summary", "summary": "m"},
            ]
        },
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "x"},
            ]
        },
    ],
)
def test_reasoning_is_told_once(members):
    assert parts({"role": "assistant", "content": "x", **members}) == (Reasoning(("hm",)), Text("x"))


def test_foreign_reasoning_details_stay_whole():
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "sig"},
        {"type": "reasoning.encrypted", "data": "e"},
    ]
    (thought,) = parts({"role": "assistant", "reasoning": "hm", "reasoning_details": details})
    assert thought.texts == ("hm",)
    assert (thought.state.origin, thought.state.place) == (None, "reasoning_details")
    assert json.loads(thought.state.blob) == details


def test_own_reasoning_details_are_unwrapped_with_their_passages():
    one, two = Opaque("s1", CLAUDE), Opaque("s2", CLAUDE)
    details = [
        {"type": "reasoning.encrypted", "data": wrap(one), "index": 0, "start": 0, "end": 2},
        {"type": "reasoning.encrypted", "data": wrap(two), "index": 1, "start": 4, "end": 6, "redacted": True},
    ]
    message = {"role": "assistant", "reasoning_content": "aabbccdd", "reasoning_details": details}
    assert parts(message) == (
        Reasoning(("aa",), one),
        Reasoning(("bb",)),
        Reasoning(("cc",), two, is_redacted=True),
        Reasoning(("dd",)),
    )


@pytest.mark.parametrize("passage", [{}, {"start": 0, "end": 99}, {"start": "x", "end": None}, {"start": 5, "end": 2}])
def test_passages_that_lie_leave_the_text_whole(passage):
    state = Opaque("s1", CLAUDE)
    details = [{"type": "reasoning.encrypted", "data": wrap(state), **passage}]
    message = {"role": "assistant", "reasoning_content": "abc", "reasoning_details": details}
    assert parts(message) == (Reasoning(("abc",), state),)


def test_torn_wrappers_stay_as_they_are():
    torn = wrap(Opaque("s1", CLAUDE))[:-3]
    (thought,) = parts({"role": "assistant", "reasoning_details": [{"type": "reasoning.encrypted", "data": torn}]})
    assert thought.state.origin is None


# --- tools in the history ----------------------------------------------------------------------------------------


def test_calls_and_results_in_every_spelling():
    request = turn(
        USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                {"id": "c2", "function": {"name": "g", "arguments": {"b": 2}}},
                {"id": "c3", "type": "custom", "custom": {"name": "patch", "input": "*** x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        {
            "role": "tool",
            "tool_call_id": "c3",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
        },
    )
    assert request.messages[1].parts == (
        ToolCall("c1", "f", '{"a":1}'),
        ToolCall("c2", "g", '{"b":2}'),
        ToolCall("c3", "patch", "*** x", is_custom=True),
    )
    assert request.messages[2:] == (
        Message(
            "user",
            (
                ToolResult("c1", (Text("1"),)),
                ToolResult("c2", (Text("2"),)),
                ToolResult("c3", (Media("image", "image/png", data="AA"),), is_custom=True),
            ),
        ),
    )


def test_ids_that_are_missing_are_minted_and_paired():
    messages = (
        USER,
        {
            "role": "assistant",
            "tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "g"}}, {"function": {"name": "f"}}],
        },
        {"role": "tool", "name": "g", "content": "1"},
        {"role": "tool", "content": "2"},
        {"role": "tool", "content": "3"},
    )
    calls, results = turn(*messages).messages[1:]
    ids = [call.id for call in calls.parts]
    assert len(set(ids)) == 3
    assert [(result.call_id, result.parts[0].text) for result in results.parts] == [
        (ids[1], "1"),
        (ids[0], "2"),
        (ids[2], "3"),
    ]
    assert turn(*messages) == turn(*messages)


def test_legacy_functions_become_tools():
    request = decoded(
        messages=[
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "4C"},
        ],
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    (call,) = request.messages[1].parts
    assert request.messages[2].parts == (ToolResult(call.id, (Text("4C"),), name="f"),)
    assert [(tool.name, tool.kind) for tool in request.tools] == [("f", "function")]
    assert request.tool_choice == ToolChoice("required", ("f",))


def test_state_on_calls_is_unwrapped():
    state = Opaque("SIG", Origin("gemini", "gemini", "chn_2", "gemini-3"), "call")
    call = {
        "id": "c",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": wrap(state)}},
    }
    assert parts({"role": "assistant", "tool_calls": [call]}) == (ToolCall("c", "f", "{}", state=state),)


# --- tools on offer ----------------------------------------------------------------------------------------------


def test_tools_on_offer():
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    request = decoded(
        tools=[
            {"type": "function", "function": {"name": "f", "description": None, "parameters": {}, "strict": True}},
            {"function": {"name": "g"}, "cache_control": {"type": "ephemeral"}},
            {"type": "function", "name": "flat", "parameters": {"type": "object"}},
            {"type": "custom", "custom": {"name": "patch", "description": "d", "format": grammar}},
            {"type": "web_search", "web_search": {"enable": True}},
        ],
        web_search_options={"search_context_size": "low"},
    )
    assert request.tools == (
        Tool("f", schema={}, strict=True),
        Tool("g", cache=CacheMark()),
        Tool("flat", schema={"type": "object"}),
        Tool("patch", "custom", "d", grammar={"type": "grammar", "syntax": "lark", "definition": "start: x"}),
        Tool(
            "web_search", "hosted", native={"type": "web_search", "web_search": {"enable": True}}, format="openai-chat"
        ),
        Tool(
            "web_search",
            "hosted",
            native={"search_context_size": "low"},
            format="openai-chat",
            search=Search(context_size="low"),
        ),
    )


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("required", ("f",))),
        ({"type": "function", "name": "f"}, ToolChoice("required", ("f",))),
        ({"type": "custom", "custom": {"name": "p"}}, ToolChoice("required", ("p",))),
        ({"type": "web_search_preview"}, ToolChoice("required", ("web_search",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            ToolChoice("required", ("f",), is_list=True),
        ),
        (None, None),
    ],
)
def test_tool_choices(choice, wanted):
    assert decoded(tool_choice=choice).tool_choice == wanted


# --- everything else ---------------------------------------------------------------------------------------------


def test_numbers_and_words():
    request = decoded(
        max_tokens=5,
        max_completion_tokens=9.0,
        temperature=0,
        top_p=0.5,
        top_k=4,
        stop="END",
        seed=1,
        presence_penalty=-1,
        frequency_penalty=0.25,
        logit_bias={"5": -100},
        n=2,
        logprobs=True,
        top_logprobs=3,
        verbosity="low",
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        prompt_cache_key="k",
        cache_control={"type": "ephemeral"},
        parallel_tool_calls=False,
    )
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k) == (9, 0, 0.5, 4)
    assert (request.stop, request.seed, request.presence_penalty, request.frequency_penalty) == (("END",), 1, -1, 0.25)
    assert (request.logit_bias, request.choices, request.logprobs, request.top_logprobs) == ({"5": -100}, 2, True, 3)
    assert (request.verbosity, request.user, request.metadata) == ("low", "u", {"a": "b"})
    assert (request.service_tier, request.cache_key, request.cache) == ("flex", "k", CacheMark())
    assert request.parallel_tool_calls is False
    assert request.native == {}


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"reasoning_effort": "high"}, Thinking(effort="high")),
        ({"reasoning_effort": "none"}, Thinking(effort="none")),
        ({"reasoning": {"effort": "low", "exclude": True}}, Thinking(effort="low", is_shown=False)),
        ({"reasoning": {"max_tokens": 900}}, Thinking(budget_tokens=900)),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, Thinking("enabled", budget_tokens=5)),
        ({"thinking": {"type": "disabled"}}, Thinking("disabled")),
        ({"enable_thinking": True, "thinking_budget": 50}, Thinking("enabled", budget_tokens=50)),
        ({"enable_thinking": False}, Thinking("disabled")),
        ({"chat_template_kwargs": {"enable_thinking": False}}, Thinking("disabled")),
        ({"think": True}, Thinking("enabled")),
        ({"think": "medium"}, Thinking(effort="medium")),
        ({"reasoning_effort": "default"}, None),
        ({"thinking": "odd", "reasoning": 3}, None),
        ({}, None),
    ],
)
def test_every_dialect_of_thinking_is_understood(members, wanted):
    assert decoded(**members).thinking == wanted


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, OutputFormat("json_object")),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": False}},
            OutputFormat("json_schema", {"type": "object"}, "n", False),
        ),
        ({"type": "json", "value": {"type": "object"}}, OutputFormat("json_schema", {"type": "object"})),
        ({"type": "json_object", "schema": {"type": "object"}}, OutputFormat("json_schema", {"type": "object"})),
    ],
)
def test_response_formats(shape, wanted):
    assert decoded(response_format=shape).output == wanted


def test_what_only_this_format_has_is_native():
    request = decoded(
        prediction={"type": "content"},
        min_p=0.1,
        guided_json={"type": "object"},
        store=False,
        modalities=["text"],
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        response_format={"type": "grammar", "value": "x"},
        seed=None,
    )
    assert request.native == {
        "prediction": {"type": "content"},
        "min_p": 0.1,
        "guided_json": {"type": "object"},
        "store": False,
        "stream_options": {"include_obfuscation": False},
        "response_format": {"type": "grammar", "value": "x"},
    }


@pytest.mark.parametrize(("members", "wanted"), [({}, True), ({"stream": True}, False)])
def test_usage_is_wanted_in_streams_only_on_request(members, wanted):
    assert decoded(**members).wants_usage is wanted
    assert decoded(stream=True, stream_options={"include_usage": True}).wants_usage


def test_safety_identifier_is_the_user():
    request = decoded(safety_identifier="s")
    assert (request.user, request.native) == ("s", {"safety_identifier": "s"})


def test_half_surrogate_pairs_are_read():
    raw = b'{"model":"m","messages":[{"role":"user","content":"a\\ud83d"}]}'
    assert CODEC.decode_request(raw).messages[0].parts == (Text("a\ufffd"),)


def test_path_may_say_model_and_stream():
    request = CODEC.decode_request(b'{"messages":[]}', model="deployed", is_stream=True)
    assert (request.model, request.is_stream, request.wants_usage) == ("deployed", True, False)


# --- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "x"}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": 7}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "messages[0].tool_calls[0].name"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 5}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stop": [1]}, "stop[0]"),
        ({"stop": 3}, "stop"),
        ({"n": 0}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "stream_options": 1}, "stream_options"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": "f"}, "tools"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"response_format": "json"}, "response_format"),
        ({"logit_bias": []}, "logit_bias"),
    ],
)
def test_wrong_shapes_are_refused_with_their_place(members, param):
    error = refusal({"model": "m", "messages": [], **members})
    assert error.param == param
    assert f"`{param}`" in error.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":"\xff"}', b"[" * 100_000, b'{"seed":1e9999}'])
def test_what_is_no_json_object_is_refused(body):
    refusal(body)


def test_a_document_in_a_pictures_part_is_a_document():
    url = "data:application/pdf;base64,JVBERi0="
    given = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, "detail": "high"}}]}
    assert parts(given) == (Media("document", "application/pdf", data="JVBERi0="),)
