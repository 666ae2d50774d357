import base64

import pytest
from msgspec.structs import replace

from routing.engine.errors import BadRequest
from routing.engine.formats.bedrock_converse.codec import BedrockConverseCodec
from routing.engine.messages import (
    CacheMark,
    Media,
    Message,
    Opaque,
    Origin,
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

CODEC = BedrockConverseCodec()
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
MANUAL = {"thinking": "enabled", "sampling_with_reasoning": False, "default_max_output": 8192, "max_output": 64000}
PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Tool("get_weather", description="Tells it.", schema=SCHEMA)
CALL = ToolCall("tooluse_1", "get_weather", '{"city":"Paris"}')
RESULT = ToolResult("tooluse_1", (Text("sunny"),))
SIGNED = Opaque("c2ln", Origin("anthropic", "anthropic", "chn_9", "claude"))


def test_settings_have_their_own_names():
    asked = chat(
        "Hi",
        system=(Text("Be brief."), Text(" "), Text("Be kind.", cache=CacheMark("1h"))),
        max_tokens=9,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        stop=("END", " "),
        seed=7,
        native={"guardrailConfig": {"guardrailIdentifier": "g"}, "additionalModelRequestFields": {"x": 1}},
    )
    body, losses = written(CODEC, asked, "meta.llama3", top_k=True, cache_control=True)
    assert body == {
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "system": [
            {"text": "Be brief."},
            {"text": "Be kind."},
            {"cachePoint": {"type": "default", "ttl": "1h"}},
        ],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.0, "topP": 0.5, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"x": 1, "top_k": 3},
        "guardrailConfig": {"guardrailIdentifier": "g"},
    }
    assert losses == ["dropped:seed", "dropped:stop"]


def test_models_say_top_k_in_their_own_words_and_claude_its_stop_sequence():
    asked = chat("Hi", top_k=3, stop=("END",))
    nova, _ = written(CODEC, asked, "amazon.nova-pro-v1:0", top_k=True)
    assert nova["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}}
    assert "additionalModelResponseFieldPaths" not in nova
    claude, _ = written(CODEC, asked, CLAUDE, top_k=True)
    assert claude["additionalModelResponseFieldPaths"] == ["/stop_sequence"]


def test_tool_turns_put_results_first_and_each_text_in_a_block_of_its_own():
    asked = chat(
        "Weather?",
        assistant("Let me see.", " ", CALL, ToolCall("tooluse_2", "now", "")),
        user("And?", ToolResult("tooluse_2", (Text("no clock"), Text("")), is_error=True)),
        user(RESULT),
        "Please.",
        tools=(WEATHER, Tool("now", description=" ")),
    )
    body, losses = written(CODEC, asked)
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"text": "Let me see."},
                {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"city": "Paris"}}},
                {"toolUse": {"toolUseId": "tooluse_2", "name": "now", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "sunny"}]}},
                {"toolResult": {"toolUseId": "tooluse_2", "content": [{"text": "no clock"}], "status": "error"}},
                {"text": "And?"},
                {"text": "Please."},
            ],
        },
    ]
    assert body["toolConfig"] == {
        "tools": [
            {"toolSpec": {"name": "get_weather", "description": "Tells it.", "inputSchema": {"json": SCHEMA}}},
            {"toolSpec": {"name": "now", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
        ]
    }
    assert losses == []


def test_history_with_calls_declares_them_when_the_request_does_not():
    body, losses = written(CODEC, chat("Hi", assistant(CALL), user(RESULT)))
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["get_weather"]
    assert losses == ["emulated:tools"]


@pytest.mark.parametrize(
    ("choice", "sent", "tools", "losses"),
    [
        (ToolChoice("auto"), {"auto": {}}, 2, []),
        (ToolChoice("required"), {"any": {}}, 2, []),
        (ToolChoice("required", ("now",)), {"tool": {"name": "now"}}, 2, []),
        (ToolChoice("required", ("now",), is_list=True), {"any": {}}, 1, ["emulated:allowed_tools"]),
        (ToolChoice("none"), None, 0, ["emulated:tool_choice"]),
    ],
)
def test_tools_are_demanded_in_three_words(choice, sent, tools, losses):
    body, noted = written(CODEC, chat("Hi", tools=(WEATHER, Tool("now")), tool_choice=choice))
    config = body.get("toolConfig", {"tools": []})
    assert config.get("toolChoice") == sent
    assert len(config["tools"]) == tools
    assert noted == losses


def test_choices_that_a_model_does_not_know_are_lost():
    asked = chat("Hi", tools=(WEATHER,), tool_choice=ToolChoice("required"))
    body, losses = written(CODEC, asked, required_choice="", named_choice=False)
    assert "toolChoice" not in body["toolConfig"]
    assert losses == ["dropped:tool_choice"]
    # With calls in the history the tools must stay, so that nothing forbids them.
    asked = chat("Hi", assistant(CALL), user(RESULT), tools=(WEATHER,), tool_choice=ToolChoice("none"))
    body, losses = written(CODEC, asked)
    assert body["toolConfig"].keys() == {"tools"}
    assert losses == ["dropped:tool_choice"]


def test_prompt_parts_worth_caching_end_in_a_cache_point():
    mark = CacheMark()
    marked = Text("Long.", cache=mark)
    asked = chat(
        user(marked),
        assistant(replace(CALL, cache=mark)),
        user(replace(RESULT, cache=mark)),
        tools=(replace(WEATHER, cache=mark),),
        cache=mark,
    )
    body, _ = written(CODEC, asked, cache_control=True)
    point = {"cachePoint": {"type": "default"}}
    assert body["messages"][0]["content"] == [{"text": "Long."}, point]
    assert [list(block) for block in body["messages"][1]["content"]] == [["toolUse"], ["cachePoint"]]
    assert [list(block) for block in body["messages"][2]["content"]] == [["toolResult"], ["cachePoint"], ["cachePoint"]]
    assert body["toolConfig"]["tools"][1] == point
    assert "cachePoint" not in str(written(CODEC, asked)[0])


@pytest.mark.parametrize(
    ("media", "sent"),
    [
        (Media("image", "image/jpg", data="/9j/"), {"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}}),
        (Media("image", data=PNG), {"image": {"format": "png", "source": {"bytes": PNG}}}),
        (
            Media("video", "video/quicktime", url="s3://bucket/film.mov"),
            {"video": {"format": "mov", "source": {"s3Location": {"uri": "s3://bucket/film.mov"}}}},
        ),
        (
            Media("document", "application/pdf", data="JVBERi0=", title="Q3  report_final.pdf", context="Mine."),
            {
                "document": {
                    "format": "pdf",
                    "name": "Q3 report-final-pdf",
                    "source": {"bytes": "JVBERi0="},
                    "context": "Mine.",
                }
            },
        ),
        (
            Media("document", text="é", title="", wants_citations=True),
            {
                "document": {
                    "format": "txt",
                    "name": "document",
                    "source": {"bytes": base64.b64encode("é".encode()).decode()},
                    "citations": {"enabled": True},
                }
            },
        ),
    ],
)
def test_media_have_formats_and_names(media, sent):
    body, losses = written(CODEC, chat(user("Look", media)), own_urls=("s3://",))
    assert body["messages"][0]["content"] == [{"text": "Look"}, sent]
    assert losses == []


@pytest.mark.parametrize(
    "media",
    [
        Media("image", "image/tiff", data="aGk="),
        Media("image", "image/png", url="https://x.test/a.png"),
        Media("document", "application/zip", data="aGk="),
        Media("audio", "audio/x-midi", data="aGk="),
    ],
)
def test_media_without_a_slot_are_refused(media):
    with pytest.raises(BadRequest):
        written(CODEC, chat(user("Look", media)))


def test_documents_have_names_of_their_own_and_words_beside_them():
    document = Media("document", "application/pdf", data="JVBERi0=", title="a.pdf")
    body, _ = written(CODEC, chat(user(document, document)))
    text, first, second = body["messages"][0]["content"]
    assert text["text"].strip()
    assert (first["document"]["name"], second["document"]["name"]) == ("a-pdf", "a-pdf (2)")


def test_tools_pictures_stand_in_the_result_or_right_behind_all_results():
    picture = Media("image", "image/png", data=PNG)
    other = ToolCall("tooluse_2", "now", "{}")
    asked = chat(
        "Hi",
        assistant(CALL, other),
        user(ToolResult("tooluse_1", (picture,)), ToolResult("tooluse_2"), "Well?"),
    )
    body, losses = written(CODEC, asked, tool_message_images=True)
    assert list(body["messages"][2]["content"][0]["toolResult"]["content"][0]) == ["image"]
    assert losses == ["emulated:tools"]
    body, losses = written(CODEC, asked)
    content = body["messages"][2]["content"]
    assert [next(iter(block)) for block in content] == ["toolResult", "toolResult", "image", "text"]
    assert all(block["toolResult"]["content"] for block in content[:2])
    assert losses == ["emulated:tool_result_media", "emulated:tools"]


def test_turns_alternate_and_begin_with_the_user():
    asked = chat(
        Message("system", (Text("First."),)),
        assistant("Hello", " "),
        assistant("there"),
        user(" "),
        Message("system", (Text("Be quick."),)),
        "Go",
        assistant("I shall "),
    )
    body, losses = written(CODEC, asked)
    assert body["system"] == [{"text": "First."}]
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user", "assistant"]
    assert body["messages"][1]["content"] == [{"text": "Hello"}, {"text": "there"}]
    assert body["messages"][2]["content"] == [{"text": "Be quick."}, {"text": "Go"}]
    assert body["messages"][3]["content"] == [{"text": "I shall"}]
    assert losses == ["emulated:prefill", "emulated:system", "emulated:messages"]


# --- thinking -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["anthropic", "bedrock-converse", "bedrock-invoke", "vertex-anthropic"])
def test_thoughts_go_back_to_whatever_host_of_the_model(host):
    state = replace(SIGNED, origin=replace(SIGNED.origin, format=host))
    hidden = Reasoning(state=replace(state, place="redacted"), is_redacted=True)
    asked = chat("Hi", assistant(Reasoning(("Hm. ",), state), hidden, CALL), user(RESULT), tools=(WEATHER,))
    body, losses = written(CODEC, asked, CLAUDE, **MANUAL)
    assert body["messages"][1]["content"][:2] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm. ", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "c2ln"}},
    ]
    assert losses == []


@pytest.mark.parametrize(
    ("state", "client", "is_sent"),
    [
        (None, "openai-chat", False),
        (Opaque("c2ln"), "openai-chat", False),
        (Opaque("c2ln"), "anthropic", True),
        (Opaque("rtx1:torn"), "anthropic", False),
        (replace(SIGNED, origin=Origin("gemini", "gemini", "chn_1", "gemini-3")), "anthropic", False),
        (replace(SIGNED, origin=Origin("anthropic", "x", "chn_2", "gpt")), "anthropic", False),
        (replace(SIGNED, origin=Origin("anthropic", "x", "chn_1", "")), "openai-chat", True),
    ],
)
def test_thoughts_of_others_are_left_out(state, client, is_sent):
    asked = chat("Hi", assistant(Reasoning(("Hm.",), state), "Hello"), "Go", client=client)
    body, losses = written(CODEC, asked, CLAUDE, **MANUAL)
    assert ("reasoningContent" in body["messages"][1]["content"][0]) == is_sent
    assert losses == ([] if is_sent else ["dropped:thinking"])


@pytest.mark.parametrize(
    ("thinking", "members", "capabilities", "inference", "fields", "losses"),
    [
        (Thinking(effort="low"), {}, MANUAL, {"maxTokens": 8192}, ("enabled", 4096), []),
        (Thinking(effort="high"), {}, MANUAL, {"maxTokens": 8192 + 24576}, ("enabled", 24576), []),
        (
            Thinking(mode="enabled", budget_tokens=500),
            {"max_tokens": 100},
            MANUAL,
            {"maxTokens": 1124},
            ("enabled", 1024),
            ["clamped:max_tokens"],
        ),
        (Thinking(effort="none"), {}, MANUAL, None, None, []),
        (Thinking(mode="adaptive"), {}, {"thinking": "adaptive"}, None, ("adaptive", None), []),
        (Thinking(effort="high"), {}, {}, None, None, ["dropped:thinking"]),
        (
            Thinking(effort="low"),
            {"temperature": 0.5, "top_p": 0.9},
            MANUAL,
            {"maxTokens": 8192},
            ("enabled", 4096),
            ["dropped:temperature", "dropped:top_p"],
        ),
    ],
)
def test_thinking_goes_into_the_models_own_fields(thinking, members, capabilities, inference, fields, losses):
    model = CLAUDE if capabilities else "meta.llama3"
    body, noted = written(CODEC, chat("Hi", thinking=thinking, **members), model, **capabilities)
    kind, budget = fields or (None, None)
    config = {"type": kind} | ({"budget_tokens": budget} if budget else {})
    assert body.get("inferenceConfig") == inference
    assert body.get("additionalModelRequestFields", {}).get("thinking") == (config if kind else None)
    assert noted == losses


def test_effort_is_told_in_the_words_that_the_model_has():
    asked = chat("Hi", thinking=Thinking(effort="xhigh"))
    adaptive, _ = written(CODEC, asked, CLAUDE, thinking="adaptive", efforts=("low", "medium", "high"))
    assert adaptive["additionalModelRequestFields"] == {
        "output_config": {"effort": "high"},
        "thinking": {"type": "adaptive"},
    }
    plain, losses = written(CODEC, asked, "openai.gpt-oss-120b", reasoning_effort=True, efforts=("low", "high"))
    assert plain["additionalModelRequestFields"] == {"reasoning_effort": "high"}
    assert losses == []


def test_manual_thinking_gives_way_to_a_demanded_tool_and_to_a_loop_without_thoughts():
    demanded = chat("Hi", thinking=Thinking(effort="low"), tools=(WEATHER,), tool_choice=ToolChoice("required"))
    looping = chat("Hi", assistant(CALL), user(RESULT), thinking=Thinking(effort="low"), tools=(WEATHER,))
    for asked in (demanded, looping):
        body, losses = written(CODEC, asked, CLAUDE, **MANUAL)
        assert "additionalModelRequestFields" not in body
        assert losses == ["dropped:thinking"]
    body, losses = written(CODEC, looping, CLAUDE, thinking="adaptive")
    assert body["additionalModelRequestFields"]["thinking"] == {"type": "adaptive"}
    assert losses == []


def test_only_betas_that_the_host_knows_are_named():
    betas = ["context-1m-2025-08-07", "advanced-tool-use-2025-11-20", 5]
    body, losses = written(CODEC, chat("Hi", client="anthropic", native={"betas": betas}), CLAUDE)
    assert body["additionalModelRequestFields"] == {"anthropic_beta": ["context-1m-2025-08-07"]}
    assert losses == []


# --- output ---------------------------------------------------------------------------------------------------------


def test_schemas_are_held_to_or_asked_for():
    output = OutputFormat("json_schema", SCHEMA, name="place")
    body, losses = written(CODEC, chat("Hi", output=output))
    json_schema = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (json_schema["name"], '"city"' in json_schema["schema"]) == ("place", True)
    assert losses == []
    body, losses = written(CODEC, chat("Hi", output=output), structured_output=False)
    assert '"city"' in body["system"][0]["text"]
    assert losses == ["emulated:response_format"]


def test_streams_have_a_path_of_their_own():
    assert [CODEC.operation(False), CODEC.operation(True)] == ["bedrock-converse", "bedrock-converse:stream"]


def test_models_that_take_one_of_two_are_sent_the_temperature():
    body, losses = written(CODEC, chat("Hi", temperature=0.5, top_p=0.5), CLAUDE, sampling_together=False)
    assert (body["inferenceConfig"], losses) == ({"temperature": 0.5}, ["dropped:top_p"])


def test_no_cache_point_stands_behind_a_tool_where_that_is_refused():
    asked = chat("Hi", tools=(replace(WEATHER, cache=CacheMark()),), system=(Text("s", cache=CacheMark()),))
    body, _ = written(CODEC, asked, "amazon.nova-pro-v1:0", cache_control=True, cached_tools=False)
    assert [list(each) for each in body["toolConfig"]["tools"]] == [["toolSpec"]]
    assert body["system"][-1] == {"cachePoint": {"type": "default"}}
    body, _ = written(CODEC, asked, "amazon.nova-pro-v1:0", cache_control=True)
    assert list(body["toolConfig"]["tools"][-1]) == ["cachePoint"]
