"""What coding agents ask is answered by an upstream of any format: their tools, their history, their side calls."""

from __future__ import annotations

import json

import pytest

from channels_app.engine.providers import PROVIDERS
from routing.engine.document import ModelSpec
from tests.journeys.scripted import FORMATS, Call, Text
from tests.routing.engine import agent_requests
from tests.routing.engine.agent_requests import ASKED, FOUND, HABITS, PROMPT, RULES
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import Harness, Step, streamed
from tests.routing.engine.translation.grammar import assert_clean

pytestmark = pytest.mark.asyncio

#: Upstream format → its provider and a model of it.
UPSTREAMS = {
    "openai-chat": ("openai", "gpt-4.1"),
    "openai-responses": ("openai", "gpt-5.1"),
    "anthropic": ("anthropic", "claude-sonnet-4-5"),
    "gemini": ("gemini", "gemini-2.5-pro"),
}
DONE = "The heron was found."


@pytest.fixture(params=UPSTREAMS)
def upstream(request):
    return request.param


@pytest.fixture(params=HABITS)
def habit(request):
    return HABITS[request.param]


def gateway(upstream, body, *steps):
    """Return a gateway whose only channel speaks that format, as the provider does who invented it."""
    provider, model = UPSTREAMS[upstream]
    asked = body.get("model", "m")
    harness = Harness(*steps, channels=[channel("a", models=[ModelSpec(name, model) for name in (asked, "m")])])
    harness.gateway.max_body_bytes = 1_000_000
    known = PROVIDERS[provider]
    harness.provider.capabilities, harness.provider.models = known.capabilities, known.models
    harness.provider.forwarded_headers = known.forwarded_headers
    harness.provider.endpoints = {
        operation: path for operation, path in known.endpoints.items() if operation.partition(":")[0] == upstream
    }
    return harness


def says(upstream, *said):
    """Return the steps of an upstream that streams these answers."""
    for each in said:
        events = FORMATS[upstream][2](each, "their-m")
        written = b"".join(
            (f"event: {name}\n" if name else "").encode() + f"data: {json.dumps(data)}\n\n".encode()
            for name, data in events
        )
        yield streamed(written + (b"data: [DONE]\n\n" if upstream == "openai-chat" else b""))


def says_whole(upstream, said):
    return Step(chunks=[json.dumps(FORMATS[upstream][1](said, "their-m")).encode()])


async def ask(harness, habit, body):
    path = habit.path.replace(habit.path.split("/")[-1].split(":")[0], "m") if ":" in habit.path else habit.path
    answer = await harness.ask(body, path=path, headers=habit.headers, query=habit.query)
    assert answer.status == 200, answer.body
    return answer


def sent(harness):
    return json.loads(harness.provider.sent[-1].body)


def warned(answer):
    return set(filter(None, answer.headers.get("x-routex-warnings", "").split(", ")))


def called(habit, upstream):
    """Return the step in which the model calls the agent's tool."""
    name, arguments = habit.call
    if upstream == habit.format == "openai-responses" and isinstance(habit.seen[1], str):
        return Call(name, text=habit.seen[1])
    return Call(name, arguments)


def tools_of(upstream, body):
    """Return the names of the tools on offer."""
    match upstream:
        case "openai-chat":
            return {tool[tool["type"]]["name"] for tool in body["tools"]}
        case "gemini":
            return {each["name"] for tool in body["tools"] for each in tool.get("functionDeclarations", ())}
        case _:
            return {tool.get("name", tool.get("type")) for tool in body["tools"]}


def result_of(upstream, body):
    """Return the id that a tool's output goes back under, the id and name of its call, and the output."""
    match upstream:
        case "openai-chat":
            *_, turn, result = body["messages"]
            (call,) = turn["tool_calls"]
            return result["tool_call_id"], call["id"], call[call["type"]]["name"], json.dumps(result["content"])
        case "openai-responses":
            *_, call, result = body["input"]
            return result["call_id"], call["call_id"], call["name"], json.dumps(result["output"])
        case "anthropic":
            *_, turn, said = body["messages"]
            (call,) = (block for block in turn["content"] if block["type"] == "tool_use")
            (result,) = said["content"]
            return result["tool_use_id"], call["id"], call["name"], json.dumps(result["content"])
        case _:
            *_, turn, said = body["contents"]
            (call,) = (part["functionCall"] for part in turn["parts"] if "functionCall" in part)
            (result,) = (part["functionResponse"] for part in said["parts"])
            return result.get("id"), call.get("id"), call["name"], json.dumps(result["response"])


async def test_a_tool_is_called_and_its_output_goes_on(habit, upstream):
    harness = gateway(upstream, habit.body, *says(upstream, called(habit, upstream), Text(DONE)))
    answer = await ask(harness, habit, habit.body)
    events = assert_clean(habit.format, answer.body)
    (call,) = habit.calls(events)
    if upstream == habit.format:
        assert call.name == habit.seen[0].rpartition(".")[2] or call.name == habit.call[0]
    else:
        assert (call.name, call.arguments) == habit.seen
        assert habit.call[0] in tools_of(upstream, sent(harness))

    follow_up = habit.goes_on(habit.body, events)
    answer = await ask(harness, habit, follow_up)
    assert DONE in answer.body.decode()
    assert_clean(habit.format, answer.body)
    result_id, call_id, name, output = result_of(upstream, sent(harness))
    assert result_id == call_id and FOUND in output
    assert name in {habit.call[0], call.told.get("name"), call.name}


async def test_thinking_before_a_call_goes_back_to_its_issuer_or_is_off(habit):
    name, arguments = habit.call
    if habit.format == "anthropic":
        arguments = habit.seen[1]
    thought = {"type": "thinking", "thinking": "Where do herons stand?", "signature": "c2lnbmVkIGJ5IGl0"}
    used = {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}
    (_, started), *events = FORMATS["anthropic"][2](Call(name, arguments), "their-m")
    delta = {"type": "content_block_delta", "index": 0}
    told = [
        started,
        {"type": "content_block_start", "index": 0, "content_block": {**thought, "thinking": "", "signature": ""}},
        {**delta, "delta": {"type": "thinking_delta", "thinking": thought["thinking"]}},
        {**delta, "delta": {"type": "signature_delta", "signature": thought["signature"]}},
        {"type": "content_block_stop", "index": 0},
        *({**event, "index": 1} if "index" in event else event for _, event in events),
    ]
    stream = b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in told)
    harness = gateway("anthropic", habit.body, streamed(stream), *says("anthropic", Text(DONE)))
    answer = await ask(harness, habit, habit.body)
    await ask(harness, habit, habit.goes_on(habit.body, assert_clean(habit.format, answer.body)))
    *_, turn, _result = sent(harness)["messages"]
    *before, called_again = turn["content"]
    assert called_again["input"] == used["input"]
    if habit.format == "gemini":
        # This agent forgets thoughts, and a model that thinks refuses a call without the thought before it.
        assert before == [] and "thinking" not in sent(harness)
    else:
        assert [(each["type"], each["signature"]) for each in before] == [("thinking", thought["signature"])]


async def test_the_prompt_is_whole(habit, upstream):
    harness = gateway(upstream, habit.body, *says(upstream, Text(DONE)))
    await ask(harness, habit, habit.body)
    body = sent(harness)
    said = json.dumps(body)
    assert all(text in said for text in (PROMPT, RULES.splitlines()[0], ASKED))
    assert ("x-anthropic-billing-header" in said) == (habit.format == upstream == "anthropic")
    if upstream != habit.format:
        assert body.get("model", UPSTREAMS[upstream][1]) == UPSTREAMS[upstream][1]
        assert "client_metadata" not in body


#: Agent and upstream → what its answers warn of, none of which an agent needs: samplings that a model refuses, thinking
#: of a model that has none, its own search where there is no other, and the agent's own bookkeeping.
CLAUDE = "dropped:context_management"
CLAUDE_USER = f"{CLAUDE} dropped:metadata.user_id dropped:user"
CODEX = "dropped:client_metadata"
FREE_TEXT = f"{CODEX} emulated:custom emulated:custom_tool"
TERSE = f"{FREE_TEXT} dropped:text.verbosity dropped:verbosity"
NO_EFFORT = "dropped:reasoning dropped:thinking"
TOP_K = "dropped:topK dropped:top_k"
TOP_P = "dropped:topP dropped:top_p"
LOSSES = {
    "claude-adaptive over gemini": f"{CLAUDE_USER} emulated:system",
    "claude-adaptive over openai-chat": f"{CLAUDE} clamped:max_tokens dropped:thinking",
    "claude-adaptive over openai-responses": CLAUDE,
    "claude-budget over gemini": CLAUDE_USER,
    "claude-budget over openai-chat": f"{CLAUDE} dropped:thinking",
    "claude-budget over openai-responses": CLAUDE,
    "claude-subagent over gemini": f"{CLAUDE_USER} clamped:thinking",
    "claude-subagent over openai-chat": f"{CLAUDE} dropped:thinking",
    "claude-subagent over openai-responses": CLAUDE,
    "codex-newest over anthropic": FREE_TEXT,
    "codex-newest over gemini": f"{FREE_TEXT} dropped:parallel_tool_calls",
    "codex-newest over openai-chat": f"{FREE_TEXT} {NO_EFFORT}",
    "codex-plain over anthropic": f"{CODEX} emulated:web_search",
    "codex-plain over gemini": f"{CODEX} dropped:web_search",
    "codex-plain over openai-chat": f"{CODEX} dropped:web_search",
    "codex-search over anthropic": f"{TERSE} emulated:web_search",
    "codex-search over gemini": f"{TERSE} dropped:web_search",
    "codex-search over openai-chat": f"{TERSE} {NO_EFFORT} dropped:web_search",
    "gemini-budget over anthropic": f"{TOP_K} {TOP_P}",
    "gemini-budget over openai-chat": f"{TOP_K} dropped:thinkingConfig dropped:thinking",
    "gemini-budget over openai-responses": f"{TOP_K} {TOP_P} dropped:temperature",
    "gemini-level over anthropic": f"{TOP_K} {TOP_P}",
    "gemini-level over openai-chat": f"{TOP_K} dropped:thinkingConfig dropped:thinking",
    "gemini-level over openai-responses": f"{TOP_K} {TOP_P} dropped:temperature",
}


@pytest.mark.parametrize("name", HABITS)
async def test_nothing_that_an_agent_needs_is_lost(name, upstream):
    habit = HABITS[name]
    harness = gateway(upstream, habit.body, *says(upstream, Text(DONE)))
    lost = warned(await ask(harness, habit, habit.body))
    assert lost == set(LOSSES.get(f"{name} over {upstream}", "").split())


async def test_a_search_beside_the_conversation_is_answered(upstream):
    habit, body = HABITS["claude-budget"], agent_requests.CLAUDE_SEARCH
    harness = gateway(upstream, body, *says(upstream, Text(DONE)))
    answer = await ask(harness, habit, body)
    assert DONE in answer.body.decode()
    assert_clean("anthropic", answer.body)
    offered = sent(harness).get("tools")
    if upstream == "openai-chat":
        # The model cannot search, and is not forced to call what is not there.
        assert not offered and "tool_choice" not in sent(harness)
        assert "dropped:web_search" in warned(answer)
    else:
        assert "search" in json.dumps(offered).lower()


async def test_a_whole_answer_beside_the_conversation(upstream):
    body = agent_requests.GEMINI_SEARCH
    harness = gateway(upstream, body, says_whole(upstream, Text(DONE)))
    answer = await harness.ask(body, path="/v1beta/models/m:generateContent")
    assert answer.status == 200
    (part,) = agent_requests.gemini_turn([answer.json])
    assert part["text"] == DONE


async def test_tokens_of_a_single_tool_are_counted(upstream):
    body = agent_requests.CLAUDE_COUNT
    told = json.dumps({"input_tokens": 20, "totalTokens": 20, "object": "response.input_tokens"}).encode()
    harness = gateway(upstream, body, Step(chunks=[told]))
    answer = await harness.ask(body, path="/v1/messages/count_tokens", query="beta=true")
    assert answer.status == 200
    assert answer.json["input_tokens"] > 0


async def test_betas_go_to_their_own_upstream_only(upstream):
    habit = HABITS["claude-budget"]
    harness = gateway(upstream, habit.body, *says(upstream, Text(DONE)))
    await ask(harness, habit, habit.body)
    betas = [value for name, value in harness.provider.sent[0].headers if name == "anthropic-beta"]
    assert (betas == [habit.headers["anthropic-beta"]]) == (upstream == "anthropic")


@pytest.mark.parametrize("house", ["openai-chat", "openai-responses"])
async def test_the_session_that_a_cache_is_found_by_reaches_its_house(house):
    habit = HABITS["codex-plain"]
    harness = gateway(house, habit.body, *says(house, Text(DONE)))
    await ask(harness, habit, habit.body)
    headers = dict(harness.provider.sent[0].headers)
    assert (headers["session-id"], headers["thread-id"]) == ("s-1", "t-1")
    assert sent(harness)["prompt_cache_key"] == habit.body["prompt_cache_key"]
