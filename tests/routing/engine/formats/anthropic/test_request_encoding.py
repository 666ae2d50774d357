import base64
import json

import pytest
from msgspec.structs import replace

from routing.engine.errors import BadRequest
from routing.engine.messages import (
    CacheMark,
    Citation,
    Media,
    Message,
    OutputFormat,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from routing.engine.provenance import wrap
from tests.routing.engine.formats.anthropic.exchanges import CLAUDE, asked, foreign, state, write, write_whole

MID = replace(CLAUDE, mid_system=True)
F = Tool("f", schema={"type": "object", "properties": {}})


def user(*parts):
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts):
    return Message("assistant", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def turns(*messages, can=CLAUDE, **fields):
    """Return the turns that messages become, texts as they are, other blocks without their type's name."""
    body, _ = write(foreign(*messages, **fields), can)
    return [(turn["role"], [block.get("text", block) for block in turn["content"]]) for turn in body["messages"]]


# --- turns ---------------------------------------------------------------------------------------------------------


def test_neighbours_become_one_turn_results_first():
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "4C"}]}
    assert turns(
        user("a"),
        user("b"),
        assistant("c"),
        assistant(ToolCall("t1", "f")),
        user("and"),
        user(ToolResult("t1", (Text("4C"),))),
        tools=(F,),
    ) == [("user", ["a", "b"]), ("assistant", ["c", call]), ("user", [result, "and"])]


def test_what_is_empty_is_left_out_and_its_neighbours_meet():
    assert turns(user("a", ""), assistant(" ", Reasoning(("foreign",))), user("b")) == [("user", ["a", "b"])]


def test_the_first_turn_is_the_users():
    (first, *rest), losses = (write(foreign(assistant("a"), user("b")))[0]["messages"], None)
    assert (first["role"], first["content"][0]["text"] != "") == ("user", True)
    assert [turn["role"] for turn in rest] == ["assistant", "user"]
    body, losses = write(foreign(Message("system", (Text("S"),))))
    assert (body["system"], [turn["role"] for turn in body["messages"]]) == ([{"type": "text", "text": "S"}], ["user"])
    assert losses == ("emulated:messages",)


def test_system_messages_in_the_middle():
    messages = (user("one"), assistant("1"), user("two"), Message("system", (Text("S"),)))
    assert turns(*messages)[2] == ("user", ["two", "S"])
    written, _ = write_whole(foreign(*messages), MID)
    assert written.body["messages"][3] == {"role": "system", "content": [{"type": "text", "text": "S"}]}
    assert written.headers == {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "mid-conversation-system-2026-04-07",
    }
    assert write_whole(foreign(user("a")), MID)[0].headers == {"anthropic-version": "2023-06-01"}


def test_a_beginning_to_continue_has_no_white_space_at_its_end():
    assert turns(user("Sun?"), assistant("It is ( ")) == [("user", ["Sun?"]), ("assistant", ["It is ("])]


def test_pictures_of_the_assistant_are_shown_by_the_user():
    drawn = Media("image", "image/png", data="iVBOR")
    request = foreign(user("draw"), assistant("here", drawn), user("bluer"))
    body, losses = write(request)
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBOR"}}
    assert body["messages"][1]["content"] == [{"type": "text", "text": "here"}]
    assert body["messages"][2]["content"] == [picture, {"type": "text", "text": "bluer"}]
    assert losses == ("emulated:image",)


# --- blocks --------------------------------------------------------------------------------------------------------


def test_media():
    notes = base64.b64encode("a;b ä".encode()).decode()
    (_, blocks) = turns(
        user(
            Media("image", data="/9j/4AAQ"),
            Media("image", url="https://e.com/a.png"),
            Media("document", "application/pdf", data="JVBERi0=", title="r.pdf", context="c", wants_citations=True),
            Media("document", "text/csv", data=notes),
            Media("document", text="plain"),
            Media("document", url="https://e.com/a.pdf"),
        )
    )[0]
    assert blocks == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQ"}},
        {"type": "image", "source": {"type": "url", "url": "https://e.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            "title": "r.pdf",
            "context": "c",
            "citations": {"enabled": True},
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a;b ä"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
        {"type": "document", "source": {"type": "url", "url": "https://e.com/a.pdf"}},
    ]


def test_pictures_by_url_are_refused_where_nobody_fetches_them():
    with pytest.raises(BadRequest, match="base64"):
        write(foreign(user(Media("image", url="https://e.com/a.png"))), replace(CLAUDE, image_urls=False))


def test_sound_is_refused():
    with pytest.raises(BadRequest, match="audio"):
        write(foreign(user(Media("audio", "audio/wav", data="UklG"))))


@pytest.mark.parametrize(
    ("arguments", "given", "losses"),
    [
        ("", {}, ()),
        ('{"a": 1}', {"a": 1}, ()),
        ('{"a": 1, "b": "to', {"a": 1, "b": "to"}, ("emulated:tool_arguments",)),
        ("run it", {}, ("emulated:tool_arguments",)),
    ],
)
def test_arguments_are_an_object(arguments, given, losses):
    messages = (user("a"), assistant(ToolCall("t1", "f", arguments)), user(ToolResult("t1", (Text("x"),))))
    body, noted = write(foreign(*messages, tools=(F,)))
    assert body["messages"][1]["content"][0]["input"] == given
    assert noted == losses


def test_results():
    messages = (
        user("a"),
        assistant(*(ToolCall(f"t{number}", "f") for number in range(4))),
        user(
            ToolResult("t0"),
            ToolResult("t1", (Text(""),), is_error=True),
            ToolResult("t2", (Text("see"), Media("image", "image/png", data="iVBOR"))),
            ToolResult("t3", (Text("no"),), is_error=True, cache=CacheMark("1h")),
        ),
    )
    results = turns(*messages, tools=(F,))[2][1]
    assert results[0] == {"type": "tool_result", "tool_use_id": "t0"}
    assert results[1]["is_error"]
    assert results[1]["content"][0]["text"]
    assert [block["type"] for block in results[2]["content"]] == ["text", "image"]
    assert results[3]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_ids_that_do_not_fit_change_on_both_sides():
    messages = (user("x"), assistant(ToolCall("functions.f:0", "f", "{}")), user(ToolResult("functions.f:0")))
    body, _ = write(foreign(*messages, tools=(F,)))
    call, result = body["messages"][1]["content"][0], body["messages"][2]["content"][0]
    assert call["id"] == result["tool_use_id"] == call["id"].replace(".", "").replace(":", "")


def test_an_unanswered_call_gets_an_answer():
    body, losses = write(foreign(user("x"), assistant(ToolCall("t1", "f", "{}")), tools=(F,)))
    assert body["messages"][2]["content"][0]["tool_use_id"] == "t1"
    assert "emulated:tool_result" in losses


# --- opaque state --------------------------------------------------------------------------------------------------


def thoughts(*parts, request=foreign, **target):
    body, losses = write(request(user("a"), assistant(*parts, "said"), user("b")), **target)
    return body["messages"][1]["content"][:-1], losses


@pytest.mark.parametrize(
    "signed",
    [state("sig"), state("sig", family="gone"), state("sig", provider="bedrock", account="chn_2")],
    ids=["own", "own account", "own family"],
)
def test_own_thinking_goes_back_as_it_was(signed):
    dark = Reasoning(state=state("dark", "redacted"))
    assert thoughts(Reasoning(("plan",), signed), dark) == (
        [
            {"type": "thinking", "thinking": "plan", "signature": "sig"},
            {"type": "redacted_thinking", "data": "dark"},
        ],
        (),
    )


@pytest.mark.parametrize(
    "signed",
    [
        None,
        state(""),
        state("sig", format="gemini"),
        state("sig", account="chn_2", family="kimi"),
        replace(state("sig"), origin=None),
    ],
    ids=["none", "empty", "other format", "other family", "raw"],
)
def test_foreign_thinking_is_left_out(signed):
    assert thoughts(Reasoning(("plan",), signed)) == ([], ("dropped:thinking",))


def test_a_raw_signature_goes_back_to_its_own_format_and_a_torn_wrapper_nowhere():
    raw = {"type": "thinking", "thinking": "t", "signature": "U0lH"}
    torn = {"type": "thinking", "thinking": "u", "signature": wrap(state("x"))[:-3]}
    turn = [raw, torn, {"type": "redacted_thinking", "data": "dark"}, {"type": "text", "text": "x"}]
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": turn}]
    body, losses = write(asked(messages=messages))
    assert body["messages"][1]["content"] == [turn[0], turn[2], turn[3]]
    assert losses == ("dropped:thinking",)


def test_a_signature_of_another_formats_call_is_left_out():
    call = ToolCall("t1", "f", "{}", state=state("sig", "call", format="gemini"))
    body, losses = write(foreign(user("a"), assistant(call), user(ToolResult("t1")), tools=(F,)))
    assert "sig" not in json.dumps(body)
    assert losses == ("dropped:thinking",)


# --- tools ---------------------------------------------------------------------------------------------------------


def test_tools_of_other_formats():
    tools = (
        Tool("f", description="d", schema={"type": "object"}, strict=True, cache=CacheMark()),
        Tool("g"),
        Tool("web_search", "hosted", native={"type": "search"}, format="other"),
    )
    body, losses = write(foreign(tools=tools))
    assert body["tools"] == [
        {
            "name": "f",
            "description": "d",
            "input_schema": {"type": "object"},
            "strict": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        {"type": "web_search_20250305", "name": "web_search"},
    ]
    assert losses == ("emulated:web_search",)
    assert "dropped:strict" in write(foreign(tools=tools[:1]), replace(CLAUDE, strict_tools=False))[1]


def test_a_deferred_tool_has_no_breakpoint():
    declared = {"name": "f", "input_schema": {"type": "object"}, "defer_loading": True}
    body, _ = write(asked(tools=[{**declared, "cache_control": {"type": "ephemeral"}}]))
    assert body["tools"] == [declared]


def test_calls_in_the_history_of_a_request_without_tools():
    messages = (user("a"), assistant(ToolCall("t1", "f", "{}")), user(ToolResult("t1"), "sum up"))
    body, losses = write(foreign(*messages))
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}
    assert losses == ("emulated:tools",)


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("required", ("f",)), None, {"type": "tool", "name": "f"}),
        (ToolChoice("required", ("f",), is_list=True), None, {"type": "any"}),
    ],
)
def test_tool_choice(choice, parallel, written):
    body, _ = write(foreign(tools=(F,), tool_choice=choice, parallel_tool_calls=parallel))
    assert body.get("tool_choice") == written


@pytest.mark.parametrize("can", [CLAUDE, replace(CLAUDE, allowed_tools=True)])
def test_a_choice_among_some_offers_no_others(can):
    choice = ToolChoice("required", ("f",), is_list=True)
    body, losses = write(foreign(tools=(F, Tool("rm")), tool_choice=choice), can)
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == {"type": "any"}
    assert losses == ("emulated:allowed_tools",)


def test_free_text_tools_become_functions():
    messages = (user("a"), assistant(ToolCall("t1", "patch", "*** x", is_custom=True)), user(ToolResult("t1")))
    body, losses = write(foreign(*messages, tools=(Tool("patch", "custom"),)), replace(CLAUDE, custom_tools=True))
    assert body["tools"][0]["input_schema"]["required"] == ["input"]
    assert body["messages"][1]["content"][0]["input"] == {"input": "*** x"}
    assert losses == ("emulated:custom_tool",)


# --- caching -------------------------------------------------------------------------------------------------------


def test_breakpoints_are_kept_where_the_target_has_them():
    request = foreign(
        user(Text("a", cache=CacheMark("12h"))), system=(Text("S", cache=CacheMark("5m")),), cache=CacheMark()
    )
    body, _ = write(request)
    assert body["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert body["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert body["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in json.dumps(write(request, replace(CLAUDE, cache_control=False))[0])


def test_no_breakpoint_is_shorter_lived_than_a_later_one():
    system, told = (Text("s", cache=CacheMark()),), Message("user", (Text("a", cache=CacheMark("12h")), Text("b")))
    later = Message("user", (Text("c", cache=CacheMark("5m")),))
    body, _ = write(foreign(told, Message("assistant", (Text("x"),)), later, system=system), CLAUDE)
    blocks = [*body["system"], *(block for message in body["messages"] for block in message["content"])]
    marks = [block["cache_control"].get("ttl") for block in blocks if "cache_control" in block]
    assert marks == ["1h", "1h", "5m"]


def test_no_more_breakpoints_than_four():
    parts = [Text(str(number), cache=CacheMark()) for number in range(6)]
    body, losses = write(foreign(user(*parts)))
    marked = [block["text"] for block in body["messages"][0]["content"] if "cache_control" in block]
    assert (marked, losses) == (["2", "3", "4", "5"], ("clamped:cache_control",))
    body, _ = write(foreign(user(*parts), cache=CacheMark()))
    assert len([block for block in body["messages"][0]["content"] if "cache_control" in block]) == 3


# --- the rest ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "can", "written"),
    [
        (None, CLAUDE, 32000),
        (None, replace(CLAUDE, max_output=4096), 4096),
        (10, CLAUDE, 10),
        (0, CLAUDE, 0),
        (9000, replace(CLAUDE, max_output=4096), 4096),
    ],
)
def test_there_is_always_a_limit(wanted, can, written):
    assert write(foreign(max_tokens=wanted), can)[0]["max_tokens"] == written


def test_only_what_the_format_has_is_written():
    request = foreign(
        seed=7,
        frequency_penalty=0.5,
        presence_penalty=0.5,
        logit_bias={"5": 1},
        verbosity="low",
        metadata={"a": "b"},
        stop=("END", " "),
        temperature=1.7,
        top_k=5,
        user="u" * 300,
        cache_key="k",
        native={"moderation": {}, "prediction": {"x": 1}},
        is_stream=True,
    )
    body, losses = write(request)
    assert body.pop("messages")
    assert len(body["metadata"].pop("user_id")) == 64
    assert body == {
        "model": "claude-x",
        "max_tokens": 32000,
        "stream": True,
        "stop_sequences": ["END"],
        "metadata": {},
        "temperature": 1.0,
        "top_k": 5,
    }
    names = {"seed", "frequency_penalty", "presence_penalty", "logit_bias", "verbosity", "metadata", "prediction"}
    assert {f"dropped:{name}" for name in names} <= set(losses)
    assert {"clamped:temperature", "dropped:stop"} <= set(losses)


@pytest.mark.parametrize(("field", "value"), [("choices", 3), ("logprobs", True)])
def test_what_would_change_the_answer_silently_is_refused(field, value):
    with pytest.raises(BadRequest):
        write(foreign(**{field: value}))


@pytest.mark.parametrize(
    ("tier", "written", "losses"),
    [
        ("auto", {"service_tier": "auto"}, ()),
        ("priority", {"service_tier": "auto"}, ()),
        ("default", {"service_tier": "standard_only"}, ()),
        ("fast", {"speed": "fast"}, ()),
        ("flex", {}, ("dropped:service_tier",)),
    ],
)
def test_service_tiers(tier, written, losses):
    body, noted = write(foreign(service_tier=tier))
    assert {name: value for name, value in body.items() if name in {"service_tier", "speed"}} == written
    assert noted == losses
    body, noted = write(foreign(service_tier=tier), replace(CLAUDE, service_tier=False))
    assert not body.keys() & {"service_tier", "speed"}
    assert noted == (() if tier == "auto" else ("dropped:service_tier",))


def test_answers_by_a_schema_are_held_to_it():
    schema = {
        "$schema": "x",
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "description": "how many"},
            "at": {"type": "string", "format": "date-time"},
            "s": {"type": "string", "format": "pattern", "maxLength": 5},
            "l": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/i"}},
        },
        "required": ["n"],
        "$defs": {"i": {"type": "object", "properties": {}, "additionalProperties": True}},
    }
    body, losses = write(foreign(output=OutputFormat("json_schema", schema)))
    assert body["output_config"] == {
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {
                    "n": {"type": "integer", "description": "how many\n\n(minimum: 1)"},
                    "at": {"type": "string", "format": "date-time"},
                    "s": {"type": "string", "description": "(format: pattern, maxLength: 5)"},
                    "l": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/i"}},
                },
                "required": ["n"],
                "$defs": {"i": {"type": "object", "properties": {}, "additionalProperties": False}},
                "additionalProperties": False,
            },
        }
    }
    assert losses == ("emulated:response_format", "emulated:output_config.format")


@pytest.mark.parametrize(
    ("output", "can"),
    [
        (OutputFormat("json_object"), CLAUDE),
        (OutputFormat("json_schema", {"type": "object"}), replace(CLAUDE, structured_output=False)),
    ],
)
def test_answers_that_cannot_be_held_to_a_form_are_asked_for(output, can):
    body, losses = write(foreign(output=output, system=(Text("S"),)), can)
    assert body["system"][0]["text"] == "S"
    assert "JSON" in body["system"][1]["text"]
    assert "output_config" not in body
    assert "emulated:response_format" in losses


def test_the_strict_version_gets_nothing_that_it_refuses():
    can = replace(CLAUDE, api_version="2026-10-21", top_k=True)
    cited = Text("a", citations=(Citation(native={"type": "char_location"}, format="anthropic"),))
    request = asked(temperature=1, top_p=1, top_k=1)
    document = Media("document", text="notes")
    request = replace(request, messages=(user(cited), assistant("b", document), user("c")))
    written, losses = write_whole(request, can)
    assert written.headers["anthropic-version"] == "2026-10-21"
    assert not written.body.keys() & {"temperature", "top_p", "top_k"}
    assert [[block["type"] for block in turn["content"]] for turn in written.body["messages"]] == [
        ["text"],
        ["text"],
        ["document", "text"],
    ]
    assert "citations" not in written.body["messages"][0]["content"][0]
    assert set(losses) == {
        "dropped:temperature",
        "dropped:top_p",
        "dropped:top_k",
        "dropped:citations",
        "emulated:document",
    }
    assert write(request)[0]["temperature"] == 1
