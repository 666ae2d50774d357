import json

import pytest
from google.genai import types as genai_types

from routing.engine.messages import (
    Media,
    Message,
    Native,
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
from tests.routing.engine.formats.gemini.harness import asked, decoded, model, user, written

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
F = Tool("f", description="d", schema=SCHEMA)


def said(*texts: str) -> Message:
    return Message("user", tuple(map(Text, texts)))


def answered(*parts: object) -> Message:
    return Message("assistant", tuple(parts))


def contents(*messages: Message, to: str = "gemini-2.5-flash", fmt: str = "openai-chat", **can: object) -> list:
    return written(asked(fmt, messages=messages), to, **can)[0]["contents"]


# --- contents --------------------------------------------------------------------------------------------------------


def test_system_blocks_stay_apart():
    body, _ = written(asked(system=(Text("a"), Text(""), Text("b"))))
    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}


def test_neighbours_of_one_role_are_one_turn():
    assert contents(said("a"), said("b", "c"), answered(Text("d")), answered(Text("e")), said("f")) == [
        user({"text": "a"}, {"text": "b"}, {"text": "c"}),
        model({"text": "d"}, {"text": "e"}),
        user({"text": "f"}),
    ]


def test_operator_in_between_speaks_as_a_marked_user():
    system = Message("system", (Text("Be brief."),))
    assert contents(said("a"), system, answered(Text("b")), said("c"))[0] == user(
        {"text": "a"}, {"text": "<system-reminder>\nBe brief.\n</system-reminder>"}
    )


def test_empty_parts_are_left_out_and_a_turn_that_would_vanish_keeps_a_blank():
    assert contents(said("a", ""), answered(Text("")), said("b")) == [
        user({"text": "a"}),
        model({"text": " "}),
        user({"text": "b"}),
    ]
    assert contents(said("a"), answered(Text("x")), said(""), answered(Text("y")), said("b")) == [
        user({"text": "a"}),
        model({"text": "x"}, {"text": "y"}),
        user({"text": "b"}),
    ]
    assert contents(said("a"), answered(Text(""))) == [user({"text": "a"})]


def test_conversation_without_a_word_is_still_one():
    assert contents() == [user({"text": " "})]


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (Media("image", "image/png", data="aaaa"), {"inlineData": {"mimeType": "image/png", "data": "aaaa"}}),
        (Media("image", data="/9j/aaa"), {"inlineData": {"mimeType": "image/jpeg", "data": "/9j/aaa"}}),
        (
            Media("document", data="JVBERi0=", title="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0=", "displayName": "a.pdf"}},
        ),
        (
            Media("image", url="https://e.com/a.webp?x=a.png"),
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://e.com/a.webp?x=a.png"}},
        ),
        (
            Media("image", url="https://e.com/a"),
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://e.com/a"}},
        ),
        (Media("video", url="https://youtu.be/x"), {"fileData": {"fileUri": "https://youtu.be/x"}}),
        (
            Media("video", "video/mp4", url="gs://b/a.mp4"),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/a.mp4"}},
        ),
        (Media("document", text="words", title="notes.txt"), {"text": "notes.txt\n\nwords"}),
        (Media("document", text="words"), {"text": "words"}),
    ],
)
def test_media(media, part):
    assert contents(Message("user", (media,))) == [user(part)]


def test_detail_is_told_to_the_generation_that_knows_it():
    picture = Message("user", (Media("image", "image/png", data="aaaa", detail="low"),))
    assert contents(picture, to="gemini-3-flash")[0]["parts"][0]["mediaResolution"] == {"level": "MEDIA_RESOLUTION_LOW"}
    body, losses = written(asked(messages=(picture,)))
    assert "mediaResolution" not in body["contents"][0]["parts"][0]
    assert (body["generationConfig"], losses) == ({"mediaResolution": "MEDIA_RESOLUTION_LOW"}, set())
    other = Message("user", (Media("image", "image/png", data="aaaa", detail="high"),))
    body, losses = written(asked(messages=(picture, other)))
    assert ("generationConfig" in body, losses) == (False, {"dropped:detail", "dropped:mediaResolution"})
    unsure = Message("user", (Media("image", "image/png", data="aaaa", detail="auto", context="c"),))
    assert written(asked(messages=(unsure,)))[1] == {"dropped:context"}


# --- calls and results -----------------------------------------------------------------------------------------------


def turn(*results: ToolResult, calls: tuple[ToolCall, ...] = (), after: tuple = ()) -> tuple[Message, ...]:
    return (said("q"), answered(*calls), Message("user", (*results, *after)))


CALLS = (ToolCall("c1", "f", '{"city":"Oslo"}'), ToolCall("c2", "g", ""))


def test_results_of_one_turn_stand_in_call_order_in_one_content():
    told = contents(
        *turn(
            ToolResult("c2", (Text("two"),), name="g"),
            ToolResult("c1", (Text("one"),), name="f"),
            calls=CALLS,
            after=(Text("and now?"),),
        )
    )
    assert told[1] == model(
        {"functionCall": {"id": "c1", "name": "f", "args": {"city": "Oslo"}}},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    )
    assert told[2] == user(
        {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "one"}}},
        {"functionResponse": {"id": "c2", "name": "g", "response": {"output": "two"}}},
        {"text": "and now?"},
    )


def test_ids_are_left_out_where_they_are_not_known():
    told = contents(*turn(ToolResult("c1", (Text("x"),), name="f"), calls=CALLS[:1]), tool_ids=False)
    assert "id" not in told[1]["parts"][0]["functionCall"]
    assert "id" not in told[2]["parts"][0]["functionResponse"]


@pytest.mark.parametrize(
    ("result", "response"),
    [
        ((Text('{"a": [1]}'),), {"a": [1]}),
        ((Text("[1]"),), {"output": "[1]"}),
        ((Text("{torn"),), {"output": "{torn"}),
        ((Text("a"), Text("b")), {"output": "a\n\nb"}),
        ((), {"output": ""}),
        ((Media("document", text="words", title="t"),), {"output": "t\n\nwords"}),
    ],
)
def test_responses_are_objects(result, response):
    told = contents(*turn(ToolResult("c1", result, name="f"), calls=CALLS[:1]))
    assert told[2]["parts"][0]["functionResponse"]["response"] == response


def test_errors_are_told_as_such():
    told = contents(*turn(ToolResult("c1", (Text('{"a":1}'),), is_error=True, name="f"), calls=CALLS[:1]))
    assert told[2]["parts"][0]["functionResponse"]["response"] == {"error": '{"a":1}'}


def test_pictures_in_results():
    picture = {"inlineData": {"mimeType": "image/png", "data": "aaaa"}}
    result = ToolResult("c1", (Text("see"), Media("image", "image/png", data="aaaa")), name="f")
    told = contents(*turn(result, calls=CALLS[:1], after=(Text("?"),)))[2]["parts"]
    assert [next(iter(part)) for part in told] == ["inlineData", "functionResponse", "text"]
    told = contents(*turn(result, calls=CALLS[:1]), to="gemini-3-flash")[2]["parts"]
    assert told == [{"functionResponse": {"id": "c1", "name": "f", "response": {"output": "see"}, "parts": [picture]}}]


@pytest.mark.parametrize(
    ("arguments", "args", "is_exact"),
    [("", {}, True), ('{"a":"b', {"a": "b"}, False), ("[1]", {"value": [1]}, False), ("nonsense", {}, False)],
)
def test_arguments_are_objects(arguments, args, is_exact):
    body, losses = written(asked(messages=(said("q"), answered(ToolCall("c", "f", arguments)))))
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == args
    assert ("emulated:tool_arguments" in losses) is not is_exact


# --- thoughts and signatures -----------------------------------------------------------------------------------------


def own(place: str = "", family: str = "gemini-3", fmt: str = "gemini") -> Opaque:
    return Opaque("U0c=", Origin(fmt, "gemini", "chn_9", family), place)


def signatures(*parts: object, to: str = "gemini-3-flash", fmt: str = "anthropic") -> tuple[list, set]:
    """Return the signature on each part of a model's turn, and what was lost."""
    body, losses = written(asked(fmt, messages=(said("q"), answered(*parts), said("r"))), to)
    return [part.get("thoughtSignature") for part in body["contents"][1]["parts"]], losses


CALL = ToolCall("c", "f", "{}")


@pytest.mark.parametrize("place", ["", "call"])
def test_signature_of_a_thought_goes_to_the_next_call(place):
    found, losses = signatures(Reasoning(("hm",), own(place)), Text("so"), CALL, CALL)
    assert (found, "dropped:thinking" in losses) == ([None, "U0c=", None], False)


def test_call_keeps_its_own_signature():
    signed = ToolCall("c", "f", "{}", state=Opaque("own", own().origin, "call"))
    assert signatures(Reasoning((), own("call")), signed)[0] == ["own"]


def test_signature_without_a_call_goes_to_the_text_after_the_thought():
    assert signatures(Reasoning(("hm",), own()), Text("a"), Text("b"))[0] == ["U0c=", None]
    both = (Reasoning(("x",), own()), Text("a"), Reasoning(("y",), Opaque("V0c=", own().origin)), CALL)
    assert signatures(*both)[0] == ["U0c=", "V0c="]


def test_signed_text_keeps_its_signature():
    assert signatures(Text("a", state=own("text")))[0] == ["U0c="]
    assert signatures(Text("", state=own("text")))[0] == ["U0c="]


@pytest.mark.parametrize("state", [own(family="gemini-2.5"), own(fmt="anthropic"), Opaque("raw"), Opaque("cnR4MTtorn")])
def test_what_this_upstream_did_not_issue_is_dropped(state):
    found, losses = signatures(Reasoning(("hm",), state), CALL)
    assert found == ["skip_thought_signature_validator"]
    assert "dropped:thinking" in losses


def test_thoughts_without_a_signature_are_dropped():
    found, losses = signatures(Reasoning(("hm",)), Text("a"))
    assert (found, losses) == ([None], {"dropped:thinking", "dropped:thought"})


def test_own_client_is_taken_at_its_word():
    parts = (Reasoning(("hm",)), ToolCall("c", "f", "{}", state=Opaque("raw")), Text("x", state=Opaque("cnR4MTtorn")))
    found, losses = signatures(*parts, fmt="gemini")
    assert found == [None, "raw", None]
    assert "dropped:thinking" in losses  # the torn wrapper


def test_first_call_of_each_turn_has_a_signature_where_one_is_demanded():
    messages = (
        said("q"),
        answered(CALL, ToolCall("d", "f", "{}")),
        Message("user", (ToolResult("c", name="f"), ToolResult("d", name="f"))),
        answered(Text("again"), ToolCall("e", "f", "{}")),
        Message("user", (ToolResult("e", name="f"),)),
    )
    calls = [
        part for turn in contents(*messages, to="gemini-3-flash") for part in turn["parts"] if "functionCall" in part
    ]
    skip = "skip_thought_signature_validator"
    assert [part.get("thoughtSignature") for part in calls] == [skip, None, skip]
    assert not any("thoughtSignature" in part for turn in contents(*messages) for part in turn["parts"])


def test_turns_before_the_users_last_question_need_no_signature():
    turns = contents(
        said("q"),
        answered(CALL),
        Message("user", (ToolResult("c", name="f"),)),
        answered(Text("done")),
        said("and?"),
        answered(ToolCall("d", "f", "{}")),
        Message("user", (ToolResult("d", name="f"), Text("hurry"))),
        to="gemini-3-flash",
    )
    calls = [part for turn in turns for part in turn["parts"] if "functionCall" in part]
    assert [part.get("thoughtSignature") for part in calls] == [None, "skip_thought_signature_validator"]


# --- tools -----------------------------------------------------------------------------------------------------------


def test_functions_are_declared_by_json_schema():
    tools = (F, Tool("g"), Tool("h", schema={"$schema": "x", "type": "object", "additionalProperties": False}))
    assert written(asked(tools=tools))[0]["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA},
                {"name": "g"},
                {"name": "h", "parametersJsonSchema": {"type": "object", "additionalProperties": False}},
            ]
        }
    ]


def test_functions_are_declared_in_the_openapi_subset_where_that_is_all_there_is():
    tools = (F, Tool("g", schema={"type": "object", "properties": {}}))
    declared = written(asked(tools=tools), "gemini-2.0-flash")[0]["tools"][0]["functionDeclarations"]
    assert declared == [
        {
            "name": "f",
            "description": "d",
            "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
        },
        {"name": "g"},
    ]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (None, None),
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("required", ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (ToolChoice("required", ("f", "g"), is_list=True), {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}),
        (ToolChoice("auto", ("f",), is_list=True), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}),
    ],
)
def test_tool_choices(choice, config):
    body, losses = written(asked(tools=(F, Tool("g")), tool_choice=choice))
    assert body.get("toolConfig") == (config and {"functionCallingConfig": config})
    assert losses == set()


def test_strict_functions_are_validated_where_the_choice_is_free():
    strict = (Tool("f", schema=SCHEMA, strict=True), Tool("g", strict=False))
    for choice in (None, ToolChoice("auto")):
        body, losses = written(asked(tools=strict, tool_choice=choice))
        assert (body["toolConfig"], losses) == ({"functionCallingConfig": {"mode": "VALIDATED"}}, set())
    assert written(asked(tools=strict, tool_choice=ToolChoice("required")))[1] == {"dropped:strict"}
    assert written(asked(tools=strict[1:], tool_choice=ToolChoice("required")))[1] == set()


def test_own_clients_keep_validated_calls():
    native = {"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}}
    body, losses = written(asked(fmt="gemini", tools=(F,), tool_choice=ToolChoice("auto"), native=native))
    assert (body["toolConfig"], losses) == (native["toolConfig"], set())


SEARCH = Tool("web_search", "hosted", native={"type": "web_search_20250305"}, format="anthropic")


def test_search_of_another_format_is_googles():
    body, losses = written(asked("anthropic", tools=(SEARCH,), tool_choice=ToolChoice("required")))
    assert body["tools"] == [{"googleSearch": {}}]
    assert "toolConfig" not in body
    assert "dropped:tool_choice" in losses


def test_search_beside_functions_needs_the_third_generation():
    body, losses = written(asked("anthropic", tools=(SEARCH, F)))
    assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"]]
    assert "dropped:web_search" in losses
    body, losses = written(asked("anthropic", tools=(SEARCH, F)), "gemini-3-flash")
    assert [list(tool) for tool in body["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    assert body["toolConfig"] == {"includeServerSideToolInvocations": True}


# --- generationConfig ------------------------------------------------------------------------------------------------


def test_all_of_generation_config_is_written():
    body, losses = written(
        asked(
            temperature=0, top_p=0.5, top_k=5, max_tokens=50, choices=2, stop=tuple("abcdef"), seed=0, logprobs=True,
            top_logprobs=4, presence_penalty=0.1, frequency_penalty=0.0, output=OutputFormat("json_object"),
        )
    )  # fmt: skip
    assert body["generationConfig"] == {
        "temperature": 0, "topP": 0.5, "topK": 5, "maxOutputTokens": 50, "candidateCount": 2,
        "stopSequences": list("abcde"), "seed": 0, "responseLogprobs": True, "logprobs": 4, "presencePenalty": 0.1,
        "frequencyPenalty": 0.0, "responseMimeType": "application/json",
    }  # fmt: skip
    assert losses == {"dropped:stop", "dropped:stopSequences"}


def test_nothing_is_written_that_nobody_asked_for():
    assert list(written(asked())[0]) == ["contents"]


def test_schemas_of_answers():
    output = OutputFormat("json_schema", {**SCHEMA, "$schema": "x"}, strict=True)
    assert written(asked(output=output))[0]["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }
    old = written(asked(output=output), "gemini-2.0-flash")[0]["generationConfig"]
    assert old["responseSchema"]["properties"] == {"city": {"type": "STRING"}}


@pytest.mark.parametrize(
    ("to", "thinking", "config"),
    [
        (
            "gemini-2.5-flash",
            Thinking("enabled", budget_tokens=8000),
            {"includeThoughts": True, "thinkingBudget": 8000},
        ),
        ("gemini-2.5-flash", Thinking("disabled"), {"includeThoughts": False, "thinkingBudget": 0}),
        ("gemini-2.5-flash", Thinking(effort="none"), {"includeThoughts": False, "thinkingBudget": 0}),
        ("gemini-2.5-flash", Thinking(effort="medium"), {"includeThoughts": True, "thinkingBudget": 8192}),
        ("gemini-2.5-pro", Thinking(effort="max"), {"includeThoughts": True, "thinkingBudget": 32768}),
        ("gemini-2.5-pro", Thinking("adaptive"), {"includeThoughts": True, "thinkingBudget": -1}),
        ("gemini-2.5-pro", Thinking("adaptive", "high"), {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-2.5-pro", Thinking(is_shown=True), {"includeThoughts": True}),
        ("gemini-2.5-pro", Thinking(effort="low", is_shown=False), {"includeThoughts": False, "thinkingBudget": 4096}),
        ("gemini-2.5-pro", Thinking(), None),
        ("gemini-2.5-pro", None, None),
        ("gemini-3-flash", Thinking(effort="low"), {"includeThoughts": True, "thinkingLevel": "LOW"}),
        ("gemini-3-flash", Thinking(effort="max"), {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        ("gemini-3.1-pro", Thinking(effort="xhigh"), {"includeThoughts": True, "thinkingLevel": "XHIGH"}),
        ("gemini-3.1-pro", Thinking(effort="max"), {"includeThoughts": True, "thinkingLevel": "HIGH"}),
        (
            "gemini-3-flash",
            Thinking("enabled", budget_tokens=8000),
            {"includeThoughts": True, "thinkingLevel": "MEDIUM"},
        ),
        ("gemini-3-flash", Thinking("adaptive", budget_tokens=-1), {"includeThoughts": True}),
        ("gemini-2.0-flash", Thinking("disabled"), None),
    ],
)
def test_thinking(to, thinking, config):
    body, losses = written(asked(thinking=thinking), to)
    assert body.get("generationConfig", {}).get("thinkingConfig") == config
    assert losses == set()


@pytest.mark.parametrize(
    ("to", "thinking", "loss"),
    [
        ("gemini-2.0-flash", Thinking("enabled", budget_tokens=8000), "dropped:thinking"),
        ("gemini-2.5-flash", Thinking("enabled", budget_tokens=60_000), "clamped:thinking"),
    ],
)
def test_thinking_that_the_model_cannot_do(to, thinking, loss):
    assert loss in written(asked(thinking=thinking), to)[1]


@pytest.mark.parametrize(
    ("to", "least"),
    [
        ("gemini-2.5-pro", {"thinkingBudget": 128}),
        ("gemini-3-flash", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-pro", {"thinkingLevel": "LOW"}),
    ],
)
def test_model_that_always_thinks_thinks_as_little_as_it_can(to, least):
    for off in (Thinking("disabled"), Thinking(effort="none"), Thinking("disabled", budget_tokens=0)):
        body, losses = written(asked(thinking=off), to)
        assert body["generationConfig"]["thinkingConfig"] == {"includeThoughts": False, **least}
        assert "clamped:thinking" in losses


@pytest.mark.parametrize(
    ("tier", "own", "losses"),
    [
        ("auto", None, set()),
        ("default", "standard", set()),
        ("flex", "flex", set()),
        ("scale", None, {"dropped:service_tier", "dropped:serviceTier"}),
    ],
)
def test_service_tiers(tier, own, losses):
    body, found = written(asked(service_tier=tier))
    assert (body.get("serviceTier"), found) == (own, losses)


def test_what_has_no_slot_is_reported():
    _, losses = written(asked(logit_bias={"1": 1}, verbosity="low", user="u", metadata={"a": 1}))
    assert losses == {f"dropped:{name}" for name in ("logit_bias", "verbosity", "user", "metadata")}


# --- the same format -------------------------------------------------------------------------------------------------


def test_own_requests_come_out_as_they_came_in():
    body = {
        "contents": [
            user(
                {"text": "look"},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/a.mp4"}, "videoMetadata": {"fps": 2}},
            ),
            model({"executableCode": {"language": "PYTHON", "code": "1"}}, {"text": "so", "thoughtSignature": "QQ=="}),
            model({"functionCall": {"id": "c1", "name": "f", "args": {"a": [1, None]}}, "thoughtSignature": "Qg=="}),
            user({"functionResponse": {"id": "c1", "name": "f", "response": {"result": 5}, "scheduling": "SILENT"}},
                {"text": "go on"}),
        ],
        "systemInstruction": {"parts": [{"text": "S"}]},
        "tools": [
            {"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA, "behavior": "BLOCKING"}]},
            {"googleSearch": {"timeRangeFilter": {}}},
            {"googleMaps": {}},
        ],
        "toolConfig": {
            "retrievalConfig": {"languageCode": "de"},
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]},
        },
        "safetySettings": [{"category": "X", "threshold": "Y"}],
        "cachedContent": "cachedContents/1",
        "serviceTier": "flex",
        "generationConfig": {
            "temperature": 1, "topK": 64, "candidateCount": 2, "maxOutputTokens": 5, "stopSequences": ["q"],
            "responseMimeType": "application/json", "responseJsonSchema": SCHEMA, "speechConfig": {"a": 1},
            "responseModalities": ["IMAGE", "TEXT"], "brandNew": {"b": 2},
            "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 2048},
        },
    }  # fmt: skip
    expected = json.loads(json.dumps(body))
    merged = expected["contents"]
    merged[1]["parts"] += merged.pop(2)["parts"]
    again, losses = written(decoded(body))
    assert (again, losses) == (expected, set())
    genai_types.Content.model_validate(again["contents"][1])


def test_foreign_natives_never_arrive():
    native = Native("anthropic", "server_tool_use", {"type": "server_tool_use"})
    body, losses = written(asked("anthropic", messages=(Message("user", (Text("a"), native)),), native={"betas2": [1]}))
    assert (body, losses) == ({"contents": [user({"text": "a"})]}, {"dropped:server_tool_use", "dropped:betas2"})


def test_a_form_is_asked_for_in_words_where_the_model_is_held_to_none():
    request = asked(system=(Text("s"),), output=OutputFormat("json_schema", SCHEMA))
    body, losses = written(request, structured_output=False)
    assert body["generationConfig"] == {"responseMimeType": "application/json"}
    first, asked_for = body["systemInstruction"]["parts"]
    assert (first, json.dumps(SCHEMA, separators=(",", ":")) in asked_for["text"]) == ({"text": "s"}, True)
    assert "emulated:response_format" in losses
    body, losses = written(asked(output=OutputFormat("json_object")), json_object=False)
    assert ("generationConfig" in body, "emulated:response_format" in losses) == (False, True)


def test_a_film_in_a_pictures_part_is_not_called_a_picture():
    film = Message("user", (Media("image", url="https://www.youtube.com/watch?v=1"),))
    assert contents(film)[0]["parts"] == [{"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}}]
