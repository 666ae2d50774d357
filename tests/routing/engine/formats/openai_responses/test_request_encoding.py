import hashlib

import pytest
from msgspec.structs import replace

from routing.engine.errors import BadRequest
from routing.engine.messages import (
    CacheMark,
    ChatRequest,
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
from tests.routing.engine.formats.openai_responses.wire import NAME, ask, state, write


def foreign(*messages: Message, **members) -> ChatRequest:
    """Return a question in another format."""
    return ChatRequest(
        format="openai-chat", model="m", messages=messages or (Message("user", (Text("hi"),)),), **members
    )


def turn(*parts) -> tuple[Message, ...]:
    return Message("user", (Text("go"),)), Message("assistant", parts), Message("user", (Text("on"),))


def user(*parts) -> dict:
    return {"type": "message", "role": "user", "content": [*parts]}


def test_the_least_that_is_sent():
    body, losses = write(foreign(system=(Text("A"), Text("B")), is_stream=True))
    assert body == {
        "model": "gpt-x",
        "store": False,
        "stream": True,
        "instructions": "A\n\nB",
        "input": [user({"type": "input_text", "text": "hi"})],
        "include": ["reasoning.encrypted_content"],
    }
    assert losses == ()


def test_a_turn_with_words_calls_and_results():
    body, _ = write(
        foreign(
            Message("user", (Text("see"), Media("image", "image/png", data="iVBORw0="))),
            Message("assistant", (Text("calling"), ToolCall("c1", "f", '{"a":1}'), ToolCall("c2", "g"))),
            Message(
                "user",
                (
                    ToolResult("c1", (Text("map:"), Media("image", url="https://e.com/m.png"))),
                    ToolResult("c2", (Text("no"),), is_error=True),
                    Text("go on"),
                ),
            ),
        )
    )
    assert body["input"] == [
        user(
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0="},
        ),
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "calling"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "map:"},
                {"type": "input_image", "detail": "auto", "image_url": "https://e.com/m.png"},
            ],
        },
        {"type": "function_call_output", "call_id": "c2", "output": "Error: no"},
        user({"type": "input_text", "text": "go on"}),
    ]


def test_errors_of_tools_are_said_in_words_and_noted():
    calls = Message("assistant", (ToolCall("c", "f"),))
    body, losses = write(foreign(calls, Message("user", (ToolResult("c", (), is_error=True),))))
    assert body["input"][-1]["output"] == "Error"
    assert losses == ("emulated:is_error",)


def test_pictures_of_outputs_follow_as_words_of_the_user_where_outputs_are_text():
    picture = Media("image", url="https://e.com/m.png")
    calls = Message("assistant", (ToolCall("c1", "f"), ToolCall("c2", "f")))
    results = Message("user", (ToolResult("c1", (Text("a"), picture)), ToolResult("c2", (Text("b"), Text("c")))))
    body, losses = write(foreign(calls, results), tool_message_images=False)
    one, other, moved = body["input"][2:]
    assert one["output"].startswith("a\n")
    assert other["output"] == "b\nc"
    assert moved["role"] == "user"
    assert moved["content"][1]["image_url"] == picture.url
    assert "emulated:tool_result_media" in losses


def test_free_text_tools_and_their_history():
    grammar = {"type": "grammar", "syntax": "lark", "definition": "x"}
    request = foreign(
        Message("assistant", (ToolCall("c", "p", "free", is_custom=True),)),
        Message("user", (ToolResult("c", (Text("ok"),), is_custom=True),)),
        tools=(Tool("p", "custom", "D", grammar=grammar),),
        tool_choice=ToolChoice("required", ("p",)),
    )
    body, _ = write(request)
    assert body["tools"] == [{"type": "custom", "name": "p", "description": "D", "format": grammar}]
    assert body["tool_choice"] == {"type": "custom", "name": "p"}
    assert body["input"] == [
        {"type": "custom_tool_call", "call_id": "c", "name": "p", "input": "free"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "ok"},
    ]


def test_documents():
    parts = (
        Media("document", "application/pdf", data="JVBERi0x", title="Report"),
        Media("document", "application/pdf", data="JVBERi0x", title="a.pdf"),
        Media("document", url="https://e.com/a.pdf", title="ignored"),
        Media("document", "text/plain", text="words", title="Notes", context="c", wants_citations=True),
    )
    body, losses = write(foreign(Message("user", parts)))
    assert body["input"][0]["content"] == [
        {"type": "input_file", "filename": "Report.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"},
        {"type": "input_file", "file_url": "https://e.com/a.pdf"},
        {"type": "input_text", "text": "Notes\n\nwords"},
    ]
    assert set(losses) == {"dropped:citations", "dropped:context"}


# --- reasoning ------------------------------------------------------------------------------------------------------


def test_reasoning_goes_back_to_the_account_that_issued_it():
    call = ToolCall("c", "f", "{}")
    reasoning = Reasoning(("a", "b"), state("gENC", "rs_9"))
    body, losses = write(foreign(*turn(reasoning, call)))
    assert body["input"][1] == {
        "type": "reasoning",
        "id": "rs_9",
        "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
        "encrypted_content": "gENC",
    }
    assert "dropped:thinking" not in losses


@pytest.mark.parametrize(
    "other",
    [
        state("X", format="anthropic"),
        state("X", account="chn_2"),
        state("X", provider="azure-openai"),
        Opaque("raw"),
        Opaque("rtx1:torn"),
        None,
    ],
)
def test_reasoning_of_others_is_left_out(other):
    body, losses = write(foreign(*turn(Reasoning(("a",), other), Text("t"))))
    assert [item["type"] for item in body["input"]] == ["message"] * 3
    assert losses == ("dropped:thinking",)


def test_raw_reasoning_of_a_client_of_this_format_goes_through_and_a_torn_wrapper_never():
    items = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "rtx1:openai-responses:torn"},
        {"role": "assistant", "content": "t"},
        {"role": "user", "content": "on"},
    ]
    body, losses = write(ask(input=items))
    assert body["input"][0] == {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    assert len(body["input"]) == 3
    assert losses == ("dropped:thinking",)


def test_reasoning_that_nothing_follows_is_left_out():
    body, losses = write(foreign(*turn(Reasoning((), state("gENC", "rs_1")))))
    assert [item["type"] for item in body["input"]] == ["message", "message"]
    assert losses == ("dropped:thinking",)


def test_words_of_thinking_go_back_where_the_upstream_reads_them():
    body, losses = write(foreign(*turn(Reasoning(("w",)), Text("t"))), reasoning_content_input=True)
    assert body["input"][1]["content"] == [{"type": "reasoning_text", "text": "w"}]
    assert losses == ()


@pytest.mark.parametrize(
    ("thinking", "reasoning"),
    [
        (Thinking(effort="low"), {"effort": "low", "summary": "auto"}),
        (Thinking("enabled", budget_tokens=20000), {"effort": "high", "summary": "auto"}),
        (Thinking("enabled", budget_tokens=-1, is_shown=False), {"effort": "medium"}),
        (Thinking("adaptive"), {"summary": "auto"}),
        (Thinking(effort="high", summary="detailed"), {"effort": "high", "summary": "detailed"}),
        (Thinking("disabled"), {"effort": "none"}),
        (None, None),
    ],
)
def test_reasoning_wishes(thinking, reasoning):
    body, losses = write(foreign(thinking=thinking))
    assert body.get("reasoning") == reasoning
    assert losses == ()
    assert ("include" in body) is (reasoning != {"effort": "none"})


def test_an_own_client_gets_no_summary_it_did_not_ask_for():
    body, _ = write(ask(reasoning={"effort": "high", "mode": "pro"}))
    assert body["reasoning"] == {"effort": "high", "mode": "pro"}


def test_efforts_are_those_the_model_knows():
    assert write(foreign(thinking=Thinking(effort="max")), model="o3")[0]["reasoning"]["effort"] == "high"
    body, losses = write(foreign(thinking=Thinking("disabled")), model="o3")
    assert body["reasoning"]["effort"] == "low"
    assert losses == ("emulated:thinking",)


def test_models_that_do_not_reason_are_not_asked_to():
    body, losses = write(foreign(thinking=Thinking(effort="high")), model="gpt-4o")
    assert "reasoning" not in body
    assert "include" not in body
    assert losses == ("dropped:thinking",)
    assert write(foreign(thinking=Thinking("disabled")), model="gpt-4o")[1] == ()


@pytest.mark.parametrize(
    ("model", "effort", "is_kept"),
    [
        *(("gpt-x", "high", False), ("gpt-x", None, True), ("gpt-x", "none", True)),
        *(("gpt-6", "high", False), ("gpt-6", None, False), ("gpt-6", "none", True)),
    ],
)
def test_sampling_goes_where_reasoning_forbids_it(model, effort, is_kept):
    thinking = Thinking(effort=effort) if effort else None
    body, losses = write(foreign(temperature=0.5, top_p=0.9, thinking=thinking), model=model)
    assert ("temperature" in body, "top_p" in body) == (is_kept, is_kept)
    assert losses == (() if is_kept else ("dropped:temperature", "dropped:top_p"))


# --- everything else ------------------------------------------------------------------------------------------------


def test_functions_are_not_strict_unless_the_client_says_so():
    tools = (Tool("f", schema={"type": "object"}), Tool("g", description="D", strict=True))
    body, _ = write(foreign(tools=tools))
    assert body["tools"] == [
        {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False},
        {
            "type": "function",
            "name": "g",
            "description": "D",
            "parameters": {"type": "object", "properties": {}},
            "strict": True,
        },
    ]


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("none", ("f",)), "none"),
        (ToolChoice("required"), "required"),
        (ToolChoice("required", ("f",)), {"type": "function", "name": "f"}),
        (
            ToolChoice("auto", ("f", "web_search"), is_list=True),
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}],
            },
        ),
    ],
)
def test_tool_choice(choice, written):
    tools = (Tool("f"), Tool("web_search", "hosted", native={"type": "web_search_2025"}, format="anthropic"))
    body, losses = write(foreign(tools=tools, tool_choice=choice))
    assert body["tool_choice"] == written
    assert body["tools"][1] == {"type": "web_search"}
    assert losses == ("emulated:web_search",)


def test_numbers_and_labels():
    user_id = "u" * 170
    body, losses = write(
        foreign(
            max_tokens=5,
            temperature=0,
            logprobs=True,
            top_logprobs=3,
            output=OutputFormat("json_schema", {"type": "object"}, strict=True),
            verbosity="low",
            parallel_tool_calls=False,
            tools=(Tool("f"),),
            user=user_id,
            cache_key="k" * 70,
            metadata={"a": "b"},
            service_tier="flex",
            stop=("Z",),
        )
    )
    assert (body["max_output_tokens"], body["temperature"], body["top_logprobs"]) == (16, 0, 3)
    assert body["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "response", "schema": {"type": "object"}, "strict": True},
        "verbosity": "low",
    }
    assert body["user"] == hashlib.sha256(user_id.encode()).hexdigest()
    assert len(body["prompt_cache_key"]) == 64
    assert (body["metadata"], body["service_tier"]) == ({"a": "b"}, "flex")
    assert body["parallel_tool_calls"] is False
    assert losses == ("dropped:stop", "clamped:max_tokens")


def test_a_schema_is_asked_for_in_words_where_answers_cannot_be_structured():
    body, losses = write(foreign(output=OutputFormat("json_schema", {"type": "object"})), structured_output=False)
    assert '{"type":"object"}' in body["instructions"]
    assert "text" not in body
    assert losses == ("emulated:response_format",)


def test_cache_marks_become_breakpoints():
    parts = (Text("a", cache=CacheMark("5m")), Text("b", cache=CacheMark("1h")), Text("c"))
    body, _ = write(foreign(Message("user", parts)))
    assert [part.get("prompt_cache_breakpoint") for part in body["input"][0]["content"]] == [
        {"mode": "explicit"},
        {"mode": "explicit", "ttl": "12h"},
        None,
    ]
    assert "prompt_cache_breakpoint" not in str(write(foreign(Message("user", parts)), cache_breakpoints=False)[0])


def test_several_answers_are_refused():
    with pytest.raises(BadRequest):
        write(foreign(choices=2))


def test_a_system_message_in_the_middle_stays_in_its_place():
    messages = (Message("user", (Text("a"),)), Message("system", (Text("s"),)), Message("user", (Text("b"),)))
    assert [item["role"] for item in write(foreign(*messages))[0]["input"]] == ["user", "developer", "user"]
    roles = [item["role"] for item in write(foreign(*messages), developer_role=False)[0]["input"]]
    assert roles == ["user", "system", "user"]


# --- the same format on both sides ----------------------------------------------------------------------------------


def test_what_only_this_format_has_goes_back_into_it():
    patch = {
        "type": "apply_patch_call",
        "call_id": "p",
        "status": "completed",
        "operation": {"type": "delete_file", "path": "a"},
        "caller": {"type": "direct"},
    }
    items = [
        {"role": "user", "content": [{"type": "input_hologram", "x": 1}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {"type": "function_call", "call_id": "c", "name": "f", "namespace": "mcp__x", "arguments": "{}"},
        patch,
        {"type": "function_call_output", "call_id": "c", "output": "r"},
        {"type": "apply_patch_call_output", "call_id": "p", "status": "failed", "output": "no"},
        {"type": "item_reference", "id": "msg_0"},
    ]
    request = ask(
        input=items,
        tools=[{"type": "apply_patch"}, {"type": "function", "name": "f", "parameters": {}, "defer_loading": True}],
        truncation="auto",
        include=["web_search_call.results"],
        text={"verbosity": "low", "novelty": 1},
        client_metadata={"x": "y"},
    )
    body, losses = write(request)
    assert body["input"][0]["content"] == [{"type": "input_hologram", "x": 1}]
    assert body["input"][1:] == items[1:]
    assert body["tools"] == [
        {"type": "apply_patch"},
        {
            "type": "function",
            "name": "f",
            "parameters": {"type": "object", "properties": {}},
            "defer_loading": True,
        },
    ]
    assert (body["truncation"], body["text"]) == ("auto", {"verbosity": "low", "novelty": 1})
    assert body["include"] == ["web_search_call.results", "reasoning.encrypted_content"]
    assert "client_metadata" not in body
    assert losses == ("dropped:client_metadata",)


def test_state_that_an_upstream_does_not_keep_is_refused():
    assert write(ask(previous_response_id="resp_0"))[0]["previous_response_id"] == "resp_0"
    with pytest.raises(BadRequest) as refused:
        write(ask(previous_response_id="resp_0"), store=False)
    assert refused.value.param == "previous_response_id"
    with pytest.raises(BadRequest):
        write(ask(background=True))


def test_nothing_is_ever_stored():
    body, losses = write(ask(store=True))
    assert (body["store"], losses) == (False, ("dropped:store",))
    assert write(ask(store=False))[1] == ()


def test_foreign_parts_are_dropped_and_noted():
    request = replace(ask(), format="gemini", messages=turn(Native("gemini", "executableCode", {}), Text("t")))
    body, losses = write(request)
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user"]
    assert losses == ("dropped:executableCode",)


def test_an_own_turn_written_is_read_as_the_same():
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "u"}]},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "p"}],
            "encrypted_content": "e",
        },
        {
            "type": "message",
            "role": "assistant",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "t"}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "r"},
    ]
    request = ask(input=items, instructions="I")
    body, _ = write(request)
    again = ask(input=body["input"], instructions=body["instructions"])
    named = [replace(message, parts=tuple(_unnamed(part) for part in message.parts)) for message in again.messages]
    assert (tuple(named), again.system) == (request.messages, request.system)
    assert again.format == NAME


def _unnamed(part):
    return replace(part, name="") if isinstance(part, ToolResult) else part
