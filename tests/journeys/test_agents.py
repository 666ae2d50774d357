"""The coding agents of three vendors through a gateway to an upstream of each format; `make journeys` runs them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.journeys.agents import AGENTS, FOLDER, Agent, Ran
from tests.journeys.scripted import SIDE, Broken, Busy, Call, Lane, ScriptedUpstream, Step, Text
from tests.journeys.tenants import RAW_FAULTS, Customer, make_customer

pytestmark = [
    pytest.mark.agents,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not FOLDER.exists(), reason="the agents are not installed: make journeys"),
]

SECRET = "the-heron-stands-in-the-reeds"
DONE = "All done: the heron was found."
#: Upstream format → its provider and a model of it.
UPSTREAMS = {
    "openai-chat": ("openai", "gpt-5.1"),
    "openai-responses": ("openai", "gpt-5.1"),
    "anthropic": ("anthropic", "claude-sonnet-4-5"),
    "gemini": ("gemini", "gemini-2.5-pro"),
}
#: Whatever the agents ask for on the side must be served as well.
NAMES = [
    *("gpt-5.5", "gpt-5.6-sol"),
    *(agent.model for agent in AGENTS.values()),
    *("claude-haiku-4-5-20251001", "claude-haiku-4-5", "claude-sonnet-4-5-20250929", "claude-opus-4-8"),
    *("gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3-flash-preview", "gemini-3.1-pro-preview"),
]


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedUpstream]:
    """The upstream of all channels here."""
    server = ScriptedUpstream()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def customers(gateway, scripted, django_db_blocker) -> dict[str, Customer]:
    """A tenant for each upstream format, whose only channel speaks that."""
    made = {}
    with django_db_blocker.unblock():
        for name, (provider, model) in UPSTREAMS.items():
            customer = made[name] = make_customer(f"agents-{name}", **RAW_FAULTS)
            served = [{"name": each, "upstream": model} for each in NAMES]
            lane = type("Lane", (), {"url": f"{scripted.url}/{name}"})
            customer.add_channel(lane, "only", provider, served, format=name)
    return made


@pytest.fixture(params=UPSTREAMS)
def upstream_format(request) -> str:
    return request.param


@pytest.fixture(params=AGENTS)
def agent(request) -> Agent:
    return AGENTS[request.param]


@pytest.fixture
def note(tmp_path) -> Path:
    """A file that the model asks the agent to read."""
    (tmp_path / "work").mkdir()
    path = tmp_path / "work" / "note.txt"
    path.write_text(SECRET + "\n")
    return path


@pytest.fixture
def play(gateway, customers, scripted, tmp_path) -> Callable[..., tuple[Ran, Lane]]:
    """Return what runs an agent against a script, and returns how it ended and what its upstream was asked."""

    def run(agent: Agent, upstream_format: str, *steps: Step) -> tuple[Ran, Lane]:
        lane = scripted.script(upstream_format, *steps)
        ran = agent.run("Please find the heron.", tmp_path, gateway.url, customers[upstream_format].key)
        (tmp_path / "seen.json").write_text(json.dumps(lane.seen, indent=1))
        return ran, lane

    return run


def test_a_tool_is_called_and_its_result_answered(agent, upstream_format, note, play):
    ran, lane = play(agent, upstream_format, Call(*agent.reads(note)), Text(DONE))
    assert ran.code == 0 and DONE in ran.output, ran
    assert SECRET in json.dumps(lane.seen[-1]) and not lane.steps


def test_a_refusal_with_a_time_to_wait_is_waited_for(agent, upstream_format, note, play):
    ran, lane = play(agent, upstream_format, Busy(), Call(*agent.reads(note)), Text(DONE))
    assert ran.code == 0 and DONE in ran.output, ran
    assert not lane.steps
    assert lane.came_s[1] - lane.came_s[0] >= 1, "asked again before the second that it was told to wait"


def test_an_error_in_the_middle_of_a_stream_is_recovered_from(agent, upstream_format, note, play):
    """All three ask once more, which they do only where they understand the error, and notice a stream without end."""
    ran, lane = play(agent, upstream_format, Broken(), Text(DONE))
    assert ran.code == 0 and DONE in ran.output, ran
    assert not lane.steps


def test_a_sub_agent_answers(upstream_format, note, play):
    asked = {"description": "find it", "prompt": "Read the note.", "subagent_type": "general-purpose"}
    steps = [Call("Agent", asked), Call(*AGENTS["claude"].reads(note)), Text("The note names a heron."), Text(DONE)]
    ran, lane = play(AGENTS["claude"], upstream_format, *steps)
    assert ran.code == 0 and DONE in ran.output, ran
    assert "The note names a heron." in json.dumps(lane.seen[-1])


@pytest.mark.parametrize(("model", "set_name"), [("gpt-5.2", "multi_agent_v1"), ("gpt-5.6-sol", "collaboration")])
def test_a_sub_agent_of_a_set_is_spawned(upstream_format, note, play, model, set_name):
    """Its agents run beside one another, so the order of their requests is open, and how many come before the end."""
    spawn = Call("spawn_agent", {"message": "Read the note.", "task_name": "reader"}, set=set_name)
    ran, lane = play(replace(AGENTS["codex"], model=model), upstream_format, spawn, *[Text(DONE)] * 9)
    assert ran.code == 0 and DONE in ran.output, ran
    said = json.dumps(lane.seen)
    assert "unsupported call" not in said
    assert "agent_id" in said or "/root/reader" in said


PATCH = "*** Begin Patch\n*** Add File: new.txt\n+heron\n*** End Patch\n"
SCRIPT = 'const ran = await tools.exec_command({cmd: "echo heron > new.txt"}); text(ran.output);'


@pytest.mark.parametrize(
    ("model", "name", "text"), [("gpt-5.5", "apply_patch", PATCH), ("gpt-5.6-sol", "exec", SCRIPT)]
)
def test_a_free_text_tool_is_called(upstream_format, note, play, model, name, text):
    called = Call(name, {"input": text}, text=text)
    ran, lane = play(replace(AGENTS["codex"], model=model), upstream_format, called, Text(DONE))
    assert ran.code == 0 and DONE in ran.output, ran
    assert (note.parent / "new.txt").read_text() == "heron\n" and not lane.steps


@pytest.mark.parametrize(("name", "tool"), [("claude", "WebSearch"), ("gemini", "google_web_search")])
def test_a_web_search_asks_on_the_side(name, tool, upstream_format, note, play):
    """The model of Chat cannot search: there it is asked without the tool, and answers from what it knows."""
    found = Text(SIDE if upstream_format == "openai-chat" else "In the reeds.")
    searched = [] if upstream_format == "openai-chat" else [found]
    call = Call(tool, {"query": "where do herons stand"})
    ran, lane = play(AGENTS[name], upstream_format, call, *searched, Text(DONE))
    assert ran.code == 0 and DONE in ran.output, ran
    assert found.text in json.dumps(lane.seen[-1]) and not lane.steps
