import pytest

from routing.engine.errors import BadRequest
from routing.engine.formats.ollama.codec import OllamaCodec
from routing.engine.messages import (
    Media,
    OutputFormat,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from tests.routing.engine.formats.upstream import assistant, chat, user, written

CODEC = OllamaCodec()
PNG = "iVBORw0KGgo="
SWITCH = {"thinking_switch": "think", "thinking": "enabled"}
WEATHER = Tool("get_weather", description="Tells it.", schema={"type": "object", "properties": {"c": {}}})


def test_plain_question_says_whether_a_stream_is_wanted():
    body, losses = written(CODEC, chat("Hi"))
    assert body == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    assert losses == []


def test_settings_go_into_the_options_under_the_clients_own():
    asked = chat(
        "Hi",
        system=(Text("Be brief."), Text("Be kind.")),
        max_tokens=9,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        seed=7,
        stop=("END",),
        frequency_penalty=0.5,
        is_stream=True,
        native={"keep_alive": "5m", "options": {"num_ctx": 8192, "seed": 1}},
    )
    body, losses = written(CODEC, asked, top_k=True)
    assert body["messages"][0] == {"role": "system", "content": "Be brief.\n\nBe kind."}
    assert body["options"] == {
        "num_ctx": 8192,
        "seed": 7,
        "num_predict": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 3,
        "frequency_penalty": 0.5,
        "stop": ["END"],
    }
    assert (body["keep_alive"], body["stream"]) == ("5m", True)
    assert losses == []


def test_tool_turns_carry_objects_and_names():
    asked = chat(
        "Weather?",
        assistant("Let me see.", ToolCall("call_1", "get_weather", '{"city":"Paris"}'), ToolCall("call_2", "now", "")),
        user(ToolResult("call_2", (Text("noon"),)), ToolResult("call_1", (Text("sunny"),)), "And?"),
        tools=(WEATHER,),
    )
    body, losses = written(CODEC, asked)
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}},
                {"function": {"name": "now", "arguments": {}}},
            ],
        },
        {"role": "tool", "tool_name": "get_weather", "content": "sunny"},
        {"role": "tool", "tool_name": "now", "content": "noon"},
        {"role": "user", "content": "And?"},
    ]
    function = {"name": "get_weather", "description": "Tells it.", "parameters": WEATHER.schema}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert losses == []


def test_cut_arguments_are_sent_as_far_as_they_go():
    asked = chat("Go", assistant(ToolCall("call_1", "f", '{"a":1,"b":"x')), user(ToolResult("call_1", (Text("r"),))))
    body, losses = written(CODEC, asked)
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": 1, "b": "x"}
    assert losses == ["emulated:tool_arguments"]


def test_pictures_stand_beside_the_text():
    body, losses = written(CODEC, chat(user("What is it?", Media("image", "image/png", data=PNG))))
    assert body["messages"] == [{"role": "user", "content": "What is it?", "images": [PNG]}]
    assert losses == []


def test_tools_pictures_follow_in_a_user_message_and_errors_are_said():
    asked = chat(
        "Go",
        assistant(ToolCall("call_1", "f", "{}"), ToolCall("call_2", "g", "{}")),
        user(
            ToolResult("call_1", (Media("image", "image/png", data=PNG),)),
            ToolResult("call_2", (Text("no such file"),), is_error=True),
        ),
    )
    body, losses = written(CODEC, asked)
    tool, error, shown = body["messages"][2:]
    assert (tool["role"], error["content"]) == ("tool", "Error: no such file")
    assert (shown["role"], shown["images"]) == ("user", [PNG])
    assert losses == ["emulated:tool_result_media", "emulated:is_error"]


def test_documents_go_as_text_and_others_are_refused():
    body, _ = written(CODEC, chat(user(Media("document", text="The words.", title="a.txt"))))
    assert body["messages"] == [{"role": "user", "content": "a.txt\nThe words."}]
    with pytest.raises(BadRequest, match=r"application/pdf that is no text"):
        written(CODEC, chat(user(Media("document", "application/pdf", data="JVBERi0="))))


@pytest.mark.parametrize(
    ("output", "sent"),
    [(OutputFormat("json_object"), "json"), (OutputFormat("json_schema", {"type": "object"}), {"type": "object"})],
)
def test_json_is_asked_for_by_format(output, sent):
    assert written(CODEC, chat("Hi", output=output))[0]["format"] == sent


@pytest.mark.parametrize(
    ("thinking", "capabilities", "sent", "losses"),
    [
        (Thinking(effort="high"), {**SWITCH, "efforts": ("none",)}, True, []),
        (Thinking(mode="adaptive"), SWITCH, True, []),
        (Thinking(mode="disabled"), SWITCH, False, []),
        (Thinking(effort="xhigh"), {**SWITCH, "efforts": ("low", "medium", "high")}, "high", []),
        (Thinking(mode="enabled", budget_tokens=9000), SWITCH, "medium", []),
        (Thinking(effort="high"), {"thinking_switch": "think"}, None, ["dropped:thinking"]),
        (Thinking(effort="high"), {}, None, ["dropped:thinking"]),
        (Thinking(mode="disabled"), {}, None, []),
        (Thinking(is_shown=True), SWITCH, None, []),
    ],
)
def test_thinking_is_a_switch_or_a_level(thinking, capabilities, sent, losses):
    body, noted = written(CODEC, chat("Hi", thinking=thinking), **capabilities)
    assert body.get("think") == sent
    assert noted == losses


def test_thoughts_go_back_only_where_they_are_wanted():
    asked = chat("Hi", assistant(Reasoning(("Hm.",)), "Hello"), "Again")
    body, losses = written(CODEC, asked)
    assert body["messages"][1] == {"role": "assistant", "content": "Hello"}
    assert losses == ["dropped:thinking"]
    body, losses = written(CODEC, asked, reasoning_content_input=True)
    assert body["messages"][1] == {"role": "assistant", "content": "Hello", "thinking": "Hm."}
    assert losses == []


@pytest.mark.parametrize(
    ("choice", "tools", "losses"),
    [
        (ToolChoice("none"), None, ["emulated:tool_choice"]),
        (ToolChoice("required"), ["get_weather", "now"], ["dropped:tool_choice"]),
        (ToolChoice("required", ("now",)), ["now"], ["dropped:tool_choice"]),
        (ToolChoice("auto"), ["get_weather", "now"], []),
    ],
)
def test_tool_choice_decides_which_tools_are_told(choice, tools, losses):
    body, noted = written(CODEC, chat("Hi", tools=(WEATHER, Tool("now")), tool_choice=choice))
    assert [tool["function"]["name"] for tool in body["tools"]] == tools if tools else "tools" not in body
    assert noted == losses
