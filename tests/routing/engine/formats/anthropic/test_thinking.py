import pytest
from msgspec.structs import replace

from channels_app.engine.providers import PROVIDERS
from routing.engine.messages import Message, Reasoning, Text, Thinking, Tool, ToolCall, ToolChoice, ToolResult
from tests.routing.engine.formats.anthropic.exchanges import CLAUDE, MANUAL, asked, foreign, state, write

NONE = replace(CLAUDE, thinking="none")
HIGH = Thinking(effort="high")


def thinking(request, can):
    body, losses = write(request, can)
    return body.get("thinking"), body.get("output_config"), body["max_tokens"], losses


@pytest.mark.parametrize(
    ("effort", "limit", "most", "budget", "total"),
    [
        ("low", 50_000, None, 4096, 50_000),
        ("high", 4096, None, 24_576, 28_672),
        ("high", 4096, 20_000, 15_904, 20_000),
        ("high", 8192, 8192, 6144, 8192),
        ("max", 64_000, 64_000, 48_000, 64_000),
        ("minimal", 500, 64_000, 1024, 1524),
        ("minimal", 1500, 1500, 1024, 1500),
    ],
)
def test_a_budget_is_below_the_limit_which_is_raised_first(effort, limit, most, budget, total):
    config, output, limited, losses = thinking(
        foreign(thinking=Thinking(effort=effort), max_tokens=limit), replace(MANUAL, max_output=most)
    )
    assert config == {"type": "enabled", "budget_tokens": budget}
    assert (output, limited) == (None, total)
    assert losses == (() if limit == total else ("clamped:max_tokens",))


def test_no_thinking_where_there_is_no_room():
    can = replace(MANUAL, max_output=1024)
    assert thinking(foreign(thinking=HIGH, max_tokens=800), can) == (None, None, 800, ("dropped:thinking",))


def test_a_budget_of_the_client():
    config, *_ = thinking(asked(thinking={"type": "enabled", "budget_tokens": 500}, max_tokens=4000), MANUAL)
    assert config == {"type": "enabled", "budget_tokens": 1024}
    config, *_ = thinking(asked(thinking={"type": "enabled", "budget_tokens": 31_999}, max_tokens=32_000), MANUAL)
    assert config == {"type": "enabled", "budget_tokens": 31_999}
    config, *_ = thinking(foreign(thinking=Thinking(budget_tokens=-1)), replace(MANUAL, max_thinking=6000))
    assert config == {"type": "enabled", "budget_tokens": 6000}


@pytest.mark.parametrize(
    ("wish", "output"),
    [
        (Thinking(effort="xhigh"), {"effort": "xhigh"}),
        (Thinking(effort="minimal"), {"effort": "low"}),
        (Thinking("enabled", budget_tokens=31_999), {"effort": "high"}),
        (Thinking("adaptive"), None),
    ],
)
def test_adaptive_models_think_by_effort(wish, output):
    assert thinking(foreign(thinking=wish, max_tokens=9), CLAUDE) == ({"type": "adaptive"}, output, 9, ())


def test_efforts_that_the_model_lacks_become_the_nearest():
    can = replace(CLAUDE, efforts=("low", "medium", "high"))
    assert thinking(foreign(thinking=Thinking(effort="max")), can)[1] == {"effort": "high"}


@pytest.mark.parametrize("wish", [Thinking(effort="none"), Thinking("disabled"), Thinking(budget_tokens=0)])
def test_no_thinking_wanted(wish):
    assert thinking(foreign(thinking=wish, max_tokens=9), MANUAL) == ({"type": "disabled"}, None, 9, ())
    assert thinking(foreign(thinking=wish, max_tokens=9), CLAUDE) == ({"type": "disabled"}, None, 9, ())
    assert thinking(foreign(thinking=wish, max_tokens=9), NONE) == (None, None, 9, ())


def test_unset_stays_unset():
    for can in (MANUAL, CLAUDE, NONE):
        assert thinking(foreign(max_tokens=9), can) == (None, None, 9, ())


def test_models_without_thinking():
    assert thinking(foreign(thinking=HIGH, max_tokens=9), NONE) == (None, None, 9, ("dropped:thinking",))


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("required", ("f",))])
@pytest.mark.parametrize("can", [MANUAL, CLAUDE])
def test_a_demanded_call_leaves_no_room_for_thinking(can, choice):
    config, _, limit, losses = thinking(
        foreign(thinking=HIGH, max_tokens=50_000, tools=(Tool("f"),), tool_choice=choice), can
    )
    assert (config, limit, losses) == (None, 50_000, ("dropped:thinking",))


def test_whether_it_is_shown():
    assert thinking(foreign(thinking=Thinking(effort="low", summary="auto")), CLAUDE)[0]["display"] == "summarized"
    assert thinking(foreign(thinking=Thinking(effort="low", is_shown=False)), CLAUDE)[0]["display"] == "omitted"


# --- sampling ------------------------------------------------------------------------------------------------------


def sampling(can=CLAUDE, **fields):
    body, losses = write(foreign(top_p=0.9, top_k=5, **fields), can)
    return {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body}, losses


@pytest.mark.parametrize("can", [MANUAL, CLAUDE])
def test_sampling_gives_way_to_thinking(can):
    assert sampling(can, temperature=0.3, thinking=HIGH) == (
        {},
        ("dropped:temperature", "dropped:top_p", "dropped:top_k"),
    )
    assert sampling(can, temperature=1, thinking=HIGH)[0] == {"temperature": 1}
    assert sampling(can, temperature=0.3)[0] == {"temperature": 0.3, "top_p": 0.9, "top_k": 5}
    assert sampling(can, temperature=0.3, thinking=Thinking(effort="none"))[1] == ()
    both = replace(can, sampling_with_reasoning=True)
    assert sampling(both, temperature=0.3, thinking=HIGH)[0] == {"temperature": 0.3, "top_p": 0.9, "top_k": 5}


def test_the_temperature_stays_where_only_one_of_two_is_taken():
    one = replace(MANUAL, sampling_together=False)
    assert sampling(one, temperature=0.3) == ({"temperature": 0.3, "top_k": 5}, ("dropped:top_p",))
    assert sampling(one) == ({"top_p": 0.9, "top_k": 5}, ())


@pytest.mark.parametrize(
    ("model", "is_both"),
    [
        ("claude-3-7-sonnet-latest", True),
        ("claude-opus-4-1", False),
        ("claude-haiku-4-5-20251001", False),
        ("claude-sonnet-4-6", False),
    ],
)
def test_newer_models_take_one_of_two(model, is_both):
    can = PROVIDERS["anthropic"].capabilities_of("anthropic", model)
    assert ("top_p" in sampling(can, temperature=0.3)[0]) is is_both


# --- tool loops ----------------------------------------------------------------------------------------------------


def loop(*turns):
    """Return a request in the middle of a tool loop whose assistant turns begin as given."""
    messages = [Message("user", (Text("go"),))]
    for place, first in enumerate(turns):
        call = ToolCall(f"t{place}", "f", "{}")
        messages.append(Message("assistant", (first, call) if first else (call,)))
        messages.append(Message("user", (ToolResult(call.id, (Text("ok"),)),)))
    return foreign(*messages, tools=(Tool("f"),), thinking=HIGH, max_tokens=50_000)


SIGNED, FOREIGN = Reasoning(("plan",), state("sig")), Reasoning(("plan",), state("enc", format="openai-responses"))


@pytest.mark.parametrize("turns", [(SIGNED,), (SIGNED, None), (Reasoning(state=state("dark", "redacted")),)])
def test_a_loop_that_began_with_its_thinking_goes_on_thinking(turns):
    assert thinking(loop(*turns), MANUAL)[0] == {"type": "enabled", "budget_tokens": 24_576}


@pytest.mark.parametrize("turns", [(None,), (FOREIGN,), (Text("Let me see."),), (FOREIGN, None)])
def test_a_loop_that_does_not_show_its_thinking_cannot_go_on_thinking(turns):
    config, _, limit, losses = thinking(loop(*turns), MANUAL)
    assert (config, limit) == (None, 50_000)
    assert losses == ("dropped:thinking",)
    assert thinking(loop(*turns), CLAUDE)[0] == {"type": "adaptive"}


def test_a_loop_that_is_over_does_not_matter():
    request = loop(None)
    over = replace(request, messages=(*request.messages, Message("user", (Text("next"),))))
    assert thinking(over, MANUAL)[0] is None  # said in the turn of the results, it belongs to the loop
    done = Message("assistant", (Text("done"),))
    over = replace(request, messages=(*request.messages, done, Message("user", (Text("next"),))))
    assert thinking(over, MANUAL)[0] is not None


def test_a_beginning_to_continue_cannot_think():
    begun = foreign(Message("user", (Text("a"),)), Message("assistant", (Text("It is ("),)), thinking=HIGH)
    assert thinking(begun, MANUAL)[0] is None
    assert "temperature" in write(replace(begun, temperature=0.5), MANUAL)[0]


# --- the same format -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        {"type": "adaptive", "display": "omitted"},
        {"type": "adaptive", "display": "updates", "block_binding": {"prefix_mismatch_behavior": "drop_block"}},
        {"type": "disabled"},
        {"type": "between_tools"},
    ],
)
def test_own_thinking_is_kept_to_the_letter(config):
    assert thinking(asked(thinking=config), CLAUDE) == (config, None, 100, ())


def test_effort_alone_does_not_switch_thinking_on():
    request = asked(output_config={"effort": "low", "task_budget": {"type": "tokens", "total": 9000}})
    output = {"effort": "low", "task_budget": {"type": "tokens", "total": 9000}}
    assert thinking(request, CLAUDE) == (None, output, 100, ())
    config, _, _, losses = thinking(asked(output_config={"effort": "low"}), MANUAL)
    assert (config, losses) == (None, ("dropped:effort",))


def test_edits_that_clear_thinking_go_with_it():
    clear, uses = {"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}
    asks = {"thinking": {"type": "adaptive"}, "context_management": {"edits": [clear, uses]}}
    assert write(asked(**asks))[0]["context_management"] == {"edits": [clear, uses]}
    assert write(asked(**asks), NONE)[0]["context_management"] == {"edits": [uses]}
    assert "context_management" not in write(asked(**asks | {"context_management": {"edits": [clear]}}), NONE)[0]


def test_a_demanded_tool_switches_thinking_off_where_it_is_on_by_itself():
    can = PROVIDERS["deepseek"].capabilities_of("anthropic", "deepseek-v4-pro")
    tools = {"tools": (Tool("look"),), "tool_choice": ToolChoice("required")}
    body, losses = write(foreign(**tools), can)
    assert (body["thinking"], losses) == ({"type": "disabled"}, ())
    body, losses = write(foreign(**tools, thinking=Thinking("enabled", budget_tokens=2000), max_tokens=9000), can)
    assert (body["thinking"], losses) == ({"type": "disabled"}, ("dropped:thinking",))
    assert "thinking" not in write(foreign(**tools), CLAUDE)[0]
