import pytest
from msgspec.structs import replace

from routing.engine.messages import (
    Opaque,
    Origin,
    Reasoning,
    Text,
    Thinking,
    ToolChoice,
)
from tests.routing.engine.formats.openai_chat.talk import (
    CALL,
    RESULT,
    WEATHER,
    asked,
    decoded,
    messages,
    model,
    user,
    written,
)

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


@pytest.mark.parametrize(
    ("thinking", "switch", "said"),
    [(None, "thinking", ""), (Thinking("disabled"), "thinking", None), (None, "", None)],
)
def test_a_call_without_thinking_says_so_where_its_absence_is_refused(thinking, switch, said):
    request = asked(user(Text("q")), model(CALL), user(RESULT), thinking=thinking)
    sent = messages(request, reasoning_content_input=True, thinking_switch=switch)
    assert sent[1].get("reasoning_content") == said
