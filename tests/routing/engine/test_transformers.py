"""Transformers change requests and answers as their options say, whole and streamed alike."""

from typing import Any

import msgspec
import pytest

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.providers import PROVIDERS
from routing.engine.answers import Collector, events_of, without_empty
from routing.engine.losses import Losses
from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Choice,
    Finish,
    Media,
    Message,
    Opaque,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
)
from routing.engine.transformer import Chain, changed
from routing.engine.transformers import TRANSFORMERS, chain_of
from routing.engine.trial import Trial

HI = (Message("user", (Text("hi"),)),)


def request(chain: Chain, **asked: Any) -> tuple[ChatRequest, tuple[str, ...]]:
    losses = Losses()
    return chain.request(ChatRequest("x", "m", HI, **asked), losses), losses.codes


def streamed(chain: Chain, answer: ChatAnswer) -> ChatAnswer:
    """Return the answer as a client collects it from a changed stream."""
    collector = Collector()
    changes = chain.stream()
    for event in events_of(answer):
        collector.take(changed([event], changes))
    assert collector.is_complete
    return collector.answer()


def test_every_transformer_says_what_it_is_and_has_options_with_a_schema():
    for name in TRANSFORMERS:
        transformer = TRANSFORMERS[name]
        assert transformer.name == name
        assert transformer.summary.endswith(".")
        msgspec.json.schema(transformer.options)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("nonsense", "no transformer 'nonsense'"),
        ({"maxtoken": {"max": 5}}, "max"),
        ({"sampling": {"top_p": "x"}}, "top_p"),
        ({"sampling": {"top_p": {"min": 0.9, "max": 0.1}}}, "`min` 0.9 is above `max` 0.1"),
        ({"maxtoken": {"max_tokens": 0}}, ">= 1"),
        ({"maxtoken": {"max_tokens": -5}}, ">= 1"),
        ({"deepseek": {"max_tokens": 0}}, ">= 1"),
    ],
)
def test_an_entry_that_means_nothing_is_named(entry, text):
    with pytest.raises(ValueError, match=text):
        chain_of([entry])


def test_an_entry_may_be_meant_for_some_models_only():
    entries = [{"maxtoken": {"max_tokens": 5, "models": ["small-*"]}}]
    assert chain_of(entries, "small-one")
    assert not chain_of(entries, "large-one")


def test_names_of_older_configurations_differ_in_case():
    assert chain_of(["Anthropic"]).steps[0].transformer.format == "anthropic"


def test_maxtoken_limits_what_the_model_writes():
    can = chain_of([{"maxtoken": {"max_tokens": 100}}]).can(Capabilities(max_output=500, default_max_output=400))
    assert (can.max_output, can.default_max_output) == (100, 100)
    assert chain_of(["maxtoken"]).can(Capabilities(max_output=500)).max_output == 500


def test_cleancache_takes_breakpoints_away():
    chain = chain_of(["cleancache"])
    can = chain.can(Capabilities(cache_control=True, cache_breakpoints=True))
    assert (can.cache_control, can.cache_breakpoints) == (False, False)


def test_customparams_adds_members_and_merges_objects():
    chain = chain_of([{"customparams": {"a": {"b": 1}}}, {"customparams": {"a": {"b": 2, "c": 3}, "d": 4}}])
    assert request(chain)[0].extra == {"a": {"b": 1, "c": 3}, "d": 4}


def test_openrouter_adds_its_preferences_and_spelling():
    chain = chain_of([{"openrouter": {"provider": {"order": ["x"]}}}])
    assert request(chain)[0].extra == {"provider": {"order": ["x"]}}
    assert chain.can(Capabilities()).thinking_switch == "reasoning"


def test_deepseek_gives_reasoning_back():
    can = chain_of(["deepseek"]).can(Capabilities())
    assert (can.max_output, can.reasoning_content_input, can.thinking_switch) == (8192, True, "thinking")


def test_reasoning_can_be_switched_off_and_the_loss_is_told():
    chain = chain_of([{"reasoning": {"enable": False}}])
    changed_request, codes = request(chain, thinking=Thinking(effort="high"))
    assert changed_request.thinking == Thinking(mode="disabled")
    assert codes == ("dropped:thinking",)
    assert request(chain)[1] == ()


def test_reasoning_is_switched_on_for_clients_that_say_nothing():
    chain = chain_of([{"reasoning": {"effort": "low"}}])
    assert request(chain)[0].thinking == Thinking(mode="enabled", effort="low")
    own = Thinking(budget_tokens=5000)
    assert request(chain, thinking=own)[0].thinking == own
    assert chain.can(Capabilities()).thinking_switch == "enable_thinking"
    assert chain.can(Capabilities(thinking_switch="thinking")).thinking_switch == "thinking"


def test_sampling_keeps_values_in_range_and_fills_in_defaults():
    chain = chain_of([{"sampling": {"temperature": {"min": 0.2, "max": 0.8}, "top_k": 40, "repetition_penalty": 1.1}}])
    fixed, codes = request(chain, temperature=1.5)
    assert (fixed.temperature, fixed.top_k, fixed.extra) == (0.8, 40, {"repetition_penalty": 1.1})
    assert codes == ("clamped:temperature",)
    assert request(chain, temperature=0.0)[0].temperature == 0.2


def test_streamoptions_sets_whether_usage_is_asked_for():
    assert chain_of([{"streamoptions": {"include_usage": False}}]).can(Capabilities()).stream_usage is False
    assert chain_of(["streamoptions"]).can(Capabilities(stream_usage=False)).stream_usage is True


def test_tooluse_demands_a_tool_and_adds_one_to_end_with():
    chain = chain_of(["tooluse"])
    fixed, _ = request(chain, tools=(Tool("f"),))
    assert [tool.name for tool in fixed.tools] == ["f", "ExitTool"]
    assert fixed.tool_choice == ToolChoice("required")
    assert request(chain)[0].tools == ()
    named = ToolChoice("required", ("f",))
    assert request(chain, tools=(Tool("f"),), tool_choice=named)[0].tool_choice == named


ANSWERS = {
    "an exit call alone": (
        (ToolCall("c", "ExitTool", '{"response":"done"}'),),
        (Text("done"),),
        "stop",
    ),
    "an exit call before another call": (
        (ToolCall("c", "ExitTool", '{"response":"done"}'), ToolCall("d", "f", "{}")),
        (Text("done"), ToolCall("d", "f", "{}")),
        "tool_calls",
    ),
    "no exit call": (
        (Text("let me see"), ToolCall("d", "f", '{"a":1}')),
        (Text("let me see"), ToolCall("d", "f", '{"a":1}')),
        "tool_calls",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_tooluse_shows_the_exit_call_as_text(case):
    parts, told, reason = ANSWERS[case]
    answer = ChatAnswer(choices=(Choice(parts, Finish("tool_calls")),))
    chain = chain_of(["tooluse"])
    for seen in (chain.answer(answer), streamed(chain, answer)):
        assert seen.choices[0].parts == told
        assert seen.choices[0].finish == Finish(reason)


def test_enhancetool_mends_arguments():
    answer = ChatAnswer(
        choices=(Choice((ToolCall("c", "f", "{a: 1,"), ToolCall("d", "g", '{"b":2}')), Finish("tool_calls")),)
    )
    chain = chain_of(["enhancetool"])
    for seen in (chain.answer(answer), streamed(chain, answer)):
        assert [part.arguments for part in seen.choices[0].parts] == ['{"a":1}', '{"b":2}']


def test_a_collected_stream_is_the_answer_that_it_tells():
    parts = (
        Reasoning(("a", "b"), Opaque("sig")),
        Text("hello"),
        Text("no", is_refusal=True),
        ToolCall("c", "f", '{"a":1}', state=Opaque("s")),
        Media("image", "image/png", data="iVBORw0="),
        Reasoning((), Opaque("hidden"), is_redacted=True),
    )
    answer = ChatAnswer("id", "m", 5, (Choice(parts, Finish("stop")), Choice((Text("second"),), Finish("length"))))
    assert streamed(Chain(), answer) == without_empty(answer)


@pytest.mark.parametrize(
    ("model", "is_kept"),
    [("anthropic/claude-sonnet-4", True), ("google/Gemini-2.5-pro", True), ("deepseek/deepseek-chat", False)],
)
def test_openrouter_keeps_cache_breakpoints_for_models_that_take_them(model, is_kept):
    assert chain_of(["openrouter"], model).can(Capabilities()).cache_control is is_kept
    said = [{"openrouter": {"cache_control": not is_kept}}]
    assert chain_of(said, model).can(Capabilities()).cache_control is not is_kept


@pytest.mark.parametrize(("effort", "sent"), [("medium", "high"), ("xhigh", "high"), ("low", "low"), ("max", "max")])
def test_deepseek_is_asked_for_efforts_that_it_knows(effort, sent):
    can = PROVIDERS["openai-compatible"].capabilities_of("openai-chat", "deepseek-v4")
    trial = Trial("openai-chat", "openai-chat", "deepseek-v4", "openai-compatible", can, chain_of(["deepseek"]))
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "reasoning_effort": effort}
    assert trial.request(msgspec.json.encode(body)).body["reasoning_effort"] == sent
