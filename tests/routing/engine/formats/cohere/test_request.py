import pytest

from routing.engine.errors import BadRequest
from routing.engine.formats.cohere.codec import CohereCodec
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

CODEC = CohereCodec()
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", description="Tells it.", schema=SCHEMA, strict=True)


def test_plain_question_is_short():
    body, losses = written(CODEC, chat("Hi"))
    assert (body, losses) == ({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}, [])


def test_sampling_has_its_own_names_and_limits():
    asked = chat(
        "Hi",
        max_tokens=9,
        temperature=0.0,
        top_p=1.0,
        top_k=40,
        seed=3,
        stop=("END",),
        presence_penalty=-1.0,
        is_stream=True,
        native={"safety_mode": "OFF", "keep_alive": "5m"},
    )
    body, losses = written(CODEC, asked, top_k=True)
    del body["messages"]
    assert body == {
        "model": "m",
        "stream": True,
        "max_tokens": 9,
        "temperature": 0.0,
        "p": 0.99,
        "k": 40,
        "seed": 3,
        "presence_penalty": 0.0,
        "stop_sequences": ["END"],
        "safety_mode": "OFF",
    }
    assert losses == ["dropped:keep_alive", "clamped:top_p", "clamped:presence_penalty"]


def test_text_before_calls_is_their_plan():
    asked = chat(
        "Weather?",
        assistant("I will look.", ToolCall("call_1", "get_weather", '{"city":"Paris"}'), ToolCall("call_2", "now", "")),
        user(ToolResult("call_1", (Text("sunny"),)), ToolResult("call_2"), "And?"),
        tools=(WEATHER,),
    )
    body, losses = written(CODEC, asked)
    plan, first, second, again = body["messages"][1:]
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ]
    assert plan == {"role": "assistant", "tool_plan": "I will look.", "tool_calls": calls}
    assert first == {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    assert second["content"] != ""
    assert again == {"role": "user", "content": "And?"}
    function = {"name": "get_weather", "description": "Tells it.", "parameters": SCHEMA}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["strict_tools"] is True
    assert losses == []


def test_strictness_is_for_all_tools_or_none():
    body, losses = written(CODEC, chat("Hi", tools=(WEATHER, Tool("now"))))
    assert "strict_tools" not in body
    assert losses == ["dropped:strict"]


@pytest.mark.parametrize(
    ("choice", "sent", "tools", "losses"),
    [
        (ToolChoice("auto"), None, ["get_weather", "now"], []),
        (ToolChoice("required"), "REQUIRED", ["get_weather", "now"], []),
        (ToolChoice("none"), "NONE", ["get_weather", "now"], []),
        (ToolChoice("required", ("now",)), "REQUIRED", ["now"], ["emulated:tool_choice"]),
    ],
)
def test_tools_are_demanded_all_or_none(choice, sent, tools, losses):
    body, noted = written(CODEC, chat("Hi", tools=(Tool("get_weather"), Tool("now")), tool_choice=choice))
    assert body.get("tool_choice") == sent
    assert [tool["function"]["name"] for tool in body["tools"]] == tools
    assert noted == losses


def test_pictures_keep_their_place_in_the_text():
    picture, other = Media("image", "image/png", data="aGk=", detail="low"), Media("image", url="https://x.test/a.png")
    body, losses = written(CODEC, chat(user("This", picture, "or", other, Media("document", text="Notes."))))
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "This"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
        {"type": "text", "text": "or"},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
        {"type": "text", "text": "Notes."},
    ]
    assert losses == []
    with pytest.raises(BadRequest):
        written(CODEC, chat(user(Media("document", "application/pdf", data="JVBERi0="))))


@pytest.mark.parametrize(
    ("thinking", "sent", "losses"),
    [
        (Thinking(effort="low"), {"type": "enabled", "token_budget": 4096}, []),
        (Thinking(mode="enabled", budget_tokens=2000), {"type": "enabled", "token_budget": 2000}, []),
        (Thinking(mode="adaptive"), {"type": "enabled"}, []),
        (Thinking(effort="none"), {"type": "disabled"}, []),
    ],
)
def test_thinking_has_a_switch_and_a_budget(thinking, sent, losses):
    body, noted = written(CODEC, chat("Hi", thinking=thinking), thinking="enabled")
    assert (body["thinking"], noted) == (sent, losses)
    assert "thinking" not in written(CODEC, chat("Hi", thinking=thinking))[0]


def test_thinking_leaves_room_for_the_answer():
    asked = chat("Hi", thinking=Thinking(effort="high"), max_tokens=3000)
    body, _ = written(CODEC, asked, thinking="enabled")
    assert (body["max_tokens"], body["thinking"]["token_budget"]) == (3000, 1500)


def test_thoughts_go_back_only_where_they_are_wanted():
    asked = chat("Hi", assistant(Reasoning(("Hm.",)), "Hello"), "Again")
    assert written(CODEC, asked)[0]["messages"][1] == {"role": "assistant", "content": "Hello"}
    body, losses = written(CODEC, asked, reasoning_content_input=True)
    thought, text = {"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hello"}
    assert body["messages"][1] == {"role": "assistant", "content": [thought, text]}
    assert losses == []


def test_json_is_asked_for_by_format_or_beside_tools_in_words():
    output = OutputFormat("json_schema", SCHEMA)
    body, losses = written(CODEC, chat("Hi", output=output))
    assert body["response_format"] == {"type": "json_object", "json_schema": SCHEMA}
    assert losses == []
    body, losses = written(CODEC, chat("Hi", output=output, tools=(Tool("now"),), system=(Text("Be brief."),)))
    assert "response_format" not in body
    assert body["messages"][0]["content"].startswith("Be brief.\n\n")
    assert '"city"' in body["messages"][0]["content"]
    assert losses == ["emulated:response_format"]


@pytest.mark.parametrize("member", [{"choices": 2}, {"logprobs": True}])
def test_what_would_change_the_answer_silently_is_refused(member):
    with pytest.raises(BadRequest):
        written(CODEC, chat("Hi", **member))
