import base64
import json

import pytest

from routing.engine.errors import BadRequest
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
from routing.engine.provenance import wrap_bytes
from tests.routing.engine.formats.gemini.harness import CODEC, decoded, model, user

HI = {"contents": [user({"text": "hi"})]}


def parts_of(*parts: object, role: str = "user") -> tuple:
    return decoded({"contents": [{"role": role, "parts": list(parts)}]}).messages[0].parts


# --- the whole body --------------------------------------------------------------------------------------------------


def test_model_and_stream_come_from_the_path():
    request = decoded({**HI, "model": "models/other"}, model="gemini-x", is_stream=True)
    assert (request.format, request.model, request.is_stream) == ("gemini", "gemini-x", True)
    assert request.messages == (Message("user", (Text("hi"),)),)


def test_all_of_generation_config_is_read():
    config = {
        "temperature": 0, "topP": 0.5, "topK": 64.0, "candidateCount": 2, "maxOutputTokens": "100", "seed": 3,
        "stopSequences": ["q"], "presencePenalty": 0.1, "frequencyPenalty": -0.1, "responseLogprobs": True,
        "logprobs": 4,
    }  # fmt: skip
    request = decoded({**HI, "generationConfig": config})
    assert (request.temperature, request.top_p, request.top_k, request.choices) == (0, 0.5, 64, 2)
    assert (request.max_tokens, request.seed, request.stop) == (100, 3, ("q",))
    assert (request.presence_penalty, request.frequency_penalty) == (0.1, -0.1)
    assert (request.logprobs, request.top_logprobs, request.native) == (True, 4, {})


def test_both_spellings_are_read():
    request = decoded(
        {
            "contents": [{"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "iVBORw0="}}]}],
            "system_instruction": {"parts": [{"text": "S"}]},
            "generation_config": {"max_output_tokens": 5, "thinking_config": {"thinking_budget": 0}},
            "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object"}}]}],
            "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}},
            "safety_settings": [{"category": "X", "threshold": "Y"}],
        }
    )
    assert request.messages[0].parts == (Media("image", "image/png", data="iVBORw0="),)
    assert request.system == (Text("S"),)
    assert (request.max_tokens, request.thinking) == (5, Thinking("disabled", budget_tokens=0))
    assert request.tools == (Tool("f", schema={"type": "object"}),)
    assert request.tool_choice == ToolChoice("required", ("f",))
    assert list(request.native) == ["safetySettings"]


def test_what_only_this_format_has_is_kept_by_name():
    own = {"safetySettings": [{}], "cachedContent": "cachedContents/1", "labels": {"a": "b"}}
    config = {"speechConfig": {"a": 1}, "responseModalities": ["IMAGE"], "mediaResolution": "X", "brandNew": 1}
    tool_config = {"retrievalConfig": {"languageCode": "de"}, "functionCallingConfig": {"mode": "AUTO"}}
    request = decoded({**HI, **own, "generationConfig": config, "toolConfig": tool_config, "store": None})
    config["generationConfig.brandNew"] = config.pop("brandNew")
    assert request.native == {**own, **config, "toolConfig": {"retrievalConfig": {"languageCode": "de"}}}
    assert request.tool_choice == ToolChoice("auto")


def test_an_answer_in_text_is_no_special_modality():
    assert decoded({**HI, "generationConfig": {"responseModalities": ["TEXT"]}}).native == {}


@pytest.mark.parametrize(
    ("system", "blocks"),
    [
        ("S", ["S"]),
        ({"parts": [{"text": "a"}, {"text": "b"}], "role": "user"}, ["a", "b"]),
        ({"text": "a"}, ["a"]),
        ([{"text": "a"}, "b"], ["a", "b"]),
        ({"parts": "a"}, ["a"]),
        ({"parts": {"text": ""}}, []),
        (None, []),
    ],
)
def test_system_instructions_of_every_shape(system, blocks):
    assert [block.text for block in decoded({**HI, "systemInstruction": system}).system] == blocks


@pytest.mark.parametrize(
    ("tier", "ours"), [("standard", "default"), ("PRIORITY", "priority"), ("SERVICE_TIER_FLEX", "flex"), ("", "")]
)
def test_service_tiers(tier, ours):
    assert decoded({**HI, "serviceTier": tier}).service_tier == ours


# --- contents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "contents",
    ["hi", ["hi"], {"parts": {"text": "hi"}}, [{"text": "hi"}], [{"parts": "hi"}], [{"role": None, "parts": ["hi"]}]],
)
def test_contents_of_every_shape(contents):
    assert decoded({"contents": contents}).messages == (Message("user", (Text("hi"),)),)


@pytest.mark.parametrize(
    ("role", "ours"),
    [("user", "user"), ("function", "user"), ("", "user"), ("model", "assistant"), ("MODEL", "assistant")],
)
def test_roles(role, ours):
    assert decoded({"contents": [{"role": role, "parts": [{"text": "x"}]}]}).messages[0].role == ours


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": "aa-_"}}, Media("image", "image/png", data="aa+/")),
        ({"inlineData": {"mimeType": "audio/wav", "data": "aaaa"}}, Media("audio", "audio/wav", data="aaaa")),
        ({"inlineData": {"mimeType": "video/mp4", "data": "aaaa"}}, Media("video", "video/mp4", data="aaaa")),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0=", "displayName": "a.pdf"}},
            Media("document", "application/pdf", data="JVBERi0=", title="a.pdf"),
        ),
        (
            {"inlineData": {"mimeType": "text/plain", "data": base64.b64encode("Grüße".encode()).decode()}},
            Media("document", "text/plain", text="Grüße"),
        ),
        (
            {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/a.png"}},
            Media("image", "image/png", url="gs://b/a.png"),
        ),
        ({"fileData": {"fileUri": "https://e.com/a.PDF?x=1"}}, Media("document", url="https://e.com/a.PDF?x=1")),
        ({"fileData": {"fileUri": "https://e.com/a.jpg#x"}}, Media("image", url="https://e.com/a.jpg#x")),
        ({"fileData": {"fileUri": "https://youtu.be/abc"}}, Media("video", url="https://youtu.be/abc")),
        ({"fileData": {"fileUri": "https://[broken"}}, Media("document", file_id="https://[broken")),
        (
            {"fileData": {"mimeType": "image/png", "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/a"}},
            Media("image", "image/png", file_id="https://generativelanguage.googleapis.com/v1beta/files/a"),
        ),
    ],
)  # fmt: skip
def test_media(part, media):
    assert parts_of(part) == (media,)


@pytest.mark.parametrize(
    ("level", "detail"),
    [("MEDIA_RESOLUTION_LOW", "low"), ("MEDIA_RESOLUTION_MEDIUM", "auto"), ("MEDIA_RESOLUTION_ULTRA_HIGH", "high")],
)
def test_resolution_of_a_part_is_its_detail(level, detail):
    blob = {"inlineData": {"mimeType": "image/png", "data": "aaaa"}}
    assert parts_of({**blob, "mediaResolution": {"level": level}})[0].detail == detail
    assert parts_of({**blob, "mediaResolution": level})[0].detail == detail


def test_what_only_this_format_says_of_a_part_follows_it():
    part = {"fileData": {"fileUri": "gs://b/a.mp4", "mimeType": "video/mp4"}, "videoMetadata": {"fps": 2}}
    assert parts_of(part)[1] == Native("gemini", "videoMetadata", {"videoMetadata": {"fps": 2}})


def test_steps_of_hosted_tools_are_native():
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    assert parts_of(code, role="model") == (Native("gemini", "executableCode", code),)


# --- calls and responses ---------------------------------------------------------------------------------------------


def call(name: str, call_id: str | None = None, **args: object) -> dict:
    return {"functionCall": {"name": name, "args": args} | ({"id": call_id} if call_id else {})}


def response(name: str, call_id: str | None = None, **said: object) -> dict:
    return {"functionResponse": {"name": name, "response": said} | ({"id": call_id} if call_id else {})}


def test_responses_without_ids_answer_calls_in_order_within_the_name():
    body = {
        "contents": [
            user({"text": "q"}),
            model(call("a", x=1), call("b"), call("a", x=2)),
            {"role": "function", "parts": [response("b", output="B")]},
            user(response("a", output="A1"), response("a", output="A2")),
            model(call("a", x=3)),
            user(response("a", output="A3")),
        ]
    }
    request = decoded(body)
    calls = [part for message in request.messages for part in message.parts if isinstance(part, ToolCall)]
    results = {
        part.call_id: part.parts[0].text for m in request.messages for part in m.parts if isinstance(part, ToolResult)
    }
    assert len({each.id for each in calls}) == 4
    assert [results[each.id] for each in calls] == ["A1", "B", "A2", "A3"]
    assert [each.arguments for each in calls] == ['{"x":1}', "{}", '{"x":2}', '{"x":3}']
    assert decoded(body) == request  # the same ids again, so that caches hold


def test_ids_come_before_order():
    request = decoded(
        {
            "contents": [
                model(call("f", "c1"), call("f", "c2"), call("f")),
                user(response("f", "c2", output="2"), response("f", output="1"), response("g", "zzz", output="?")),
            ]
        }
    )
    calls, answers = request.messages
    assert [part.call_id for part in answers.parts] == ["c2", "c1", "zzz"]
    assert calls.parts[2].id.startswith("call_")


@pytest.mark.parametrize(
    ("said", "text", "is_error"),
    [
        ({"output": "x"}, "x", False),
        ({"output": {"a": 1}}, '{"a":1}', False),
        ({"output": None}, None, False),
        ({"error": "broke"}, "broke", True),
        ({"error": {"code": 5}}, '{"code":5}', True),
        ({"result": "x"}, '{"result":"x"}', False),
        ({"output": "x", "error": ""}, '{"output":"x","error":""}', False),
        ({}, "{}", False),
        (None, None, False),
        ("plain", "plain", False),
        ([1], "[1]", False),
    ],
)
def test_responses(said, text, is_error):
    request = decoded({"contents": [model(call("f")), user({"functionResponse": {"name": "f", "response": said}})]})
    result = request.messages[1].parts[0]
    assert [part.text for part in result.parts] == ([] if text is None else [text])
    assert (result.is_error, result.name) == (is_error, "f")


def test_response_with_a_picture():
    parts = [{"inlineData": {"mimeType": "image/png", "data": "aaaa"}}]
    request = decoded(
        {"contents": [user({"functionResponse": {"name": "f", "response": {"output": "o"}, "parts": parts}})]}
    )
    assert request.messages[0].parts[0].parts == (Text("o"), Media("image", "image/png", data="aaaa"))


# --- thoughts and signatures -----------------------------------------------------------------------------------------

OWN = Opaque("U0c=", Origin("gemini", "gemini", "chn_1", "gemini-3"), "call")
THEIRS = Opaque("QW50", Origin("anthropic", "anthropic", "chn_1", "claude"))


def test_signatures_are_read_where_they_stand():
    parts = parts_of(
        {"text": "hm", "thought": True, "thoughtSignature": "QQ=="},
        {"text": "hello", "thoughtSignature": "Qg=="},
        {**call("f"), "thoughtSignature": wrap_bytes(OWN)},
        role="model",
    )
    assert parts[0] == Reasoning(("hm",), Opaque("QQ=="))
    assert parts[1] == Text("hello", state=Opaque("Qg=="))
    assert parts[2].state == OWN


def test_pieces_of_a_thought_are_one():
    parts = parts_of(
        {"text": "a", "thought": True},
        {"text": "b", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "QQ=="},
        {"text": "c", "thought": True},
        {"text": "said"},
        role="model",
    )
    assert parts == (Reasoning(("ab",), Opaque("QQ==")), Reasoning(("c",)), Text("said"))


def test_signature_on_an_empty_text_belongs_to_what_is_before_it():
    signed = {"text": "", "thoughtSignature": "QQ=="}
    assert parts_of({"text": "a"}, signed, role="model") == (Text("a", state=Opaque("QQ==")),)
    assert parts_of({"text": "a", "thought": True}, signed, role="model") == (Reasoning(("a",), Opaque("QQ==")),)
    assert parts_of(signed, role="model") == (Text("", state=Opaque("QQ==")),)


def test_another_formats_artefact_belongs_to_the_thought_before_it():
    thought = {"text": "a", "thought": True}
    signed = {**call("f"), "thoughtSignature": wrap_bytes(THEIRS)}
    parts = parts_of(thought, signed, role="model")
    assert parts[0] == Reasoning(("a",), THEIRS)
    assert (parts[1].name, parts[1].state) == ("f", None)
    assert parts_of(signed, role="model")[0] == Reasoning((), THEIRS)


def test_what_says_that_there_is_no_signature_is_none():
    part = parts_of({**call("f"), "thoughtSignature": "skip_thought_signature_validator"}, role="model")[0]
    assert part.state is None


# --- tools -----------------------------------------------------------------------------------------------------------


def test_tools():
    request = decoded(
        {
            **HI,
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "f", "parameters": {"type": "OBJECT", "properties": {"q": {"type": "STRING"}}}},
                        {"name": "g", "description": "d", "behavior": "NON_BLOCKING", "parameters": None},
                    ],
                    "googleSearch": {},
                },
                {"codeExecution": {}},
                {"urlContext": {}},
                {"googleMaps": {"x": 1}},
                {"googleSearchRetrieval": {"dynamicRetrievalConfig": {}}},
            ],
        }
    )
    f, g, *hosted = request.tools
    assert f.schema == {"type": "object", "properties": {"q": {"type": "string"}}}
    assert (g.schema, g.description, g.native) == (None, "d", {"behavior": "NON_BLOCKING"})
    assert [tool.name for tool in hosted] == ["web_search", "code_execution", "web_fetch", "googleMaps", "web_search"]
    assert {tool.kind for tool in hosted} == {"hosted"}
    assert hosted[3].native == {"googleMaps": {"x": 1}}


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "any"}, ToolChoice("required")),
        ({"mode": "NONE", "allowedFunctionNames": ["f"]}, ToolChoice("none")),
        ({"mode": "VALIDATED"}, ToolChoice("auto")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("required", ("f",))),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("required", ("f", "g"), is_list=True)),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice("auto", ("f",), is_list=True)),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({}, None),
    ],
)
def test_tool_choices(config, choice):
    assert decoded({**HI, "toolConfig": {"functionCallingConfig": config}}).tool_choice == choice


# --- output and thinking ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "output"),
    [
        ({"responseMimeType": "application/json"}, OutputFormat("json_object")),
        ({"responseMimeType": "text/plain"}, None),
        (
            {"responseMimeType": "application/json", "responseSchema": {"type": "INTEGER"}},
            OutputFormat("json_schema", {"type": "integer"}),
        ),
        ({"responseJsonSchema": {"type": "object"}}, OutputFormat("json_schema", {"type": "object"})),
    ],
)
def test_output_formats(config, output):
    request = decoded({**HI, "generationConfig": config})
    assert (request.output, request.native) == (output, {})


def test_enum_output_is_this_formats_own():
    config = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}}
    request = decoded({**HI, "generationConfig": config})
    assert (request.output, request.native) == (None, config)


@pytest.mark.parametrize(
    ("config", "thinking"),
    [
        ({"includeThoughts": True}, Thinking(is_shown=True)),
        ({"thinkingBudget": 0, "includeThoughts": True}, Thinking("disabled", budget_tokens=0, is_shown=True)),
        ({"thinkingBudget": -1}, Thinking("adaptive", budget_tokens=-1)),
        ({"thinkingBudget": 2048}, Thinking("enabled", budget_tokens=2048)),
        ({"thinkingLevel": "high"}, Thinking("enabled", "high")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
        ({}, None),
    ],
)
def test_thinking(config, thinking):
    assert decoded({**HI, "generationConfig": {"thinkingConfig": config}}).thinking == thinking


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": 5}, "contents"),
        ({"contents": [5]}, "contents[0]"),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"role": 5, "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": 5}]}, "contents[0].parts"),
        ({"contents": [{"parts": [5]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"text": "", "thoughtSignature": 1}]}]}, "contents[0].parts[0].thoughtSignature"),
        ({"contents": [{"parts": [{"inlineData": 5}]}]}, "contents[0].parts[0].inlineData"),
        ({"contents": [{"parts": [{"inlineData": {"data": 5}}]}]}, "contents[0].parts[0].inlineData.data"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].fileData.fileUri"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f", "args": [1]}}]}]},
            "contents[0].parts[0].functionCall.args",
        ),
        ({**HI, "systemInstruction": 5}, "systemInstruction.parts"),
        ({**HI, "systemInstruction": {"parts": [{"inlineData": {}}]}}, "systemInstruction.parts[0]"),
        ({**HI, "tools": 5}, "tools"),
        ({**HI, "tools": [5]}, "tools[0]"),
        ({**HI, "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        (
            {**HI, "tools": [{"functionDeclarations": [{"name": "f", "parameters": 5}]}]},
            "tools[0].functionDeclarations[0].parameters",
        ),
        ({**HI, "toolConfig": {"functionCallingConfig": {"mode": "X"}}}, "toolConfig.functionCallingConfig.mode"),
        ({**HI, "generationConfig": []}, "generationConfig"),
        ({**HI, "generationConfig": {"temperature": "x"}}, "generationConfig.temperature"),
        ({**HI, "generationConfig": {"temperature": True}}, "generationConfig.temperature"),
        ({**HI, "generationConfig": {"topK": 1.5}}, "generationConfig.topK"),
        ({**HI, "generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences[0]"),
        ({**HI, "generationConfig": {"responseLogprobs": 1}}, "generationConfig.responseLogprobs"),
        ({**HI, "generationConfig": {"responseSchema": "x"}}, "generationConfig.responseSchema"),
        (
            {**HI, "generationConfig": {"thinkingConfig": {"thinkingLevel": "X"}}},
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        ({**HI, "serviceTier": 5}, "serviceTier"),
    ],
)
def test_wrong_shapes_are_refused_with_their_place(body, param):
    with pytest.raises(BadRequest) as caught:
        decoded(body)
    assert caught.value.param == param
    assert param.split(".")[-1].split("[")[0] in caught.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'{"contents":1e999}', b"[" * 100_000, b'{"a":"\xff"}'])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(BadRequest):
        CODEC.decode_request(body, model="m")


def test_nulls_are_absences():
    names = ("systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier", "safetySettings")
    config = dict.fromkeys(("temperature", "topK", "stopSequences", "thinkingConfig", "responseSchema"))
    assert decoded({**HI, **dict.fromkeys(names)}) == decoded(HI)
    assert decoded({**HI, "generationConfig": config}) == decoded(HI)


def test_many_unanswered_calls_are_paired_in_linear_time():
    calls = [call("f") for _ in range(5000)]
    answers = [response("g", f"zz{number}", output="x") for number in range(5000)]
    assert len(decoded({"contents": [model(*calls), user(*answers)]}).messages[1].parts) == 5000


def test_half_a_surrogate_pair_is_read():
    body = json.dumps(HI).replace("hi", "h\\ud83d").encode()
    assert CODEC.decode_request(body, model="m").messages[0].parts == (Text("h\ufffd"),)


@pytest.mark.parametrize("body", [HI, {"generateContentRequest": {**HI, "model": "models/m"}}])
def test_counts_are_of_contents_or_of_a_whole_request(body):
    request = CODEC.decode_count_request(json.dumps(body).encode(), model="m")
    assert (request.model, request.messages) == ("m", (Message("user", (Text("hi"),)),))
    assert json.loads(CODEC.encode_count(7)) == {"totalTokens": 7}


def test_body_nested_too_deeply_is_refused():
    args: dict = {}
    for _ in range(300):
        args = {"a": args}
    with pytest.raises(BadRequest, match="nested too deeply"):
        decoded({"contents": [model({"functionCall": {"name": "f", "args": args}})]})
