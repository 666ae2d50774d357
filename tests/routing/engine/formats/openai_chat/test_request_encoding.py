import pytest
from msgspec.structs import replace

from routing.engine.errors import BadRequest
from routing.engine.messages import (
    CacheMark,
    ChatRequest,
    Media,
    Message,
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
from tests.routing.engine.formats.openai_chat.talk import decoded, written

PNG = Media("image", "image/png", data="iVBOR")
WEATHER = Tool("get_weather", description="weather", schema={"type": "object", "properties": {}})
CALL = ToolCall("c1", "get_weather", '{"city":"Oslo"}')
RESULT = ToolResult("c1", (Text("4C"),))


def asked(*messages: Message, **members) -> ChatRequest:
    """Return a request of a client of another format."""
    return ChatRequest("anthropic", "m", messages or (Message("user", (Text("hi"),)),), **members)


def user(*parts) -> Message:
    return Message("user", parts)


def model(*parts) -> Message:
    return Message("assistant", parts)


def messages(request: ChatRequest, **can) -> list:
    return written(request, **can)[0]["messages"]


# --- the system prompt -------------------------------------------------------------------------------------------


def test_system_blocks_stay_apart_in_one_leading_message():
    request = asked(system=(Text("a"), Text("b")))
    assert messages(request)[0] == {
        "role": "system",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    }
    assert messages(request, text_parts=False)[0]["content"] == "a\n\nb"
    assert messages(asked(system=(Text("a"),)), developer_role=True)[0] == {"role": "developer", "content": "a"}


def test_empty_system_prompt_is_no_message():
    assert [message["role"] for message in messages(asked(system=(Text(""),)))] == ["user"]


def test_system_in_the_middle_stays_in_place():
    request = asked(user(Text("one")), model(Text("1")), Message("system", (Text("now"),)), user(Text("two")))
    assert [message["role"] for message in messages(request)] == ["user", "assistant", "system", "user"]


def test_strict_alternation_merges_neighbours():
    request = asked(user(Text("a")), Message("system", (Text("now"),)), user(PNG), model(Text("1")), model(Text("2")))
    sent, lost = written(request, strict_alternation=True)
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant"]
    assert [part["type"] for part in sent["messages"][0]["content"]] == ["text", "text", "image_url"]
    assert "emulated:system" in lost
    assert messages(request, strict_alternation=True, text_parts=False)[1]["content"] == "1\n\n2"


def test_strict_alternation_begins_with_the_user():
    request = asked(model(Text("Hello.")), user(Text("hi")), system=(Text("s"),))
    sent, lost = written(request, strict_alternation=True)
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "user"]
    assert lost == ("emulated:messages",)
    assert [message["role"] for message in messages(request)] == ["system", "assistant", "user"]


def test_a_turn_stands_between_a_result_and_the_user_where_that_order_is_refused():
    request = asked(user(Text("q")), model(CALL), user(RESULT, Text("and now?")), tools=(WEATHER,))
    roles = [message["role"] for message in messages(request, user_after_tool=False)]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert [message["role"] for message in messages(request)] == ["user", "assistant", "tool", "user"]


# --- content -----------------------------------------------------------------------------------------------------


def test_one_text_is_a_string_and_mixed_parts_keep_their_order():
    request = asked(
        user(
            Media("document", "application/pdf", data="JVBERi0=", title="r"),
            Media("image", url="https://a.example/a.png", detail="low"),
            PNG,
            Media("audio", "audio/mpeg", data="SUQz"),
            Media("document", "text/plain", text="plain notes", title="Notes"),
            Text("compare"),
        ),
        user(Text("hi")),
    )
    first, second = messages(request)
    assert first["content"] == [
        {"type": "file", "file": {"filename": "r.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "image_url", "image_url": {"url": "https://a.example/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        {"type": "text", "text": "Notes\n\nplain notes"},
        {"type": "text", "text": "compare"},
    ]
    assert second["content"] == "hi"


def test_several_texts_stay_apart_where_lists_are_taken():
    request = asked(user(Text("a"), Text("b")), model(Text("A"), Text("B")))
    assert [len(message["content"]) for message in messages(request)] == [2, 2]
    # One turn's blocks were one text to the model; a user's were not.
    assert [message["content"] for message in messages(request, text_parts=False)] == ["a\n\nb", "AB"]


def test_what_has_no_part_is_dropped_and_said():
    request = asked(user(Media("document", url="https://a.example/a.pdf"), Media("document", text="t", context="c")))
    sent, lost = written(request)
    assert sent["messages"][0]["content"] == "t"
    assert {"dropped:document", "dropped:context"} <= set(lost)


def test_a_turn_of_which_nothing_can_be_carried_keeps_its_place():
    request = asked(user(Text("a")), model(Text("b")), user(Media("document", url="https://a.example/a.pdf")))
    assert messages(request)[-1] == {"role": "user", "content": "[An attachment was left out.]"}


def test_pictures_in_a_models_turn_are_dropped_and_said():
    sent, lost = written(asked(user(Text("draw")), model(PNG, Text("there"))))
    assert sent["messages"][1] == {"role": "assistant", "content": "there"}
    assert "dropped:image" in lost


@pytest.mark.parametrize(
    ("can", "mark"),
    [
        ({"cache_control": True}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        ({"cache_breakpoints": True}, {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}),
        (
            {"cache_breakpoints": True, "text_parts": False},
            {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
        ),
    ],
)
def test_cache_marks_are_written_where_they_are_known(can, mark):
    request = asked(user(Text("a", cache=CacheMark("1h"))), system=(Text("s", cache=CacheMark("1h")),))
    for message, text in zip(messages(request, **can), "sa", strict=True):
        assert message["content"] == [{"type": "text", "text": text, **mark}]


def test_cache_marks_leave_without_a_trace_elsewhere():
    sent, lost = written(asked(user(Text("a", cache=CacheMark("1h"))), cache=CacheMark()))
    assert (sent["messages"][0]["content"], lost) == ("a", ())


def test_automatic_caching_is_asked_for_where_it_is_known():
    sent, _ = written(asked(cache=CacheMark("5m")), cache_control=True)
    assert sent["cache_control"] == {"type": "ephemeral", "ttl": "5m"}


# --- tools in the history ----------------------------------------------------------------------------------------


def test_results_come_right_after_their_turn_and_the_rest_follows():
    other = ToolCall("c2", "get_weather", "")
    request = asked(
        user(Text("weather?")),
        model(Text("Checking."), CALL, other),
        user(RESULT, ToolResult("c2", ()), Text("Be short.")),
        tools=(WEATHER,),
    )
    assert messages(request)[1:] == [
        {
            "role": "assistant",
            "content": "Checking.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}},
                {"id": "c2", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "4C"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "user", "content": "Be short."},
    ]


def test_turn_of_calls_only_has_null_content():
    assert messages(asked(user(Text("q")), model(CALL), user(RESULT)))[1]["content"] is None


def test_custom_calls_keep_their_free_text_where_they_are_known():
    request = asked(
        user(Text("q")),
        model(ToolCall("c1", "patch", "*** x", is_custom=True)),
        user(ToolResult("c1", (Text("ok"),))),
        tools=(Tool("patch", "custom", grammar={"type": "grammar", "syntax": "lark", "definition": "d"}),),
    )
    sent, _ = written(request, custom_tools=True)
    assert sent["messages"][1]["tool_calls"] == [
        {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** x"}}
    ]
    assert sent["tools"] == [
        {
            "type": "custom",
            "custom": {
                "name": "patch",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "d"}},
            },
        }
    ]


def test_media_of_results_move_behind_all_tool_messages():
    second = ToolCall("c2", "get_weather")
    request = asked(
        user(Text("look")),
        model(CALL, second),
        user(ToolResult("c1", (PNG,)), ToolResult("c2", (Text("t"), PNG)), Text("and?")),
    )
    sent, lost = written(request)
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "user", "user"]
    assert "iVBOR" not in str(sent["messages"][2:4])
    assert sent["messages"][2]["content"].startswith("[1 image")
    shown = [part for part in sent["messages"][4]["content"] if part["type"] == "image_url"]
    assert [part["image_url"]["url"] for part in shown] == ["data:image/png;base64,iVBOR"] * 2
    assert sent["messages"][5]["content"] == "and?"
    assert "emulated:tool_result_media" in lost


def test_pictures_stay_in_tool_messages_that_take_them():
    sent, lost = written(asked(user(Text("q")), model(CALL), user(ToolResult("c1", (PNG,)))), tool_message_images=True)
    assert sent["messages"][2]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR"}}
    ]
    assert lost == ()


def test_errors_of_tools_are_said_in_words():
    failed = ToolResult("c1", (Text("no such city"),), is_error=True)
    sent, lost = written(asked(user(Text("q")), model(CALL), user(failed)))
    assert sent["messages"][2]["content"] == "Error: no such city"
    assert "emulated:is_error" in lost
    sent, _ = written(asked(user(Text("q")), model(CALL), user(replace(failed, parts=()))))
    assert "rror" in sent["messages"][2]["content"]


def test_turns_of_other_formats_fold_into_one_message():
    request = asked(user(Text("q")), model(Text("Running.")), model(CALL), user(RESULT))
    assert [message["role"] for message in messages(request)] == ["user", "assistant", "tool"]


def test_turns_of_this_format_stay_apart():
    request = decoded(messages=[{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}])
    assert [message["content"] for message in messages(request)] == ["a", "b"]


# --- thinking in the history -------------------------------------------------------------------------------------

THOUGHT = Reasoning(("need weather",), Opaque("sig", Origin("anthropic", "anthropic", "chn_2", "claude")))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_goes_back_on_turns_with_calls(field):
    request = asked(user(Text("q")), model(THOUGHT, CALL), user(RESULT), model(THOUGHT, Text("4C")), user(Text("?")))
    sent, lost = written(request, reasoning_content_input=True, reasoning_field=field)
    assert sent["messages"][1][field] == "need weather"
    assert field not in sent["messages"][3]
    assert lost == ()


def test_thinking_of_an_earlier_turn_goes_to_the_call_it_led_to():
    request = decoded(
        messages=[
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "let me see", "reasoning_content": "need weather"},
            {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "4C"},
        ]
    )
    sent = messages(request, reasoning_content_input=True)
    assert "reasoning_content" not in sent[1]
    assert sent[2]["reasoning_content"] == "need weather"


def test_thinking_is_dropped_where_it_does_not_go_back():
    sent, lost = written(asked(user(Text("q")), model(THOUGHT, CALL), user(RESULT)))
    assert "need weather" not in str(sent)
    assert "sig" not in str(sent)
    assert "dropped:thinking" in lost


def test_marker_without_content_is_no_loss():
    marker = Reasoning((), Opaque("", Origin("openai-chat", "openai", "chn_1", "gpt")))
    assert written(asked(user(Text("q")), model(marker, Text("a")), user(Text("?"))))[1] == ()


DETAILS = '[{"type":"reasoning.encrypted","data":"e","index":0}]'


@pytest.mark.parametrize(
    ("state", "client", "can", "goes_back"),
    [
        (Opaque(DETAILS, Origin("openai-chat", "openrouter"), "reasoning_details"), "anthropic", {}, True),
        (Opaque(DETAILS, Origin("openai-chat", "deepseek"), "reasoning_details"), "anthropic", {}, False),
        (Opaque(DETAILS, Origin("anthropic", "openrouter"), "reasoning_details"), "anthropic", {}, False),
        (Opaque(DETAILS, None, "reasoning_details"), "openai-chat", {"thinking_switch": "reasoning"}, True),
        (Opaque(DETAILS, None, "reasoning_details"), "openai-chat", {}, False),
        (Opaque(DETAILS, None, "reasoning_details"), "anthropic", {"thinking_switch": "reasoning"}, False),
        (Opaque("rtx1:torn", None, "reasoning_details"), "openai-chat", {"thinking_switch": "reasoning"}, False),
        (Opaque("not json", Origin("openai-chat", "openrouter"), "reasoning_details"), "anthropic", {}, False),
    ],
)
def test_details_go_back_only_to_their_issuer(state, client, can, goes_back):
    request = replace(asked(user(Text("q")), model(Reasoning((), state), Text("a")), user(Text("?"))), format=client)
    sent, lost = written(request, provider="openrouter", **can)
    details = sent["messages"][1].get("reasoning_details")
    assert (details == [{"type": "reasoning.encrypted", "data": "e", "index": 0}]) is goes_back
    assert ("dropped:thinking" in lost) is not goes_back


@pytest.mark.parametrize(
    ("state", "client", "goes_back"),
    [
        (Opaque("SIG", Origin("openai-chat", "openai"), "call"), "openai-chat", True),
        (Opaque("SIG", None), "openai-chat", True),
        (Opaque("SIG", None), "gemini", False),
        (Opaque("SIG", Origin("gemini", "gemini"), "call"), "openai-chat", False),
    ],
)
def test_state_of_calls_goes_back_only_to_its_issuer(state, client, goes_back):
    request = asked(user(Text("q")), model(replace(CALL, state=state)), user(RESULT))
    sent, lost = written(replace(request, format=client))
    extra = sent["messages"][1]["tool_calls"][0].get("extra_content")
    assert extra == ({"google": {"thought_signature": "SIG"}} if goes_back else None)
    assert ("dropped:thinking" in lost) is not goes_back


# --- how much to think -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thinking", "can", "wanted"),
    [
        (Thinking(effort="high"), {"reasoning_effort": True}, {"reasoning_effort": "high"}),
        (Thinking(effort="max"), {"reasoning_effort": True, "efforts": ("low", "high")}, {"reasoning_effort": "high"}),
        (Thinking("enabled", budget_tokens=2000), {"reasoning_effort": True}, {"reasoning_effort": "low"}),
        (Thinking("adaptive"), {"reasoning_effort": True}, {}),
        (Thinking("disabled"), {"reasoning_effort": True}, {"reasoning_effort": "none"}),
        (Thinking("enabled"), {"thinking_switch": "thinking"}, {"thinking": {"type": "enabled"}}),
        (Thinking("disabled"), {"thinking_switch": "thinking"}, {"thinking": {"type": "disabled"}}),
        (
            Thinking(effort="xhigh"),
            {"thinking_switch": "thinking", "reasoning_effort": True, "efforts": ("low", "high", "max")},
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        ),
        (
            Thinking("enabled", budget_tokens=900),
            {"thinking_switch": "enable_thinking"},
            {"enable_thinking": True, "thinking_budget": 900},
        ),
        (
            Thinking(effort="medium"),
            {"thinking_switch": "enable_thinking", "max_thinking": 5000},
            {"enable_thinking": True, "thinking_budget": 5000},
        ),
        (Thinking("adaptive"), {"thinking_switch": "enable_thinking"}, {"enable_thinking": True}),
        (Thinking(effort="none"), {"thinking_switch": "enable_thinking"}, {"enable_thinking": False}),
        (Thinking(effort="low"), {"thinking_switch": "reasoning"}, {"reasoning": {"effort": "low"}}),
        (
            Thinking("enabled", "low", 900, is_shown=False),
            {"thinking_switch": "reasoning"},
            {"reasoning": {"effort": "low", "exclude": True}},
        ),
        (Thinking("enabled", budget_tokens=900), {"thinking_switch": "reasoning"}, {"reasoning": {"max_tokens": 900}}),
        (Thinking("adaptive"), {"thinking_switch": "reasoning"}, {"reasoning": {"enabled": True}}),
        (Thinking("disabled"), {"thinking_switch": "reasoning"}, {"reasoning": {"effort": "none"}}),
        (
            Thinking(effort="none"),
            {"thinking_switch": "chat_template_kwargs"},
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        (Thinking(effort="max"), {"thinking_switch": "think"}, {"think": "high"}),
        (Thinking("enabled"), {"thinking_switch": "think"}, {"think": True}),
        (Thinking("disabled"), {"thinking_switch": "think"}, {"think": False}),
        (Thinking(summary="auto"), {"thinking_switch": "thinking"}, {}),
    ],
)
def test_every_switch_of_thinking(thinking, can, wanted):
    sent, lost = written(asked(thinking=thinking), **can)
    names = {"reasoning_effort", "thinking", "enable_thinking", "thinking_budget", "reasoning", "think"}
    names.add("chat_template_kwargs")
    assert {name: value for name, value in sent.items() if name in names} == wanted
    assert lost == ()


@pytest.mark.parametrize(
    ("thinking", "can"),
    [
        (Thinking(effort="high"), {}),
        (Thinking("disabled"), {}),
        (Thinking("disabled"), {"reasoning_effort": True, "efforts": ()}),
    ],
)
def test_thinking_that_cannot_be_said_is_dropped(thinking, can):
    sent, lost = written(asked(thinking=thinking), **can)
    assert "reasoning_effort" not in sent
    assert lost == ("dropped:thinking",)


def test_a_model_that_cannot_be_kept_from_thinking_thinks_least():
    sent, lost = written(asked(thinking=Thinking("disabled")), reasoning_effort=True, efforts=("minimal", "low"))
    assert (sent["reasoning_effort"], lost) == ("minimal", ("emulated:thinking",))


def test_dialects_words_go_through_to_a_server_without_a_known_switch():
    request = decoded(enable_thinking=True, thinking_budget=9)
    sent, lost = written(request)
    assert (sent["enable_thinking"], sent["thinking_budget"], lost) == (True, 9, ())
    sent, _ = written(request, thinking_switch="thinking")
    assert sent["thinking"] == {"type": "enabled"}
    assert "enable_thinking" not in sent


def test_template_arguments_are_kept_beside_the_switch():
    request = decoded(chat_template_kwargs={"enable_thinking": True, "style": "x"})
    sent, _ = written(request, thinking_switch="chat_template_kwargs")
    assert sent["chat_template_kwargs"] == {"enable_thinking": True, "style": "x"}


def test_sampling_gives_way_to_thinking_where_they_exclude_each_other():
    request = asked(thinking=Thinking(effort="low"), temperature=0.2, top_p=0.5)
    sent, lost = written(request, reasoning_effort=True, sampling_with_reasoning=False)
    assert "temperature" not in sent
    assert {"dropped:temperature", "dropped:top_p"} <= set(lost)
    request = replace(request, thinking=Thinking(effort="none"))
    sent, _ = written(request, reasoning_effort=True, sampling_with_reasoning=False)
    assert sent["temperature"] == 0.2


# --- tools on offer ----------------------------------------------------------------------------------------------


def test_functions_carry_only_what_they_have():
    bare, strict = Tool("f"), Tool("g", schema={"anyOf": [{"type": "object"}]}, strict=True)
    sent, lost = written(asked(tools=(bare, strict)), strict_tools=False)
    assert sent["tools"][0] == {"type": "function", "function": {"name": "f"}}
    assert sent["tools"][1]["function"].keys() == {"name", "parameters"}
    assert sent["tools"][1]["function"]["parameters"]["type"] == "object"
    assert lost == ("dropped:strict",)
    sent, _ = written(asked(tools=(strict,)))
    assert sent["tools"][0]["function"]["strict"] is True


@pytest.mark.parametrize(
    ("choice", "can", "wanted"),
    [
        (ToolChoice("auto"), {}, "auto"),
        (ToolChoice("none"), {}, "none"),
        (ToolChoice("required"), {}, "required"),
        (ToolChoice("required"), {"required_choice": "any"}, "any"),
        (ToolChoice("required", ("f",)), {}, {"type": "function", "function": {"name": "f"}}),
        (ToolChoice("required", ("p",)), {"custom_tools": True}, {"type": "custom", "custom": {"name": "p"}}),
        (
            ToolChoice("auto", ("f", "p"), is_list=True),
            {"custom_tools": True, "allowed_tools": True},
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "p"}},
                    ],
                },
            },
        ),
    ],
)
def test_tool_choices(choice, can, wanted):
    sent, _ = written(asked(tools=(Tool("f"), Tool("p", "custom")), tool_choice=choice), **can)
    assert sent["tool_choice"] == wanted


def test_named_choice_becomes_the_only_tool_where_names_are_not_taken():
    request = asked(tools=(Tool("f"), Tool("g")), tool_choice=ToolChoice("required", ("g",)))
    sent, lost = written(request, named_choice=False)
    assert sent["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["g"]
    assert "emulated:tool_choice" in lost


def test_demand_that_cannot_be_made_is_dropped():
    sent, lost = written(asked(tools=(Tool("f"),), tool_choice=ToolChoice("required")), required_choice="")
    assert "tool_choice" not in sent
    assert lost == ("dropped:tool_choice",)


def test_search_becomes_options_where_the_model_searches():
    wanted = Search(place={"city": "Oslo"})
    search = Tool("web_search", "hosted", native={"type": "web_search_2025"}, format="anthropic", search=wanted)
    request = asked(tools=(search, Tool("f")), tool_choice=ToolChoice("required", ("web_search",)))
    sent, lost = written(request, web_search=True)
    assert sent["web_search_options"] == {"user_location": {"type": "approximate", "approximate": {"city": "Oslo"}}}
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["f"]
    assert "tool_choice" not in sent
    assert {"emulated:web_search", "dropped:tool_choice"} <= set(lost)


def test_search_leaves_no_trace_where_the_model_does_not():
    search = Tool("web_search", "hosted", native={"type": "web_search_2025"}, format="anthropic")
    sent, lost = written(asked(tools=(search,), tool_choice=ToolChoice("required", ("web_search",))))
    assert not {"tools", "tool_choice", "web_search_options"} & sent.keys()
    assert lost == ("dropped:web_search",)


def test_hosted_tools_of_this_format_stay_as_they_were():
    tool = {"type": "web_search", "web_search": {"enable": True}}
    sent, _ = written(decoded(tools=[tool]), web_search=True)
    assert sent["tools"] == [tool]
    sent, _ = written(decoded(web_search_options={"search_context_size": "low"}), web_search=True)
    assert sent["web_search_options"] == {"search_context_size": "low"}


# --- the shape of the answer -------------------------------------------------------------------------------------

CLOSED = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {
            "type": "array",
            "items": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        },
    },
    "required": ["a", "b"],
    "additionalProperties": False,
}
OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "client", "strict", "wanted"),
    [
        (CLOSED, "anthropic", None, True),
        (OPEN, "anthropic", None, None),
        ({**CLOSED, "required": ["a"]}, "anthropic", None, None),
        ({**CLOSED, "properties": {"a": OPEN, "b": {}}}, "anthropic", None, None),
        ({**CLOSED, "$defs": {"x": OPEN}}, "anthropic", None, None),
        (CLOSED, "openai-chat", None, None),
        (CLOSED, "anthropic", False, False),
        (OPEN, "openai-chat", True, True),
    ],
)
def test_schemas_are_strict_where_they_can_be(schema, client, strict, wanted):
    request = replace(asked(output=OutputFormat("json_schema", schema, strict=strict)), format=client)
    named = written(request)[0]["response_format"]["json_schema"]
    assert (named["name"], named["schema"], named.get("strict")) == ("response", schema, wanted)


def test_schema_keeps_a_name_that_fits():
    output = OutputFormat("json_schema", OPEN, name="my answer!", description="d")
    named = written(asked(output=output))[0]["response_format"]["json_schema"]
    assert (named["name"], named["description"]) == ("my_answer_", "d")


def test_schema_becomes_words_where_it_is_not_taken():
    request = asked(output=OutputFormat("json_schema", OPEN), system=(Text("s"),))
    sent, lost = written(request, structured_output=False)
    assert sent["response_format"] == {"type": "json_object"}
    assert '"integer"' in sent["messages"][0]["content"][1]["text"]
    assert lost == ("emulated:response_format",)
    sent, _ = written(request, structured_output=False, json_object=False)
    assert "response_format" not in sent


def test_json_mode_is_named_to_the_model_where_its_client_did_not():
    output = OutputFormat("json_object")
    assert "JSON" in messages(asked(output=output))[0]["content"]
    said = asked(user(Text("answer in json")), output=output)
    assert [message["role"] for message in messages(said)] == ["user"]
    own = replace(asked(output=output), format="openai-chat")
    assert [message["role"] for message in messages(own)] == ["user"]
    assert written(asked(output=output), json_object=False)[1] == ("emulated:response_format",)


# --- everything else ---------------------------------------------------------------------------------------------


def test_streams_always_ask_for_usage():
    sent, _ = written(asked(is_stream=True, wants_usage=False))
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert "stream_options" not in written(asked(is_stream=True), stream_usage=False)[0]
    assert "stream" not in written(asked())[0]
    kept = decoded(stream=True, stream_options={"include_obfuscation": False})
    assert written(kept)[0]["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_numbers_go_under_the_names_that_the_target_knows():
    request = asked(
        max_tokens=5,
        temperature=0,
        top_p=0.5,
        top_k=4,
        stop=("a", "b"),
        seed=1,
        choices=2,
        logprobs=True,
        top_logprobs=2,
    )
    sent, lost = written(request, max_tokens_field="max_completion_tokens", seed_field="random_seed", top_k=True)
    assert (sent["max_completion_tokens"], sent["temperature"], sent["top_p"], sent["top_k"]) == (5, 0, 0.5, 4)
    assert (sent["stop"], sent["random_seed"], sent["n"]) == (["a", "b"], 1, 2)
    assert (sent["logprobs"], sent["top_logprobs"], lost) == (True, 2, ())
    sent, lost = written(request)
    assert ("max_tokens" in sent, "top_k" in sent, lost) == (True, False, ("dropped:top_k",))


def test_top_logprobs_alone_ask_for_logprobs():
    assert written(asked(top_logprobs=2))[0]["logprobs"] is True


def test_several_answers_are_refused_where_they_cannot_be_had():
    with pytest.raises(BadRequest):
        written(asked(choices=2), choices=False)


def test_long_users_are_shortened_the_same_way_every_time():
    sent, _ = written(asked(user="x" * 170))
    assert len(sent["user"]) == 64
    assert sent == written(asked(user="x" * 170))[0]
    assert written(asked(user="ann"))[0]["user"] == "ann"


@pytest.mark.parametrize(("known", "member"), [(True, "safety_identifier"), (False, "user")])
def test_safety_identifier_is_used_by_clients_that_used_it(known, member):
    sent, lost = written(decoded(safety_identifier="s"), safety_identifier=known)
    assert ({name: sent.get(name) for name in ("safety_identifier", "user")}[member], lost) == ("s", ())
    assert len({"safety_identifier", "user"} & sent.keys()) == 1


def test_members_are_sent_only_where_they_are_known():
    request = asked(cache_key="k", service_tier="priority", verbosity="low", metadata={"a": "b"})
    sent, lost = written(request, cache_key=True, service_tier=True, verbosity=True, metadata=True)
    assert (sent["prompt_cache_key"], sent["service_tier"], sent["verbosity"]) == ("k", "priority", "low")
    assert (sent["metadata"], lost) == ({"a": "b"}, ())
    sent, lost = written(request)
    assert not {"prompt_cache_key", "service_tier", "verbosity", "metadata"} & sent.keys()
    assert set(lost) == {"dropped:service_tier", "dropped:verbosity", "dropped:metadata"}


def test_native_members_go_through_to_a_dialect_of_the_same_format():
    body = {"chat_template_kwargs": {"a": 1}, "guided_json": {}, "min_p": 0.1, "provider": {"order": []}}
    sent, lost = written(decoded(**body))
    assert {name: sent[name] for name in body} == body
    assert lost == ()
    other = replace(decoded(**body), format="gemini")
    assert not body.keys() & written(other)[0].keys()


def test_names_and_unknown_parts_go_through_to_a_dialect():
    odd = {"type": "doc_url", "doc_url": {"url": "x"}}
    sent = messages(decoded(messages=[{"role": "user", "name": "ann", "content": [odd]}]))
    assert sent == [{"role": "user", "name": "ann", "content": [odd]}]


def test_own_refusals_and_voices_keep_their_members():
    history = [
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": "?"},
        {"role": "assistant", "audio": {"id": "a1", "data": "x"}},
    ]
    assert messages(decoded(messages=history)) == [
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "audio": {"id": "a1"}},
    ]


def test_foreign_refusals_are_text():
    sent = messages(asked(user(Text("q")), model(Text("no", is_refusal=True)), user(Text("?"))))
    assert sent[1] == {"role": "assistant", "content": "no"}


def test_beginning_of_an_answer_is_marked_where_that_is_known():
    request = asked(user(Text("Sun in Greek?")), model(Text("The answer is (")))
    assert messages(request, prefix=True)[1] == {"role": "assistant", "content": "The answer is (", "prefix": True}
    sent, lost = written(request)
    assert ("prefix" in sent["messages"][1], lost) == (False, ("emulated:prefill",))
    done = asked(user(Text("q")), model(Text("a")), user(Text("?")))
    assert not any("prefix" in message for message in messages(done, prefix=True))


def test_a_schema_in_the_hosts_own_words():
    output = OutputFormat("json_schema", {"type": "object"}, name="n")
    sent, lost = written(asked(output=output), schema_as_value=True)
    assert (sent["response_format"], lost) == ({"type": "json", "value": {"type": "object"}}, ())


def test_caching_goes_where_its_key_is_known():
    request = decoded(messages=[{"role": "user", "content": "hi"}], prompt_cache_retention="24h")
    assert written(request, cache_key=True)[0]["prompt_cache_retention"] == "24h"
    sent, lost = written(request)
    assert ("prompt_cache_retention" in sent, lost) == (False, ("dropped:prompt_cache_retention",))


@pytest.mark.parametrize(
    ("thinking", "switch", "said"),
    [(None, "thinking", ""), (Thinking("disabled"), "thinking", None), (None, "", None)],
)
def test_a_call_without_thinking_says_so_where_its_absence_is_refused(thinking, switch, said):
    request = asked(user(Text("q")), model(CALL), user(RESULT), thinking=thinking)
    sent = messages(request, reasoning_content_input=True, thinking_switch=switch)
    assert sent[1].get("reasoning_content") == said


# --- hosts with words of their own -----------------------------------------------------------------------------------


def test_a_speakers_name_is_left_out_where_it_is_refused():
    request = asked(Message("user", (Text("a"),), name="bob"), Message("assistant", (Text("b"),), name="al"))
    sent, lost = written(request, names=False, prefix=True)
    assert not any("name" in message for message in sent["messages"])
    assert lost == ("dropped:name",)
    assert [message["name"] for message in messages(request)] == ["bob", "al"]


def test_a_document_is_a_url_where_there_is_no_part_for_files():
    pdf = Media("document", "application/pdf", data="JVBERi0=", title="a.pdf")
    assert messages(asked(user(pdf)), document_urls=True)[0]["content"] == [
        {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0=", "document_name": "a.pdf"}
    ]


# --- hosts with rules of their own about thinking --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switch", "off"),
    [("thinking", {"thinking": {"type": "disabled"}}), ("enable_thinking", {"enable_thinking": False})],
)
def test_a_demanded_tool_rules_thinking_out_where_both_are_refused_together(switch, off):
    can = {"thinking_switch": switch, "reasons_by_default": True, "choice_while_thinking": False}
    forced = {"tools": (WEATHER,), "tool_choice": ToolChoice("required")}
    sent, lost = written(asked(**forced), **can)
    assert (sent["tool_choice"], lost) == ("required", ())
    assert off.items() <= sent.items()
    sent, lost = written(asked(**forced, thinking=Thinking(effort="high")), **can, reasoning_effort=True)
    assert off.items() <= sent.items()
    assert "reasoning_effort" not in sent
    assert lost == ("dropped:thinking",)


@pytest.mark.parametrize("choice", [None, ToolChoice("auto"), ToolChoice("none")])
def test_a_tool_that_is_not_demanded_leaves_thinking_alone(choice):
    request = asked(tools=(WEATHER,), tool_choice=choice)
    sent, _ = written(request, thinking_switch="thinking", reasons_by_default=True, choice_while_thinking=False)
    assert "thinking" not in sent


def test_a_demand_that_the_upstream_cannot_be_told_leaves_thinking_alone():
    request = asked(tools=(WEATHER,), tool_choice=ToolChoice("required"), thinking=Thinking("enabled"))
    sent, lost = written(request, thinking_switch="enable_thinking", choice_while_thinking=False, required_choice="")
    assert sent["enable_thinking"] is True
    assert lost == ("dropped:tool_choice",)


@pytest.mark.parametrize(
    ("thinking", "by_default", "is_stream"),
    [
        (None, False, False),
        (None, True, True),
        (Thinking("enabled"), False, True),
        (Thinking("disabled"), True, False),
        (Thinking(effort="none"), True, False),
    ],
)
def test_a_model_that_thinks_in_streams_only_is_asked_for_one(thinking, by_default, is_stream):
    can = {"thinking_switch": "enable_thinking", "whole_while_thinking": False, "reasons_by_default": by_default}
    sent, _ = written(asked(thinking=thinking), **can)
    assert sent.get("stream", False) is is_stream
    assert sent.get("stream_options") == ({"include_usage": True} if is_stream else None)


def test_thinking_that_cannot_be_switched_off_goes_on_and_the_client_is_told():
    can = {"thinking_switch": "enable_thinking", "thinking_off": False, "whole_while_thinking": False}
    sent, codes = written(asked(thinking=Thinking("disabled")), **can)
    assert "enable_thinking" not in sent
    assert sent["stream"] is True
    assert "dropped:thinking" in codes


def test_a_budget_is_left_out_where_the_switch_stands_alone():
    request = asked(thinking=Thinking("enabled", budget_tokens=2000))
    sent, _ = written(request, thinking_switch="enable_thinking", thinking_budget=False)
    assert sent["enable_thinking"] is True
    assert "thinking_budget" not in sent


def test_a_call_without_its_thinking_is_told_so_to_a_model_that_always_thinks():
    request = asked(user(Text("q")), model(CALL), user(RESULT), tools=(WEATHER,))
    assert messages(request, reasoning_content_input=True, reasons_by_default=True)[1]["reasoning_content"] == ""
    assert "reasoning_content" not in messages(request, reasoning_content_input=True)[1]
