import json

import pytest

from routing.engine.errors import BadRequest
from routing.engine.messages import (
    CacheMark,
    Media,
    Message,
    Native,
    Opaque,
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
from tests.routing.engine.formats.openai_responses.wire import CODEC, NAME, ask, state

GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'}


def said(text: str) -> Message:
    return Message("user", (Text(text),))


def test_a_string_is_one_message_of_the_user():
    assert ask(input="hi").messages == (said("hi"),)


def test_instructions_and_what_leads_the_input_are_the_system_prompt():
    request = ask(
        instructions="I",
        input=[
            {"role": "developer", "content": "D"},
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "S"}]},
            {"role": "user", "content": "u"},
            {"role": "developer", "content": "later"},
        ],
    )
    assert request.system == (Text("I"), Text("D"), Text("S"))
    assert request.messages == (said("u"), Message("system", (Text("later"),)))


def test_what_a_model_made_in_a_row_is_one_turn_in_its_order():
    request = ask(
        input=[
            {"role": "user", "content": "go"},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "plan"}], "content": None},
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "phase": "commentary",
                "content": [
                    {"type": "output_text", "text": "Running.", "annotations": []},
                    {"type": "refusal", "refusal": "No."},
                ],
            },
            {"type": "function_call", "id": "fc_1", "call_id": "c0", "name": "f", "arguments": '{"a":1}'},
            {"type": "custom_tool_call", "call_id": "c1", "name": "p", "input": "*** Begin"},
            {"type": "function_call_output", "call_id": "c0", "output": "A"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "B"},
            {"type": "message", "role": "assistant", "content": "done"},
        ]
    )
    assert request.messages == (
        said("go"),
        Message(
            "assistant",
            (
                Reasoning(("plan",), id="rs_1"),
                Text("Running.", phase="commentary"),
                Text("No.", is_refusal=True, phase="commentary"),
                ToolCall("c0", "f", '{"a":1}'),
                ToolCall("c1", "p", "*** Begin", is_custom=True),
            ),
        ),
        Message("user", (ToolResult("c0", (Text("A"),)), ToolResult("c1", (Text("B"),), is_custom=True))),
        Message("assistant", (Text("done"),)),
    )


def test_outputs_may_be_lists_with_pictures_and_files():
    parts = [
        {"type": "input_text", "text": "B"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0=", "detail": "auto"},
        {"type": "input_file", "file_data": "JVBERi0x", "filename": "a.pdf"},
    ]
    result = ask(input=[{"type": "function_call_output", "call_id": "c", "output": parts}]).messages[0].parts[0]
    assert result == ToolResult(
        "c",
        (
            Text("B"),
            Media("image", "image/png", data="iVBORw0=", detail="auto"),
            Media("document", "application/pdf", data="JVBERi0x", title="a.pdf"),
        ),
    )


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"type": "input_image", "image_url": "https://e.com/i.png"}, Media("image", url="https://e.com/i.png")),
        ({"type": "input_image", "file_id": "file_1", "detail": "low"}, Media("image", file_id="file_1", detail="low")),
        ({"type": "input_image", "image_url": "data:;base64,/9j/AA=="}, Media("image", "image/jpeg", data="/9j/AA==")),
        (
            {"type": "input_image", "image_url": "data:image/svg+xml,%3Csvg"},
            Media("image", "image/svg+xml", "PHN2Zw=="),
        ),
        (
            {"type": "input_image", "image_url": "data:application/pdf;base64,JVBERi0="},
            Media("document", "application/pdf", "JVBERi0="),
        ),
        (
            {"type": "input_file", "file_data": "data:text/csv;base64,YSxi", "filename": "t"},
            Media("document", "text/csv", "YSxi", title="t"),
        ),
        ({"type": "input_file", "file_url": "https://e.com/a.pdf"}, Media("document", url="https://e.com/a.pdf")),
        ({"type": "input_file", "file_id": "file_2"}, Media("document", file_id="file_2")),
        (
            {"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
            Text("t", cache=CacheMark("12h")),
        ),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}}, Media("audio", "audio/mp3", "AA")),
        (
            {"type": "input_hologram", "x": 1},
            Native(NAME, "input_hologram", {"part": {"type": "input_hologram", "x": 1}}),
        ),
    ],
)
def test_content_parts(part, media):
    assert ask(input=[{"role": "user", "content": [part]}]).messages == (Message("user", (media,)),)


def test_encrypted_reasoning_keeps_its_id_and_whose_it_is():
    raw, ours = (
        ask(input=[{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": blob}]).messages[0].parts[0]
        for blob in ("gAAAA", wrap(state("SIG", "rs_0", format="anthropic")))
    )
    assert raw.state == Opaque("gAAAA", None, "rs_1")
    assert ours.state == state("SIG", "rs_0", format="anthropic")


def test_hidden_thinking_is_known_by_its_mark():
    blob = wrap(state("DATA", "redacted", format="anthropic"))
    part = (
        ask(input=[{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": blob}]).messages[0].parts[0]
    )
    assert part.is_redacted


def test_words_of_open_models_are_told_from_summaries():
    item = {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "w"}]}
    assert ask(input=[item]).messages[0].parts == (Reasoning(("w",), is_verbatim=True, id="r"),)


def test_states_that_stood_in_reasoning_items_go_back_to_call_and_text():
    of_call, of_text = (state("S", place, format="gemini") for place in ("call", "text"))
    request = ask(
        input=[
            {"type": "reasoning", "id": "1", "summary": [{"text": "why"}], "encrypted_content": wrap(of_call)},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "message", "role": "assistant", "content": "t"},
            {"type": "reasoning", "id": "2", "summary": [], "encrypted_content": wrap(of_text)},
        ]
    )
    assert request.messages[0].parts == (
        Reasoning(("why",), id="1"),
        ToolCall("c", "f", "{}", state=of_call),
        Text("t", state=of_text),
    )


@pytest.mark.parametrize(
    ("call", "payload", "output", "result"),
    [
        (
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
            {"type": "delete_file", "path": "a"},
            {"type": "apply_patch_call_output", "status": "failed", "output": "no such file"},
            ToolResult("c", (Text("no such file"),), is_error=True, name="apply_patch_call"),
        ),
        (
            {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {}}},
            {"type": "exec", "command": ["ls"], "env": {}},
            {"type": "local_shell_call_output", "output": "a.txt"},
            ToolResult("c", (Text("a.txt"),), name="local_shell_call"),
        ),
        (
            {"type": "shell_call", "action": {"commands": ["ls"]}},
            {"commands": ["ls"]},
            {"type": "shell_call_output", "output": [{"stdout": "a"}]},
            ToolResult("c", (Text('[{"stdout":"a"}]'),), name="shell_call"),
        ),
    ],
)
def test_calls_that_the_client_runs_are_calls(call, payload, output, result):
    items = [{**call, "id": "x_1", "call_id": "c", "status": "completed"}, {**output, "call_id": "c"}]
    turn, answer = ask(input=items).messages
    assert (turn.parts[0].id, turn.parts[0].name) == ("c", call["type"])
    assert json.loads(turn.parts[0].arguments) == payload
    assert answer.parts == (result,)


def test_unknown_items_stay_in_the_turn_they_stand_in():
    items = [
        {"role": "user", "content": "u"},
        {"type": "item_reference", "id": "msg_0"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {"type": "tool_search_call", "call_id": "t", "arguments": {"q": 1}, "execution": "server"},
        {"type": "tool_search_output", "call_id": "t", "tools": []},
        {"type": "novelty", "x": 1},
        {"type": "compaction", "encrypted_content": "e"},
    ]
    request = ask(input=items)
    assert [(m.role, [getattr(p, "kind", "text") for p in m.parts]) for m in request.messages] == [
        ("user", ["text"]),
        ("user", ["item_reference"]),
        ("assistant", ["web_search_call", "tool_search_call"]),
        ("user", ["tool_search_output", "novelty"]),
        ("assistant", ["compaction"]),
    ]
    assert request.messages[2].parts[1] == Native(NAME, "tool_search_call", items[3])


def test_items_of_bookkeeping_do_not_end_the_system_prompt():
    request = ask(
        input=[{"type": "additional_tools", "role": "developer", "tools": []}, {"role": "developer", "content": "D"}]
    )
    assert request.system == (Text("D"),)


def test_tools():
    tools = [
        {"type": "function", "name": "f", "description": None, "strict": False, "parameters": {"type": "object"}},
        {"type": "function", "name": "g", "parameters": None, "defer_loading": True},
        {"type": "custom", "name": "p", "description": "FREEFORM", "format": GRAMMAR},
        {"type": "web_search_preview", "search_context_size": "low"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "mcp", "server_label": "s", "server_url": "https://e.com"},
        {"type": "computer_use_preview"},
    ]
    assert ask(tools=tools).tools == (
        Tool("f", schema={"type": "object"}, strict=False),
        Tool("g", native={"defer_loading": True}, format=NAME),
        Tool("p", "custom", "FREEFORM", grammar=GRAMMAR),
        Tool("web_search", "hosted", native=tools[3], format=NAME, search=Search(context_size="low")),
        Tool("code_execution", "hosted", native=tools[4], format=NAME),
        Tool("mcp", "hosted", native=tools[5], format=NAME),
        Tool("computer", "hosted", native=tools[6], format=NAME),
    )


@pytest.mark.parametrize(
    ("choice", "meaning"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("required", ("f",))),
        ({"type": "custom", "name": "p"}, ToolChoice("required", ("p",))),
        ({"type": "web_search_preview"}, ToolChoice("required", ("web_search",))),
        ({"type": "mcp", "server_label": "s"}, ToolChoice("required", ("mcp",))),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}],
            },
            ToolChoice("required", ("f", "image_generation"), is_list=True),
        ),
        (None, None),
    ],
)
def test_tool_choice(choice, meaning):
    assert ask(tool_choice=choice).tool_choice == meaning


def test_numbers_labels_and_formats():
    request = ask(
        max_output_tokens=9,
        temperature=0,
        top_p=0.5,
        top_logprobs=2,
        include=["message.output_text.logprobs"],
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
        parallel_tool_calls=False,
        prompt_cache_key="k",
        safety_identifier="u",
        metadata={"a": "b"},
        service_tier="flex",
        stream=True,
    )
    assert (request.max_tokens, request.temperature, request.top_p) == (9, 0, 0.5)
    assert (request.logprobs, request.top_logprobs) == (True, 2)
    assert request.thinking == Thinking(effort="high", summary="auto")
    assert request.output == OutputFormat("json_schema", {"type": "object"}, "n")
    assert (request.verbosity, request.parallel_tool_calls, request.cache_key) == ("low", False, "k")
    assert (request.user, request.metadata, request.service_tier, request.is_stream) == ("u", {"a": "b"}, "flex", True)


def test_what_only_this_format_has_is_kept_by_name():
    request = ask(
        previous_response_id="resp_0",
        store=True,
        client_metadata={"x": "y"},
        truncation="auto",
        include=["reasoning.encrypted_content", "web_search_call.results"],
        background=None,
        reasoning={"context": "all_turns"},
    )
    assert request.native == {
        "previous_response_id": "resp_0",
        "store": True,
        "client_metadata": {"x": "y"},
        "truncation": "auto",
        "include": ["web_search_call.results"],
        "reasoning": {"context": "all_turns"},
    }
    assert request.thinking is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "mode": 1}}, "tool_choice.mode"),
        ({"max_output_tokens": "9"}, "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"temperature": True}, "temperature"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"stream": "yes"}, "stream"),
        ({"metadata": []}, "metadata"),
        ({"include": "x"}, "include"),
        ({"include": ["x", ["y"]]}, "include[1]"),
    ],
)
def test_wrong_members_are_named(body, param):
    with pytest.raises(BadRequest) as refused:
        ask(**body)
    assert refused.value.param == param
    assert f"`{param}`" in refused.value.message


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"input": "\xff"}', b'{"a":' * 100_000])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(BadRequest):
        CODEC.decode_request(body)


def test_half_a_surrogate_pair_is_read():
    assert CODEC.decode_request(b'{"model":"m","input":"a\\ud83d"}').messages == (said("a�"),)
