import json

import msgspec
import pytest

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.providers import PROVIDERS
from routing.engine.codec import Exchange, Target
from routing.engine.errors import BadRequest
from routing.engine.formats import CODECS
from routing.engine.losses import Losses
from routing.engine.messages import Began, Ended, Finish, Finished, ToolBegan, ToolDelta
from routing.engine.translation import Translation
from tests.routing.engine.formats.openai_responses.wire import CODEC, NAME, ask, cuts, read, sent, sse, write

SPAWN = {"type": "function", "name": "spawn", "parameters": {"type": "object", "properties": {}}, "strict": False}
SHELL = {"type": "custom", "name": "exec", "description": "Run it."}
CREW = {"type": "namespace", "name": "crew", "description": "Helpers.", "tools": [SPAWN]}
DEFAULT = {"type": "namespace", "name": "functions", "description": "", "tools": [SHELL]}
LATER = {"type": "additional_tools", "id": "at_1", "role": "developer", "tools": [DEFAULT, CREW]}
SEARCH = {
    "type": "tool_search",
    "execution": "client",
    "description": "Find tools.",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}
SEARCHED = {"type": "tool_search_call", "call_id": "s", "execution": "client", "arguments": {"query": "crew"}} | {
    "status": "completed"
}
FOUND = {"type": "tool_search_output", "call_id": "s", "execution": "client", "status": "completed", "tools": [CREW]}
CALLED = {"type": "function_call", "call_id": "c", "name": "spawn", "namespace": "crew", "arguments": "{}"}
ANSWERED = {"type": "function_call_output", "call_id": "c", "output": "spawned"}
#: What becomes of a free-text tool at a model that has none.
EMULATED = {"emulated:custom_tool", "emulated:custom"}
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]}
TASK = {"type": "agent_message", "author": "/root", "recipient": "/root/x"} | {
    "content": [{"type": "input_text", "text": "NEW TASK"}, {"type": "encrypted_content", "encrypted_content": "dig"}]
}


def translation(request, upstream="openai-chat", model="gpt-4o"):
    can = PROVIDERS["openai"].capabilities_of(upstream, model) if upstream == "openai-chat" else Capabilities()
    target = Target(upstream, "openai", "chn_1", model, can)
    return Translation(CODEC, CODECS[upstream], Exchange(request, target, "req_1", Losses(CODEC.spelling)))


def over_chat(**body):
    """Return the body for an upstream of Chat, and what was lost."""
    translating = translation(ask(**body))
    return json.loads(msgspec.json.encode(translating.write().body)), translating.exchange.losses.codes


def names(body):
    return [tool[tool["type"]]["name"] for tool in body["tools"]]


def test_tools_in_sets_are_offered_one_by_one():
    body, losses = over_chat(tools=[CREW, DEFAULT, {**SPAWN, "name": "plain"}])
    assert names(body) == ["crew__spawn", "exec", "plain"]
    assert set(losses) == EMULATED


def test_tools_that_the_conversation_declares_are_offered_without_a_loss():
    body, losses = over_chat(input=[LATER, USER])
    assert names(body) == ["exec", "crew__spawn"]
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert set(losses) == EMULATED


def test_a_call_in_the_history_has_the_name_of_its_tool():
    body, _ = over_chat(input=[USER, CALLED, ANSWERED], tools=[CREW])
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == "crew__spawn"


def test_a_tool_of_a_set_can_be_chosen():
    body, _ = over_chat(tools=[CREW], tool_choice={"type": "function", "name": "spawn", "namespace": "crew"})
    assert body["tool_choice"] == {"type": "function", "function": {"name": "crew__spawn"}}


def test_what_an_agent_tells_another_is_told_in_words():
    body, losses = over_chat(input=[TASK])
    assert body["messages"] == [{"role": "user", "content": "NEW TASK\ndig"}]
    assert losses == ()


def test_a_search_that_the_client_does_is_a_function_and_what_it_finds_is_on_offer():
    body, losses = over_chat(input=[USER, SEARCHED, FOUND], tools=[SEARCH])
    assert names(body) == ["tool_search", "crew__spawn"]
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "tool_search", "arguments": '{"query":"crew"}'}
    assert body["messages"][2]["tool_call_id"] == "s" and "crew__spawn" in body["messages"][2]["content"]
    assert losses == ()


def test_all_of_it_goes_back_into_its_own_format_as_it_was():
    items = [LATER, USER, TASK, SEARCHED, FOUND, CALLED, ANSWERED]
    body, losses = write(ask(input=items, tools=[CREW, SEARCH, {"type": "web_search"}]))
    assert body["input"] == items
    assert body["tools"] == [CREW, SEARCH, {"type": "web_search"}]
    assert losses == ()


def told(body, *calls):
    """Return the items that a client is told of, streamed and whole, for an upstream's calls."""
    translating = translation(ask(**body))
    translating.write()
    events = [Began("chatcmpl-1", "up", 1)]
    for place, (name, arguments) in enumerate(calls):
        events += [ToolBegan(place, f"call_{place}", name), ToolDelta(place, arguments)]
    events += [Finished(Finish("tool_calls")), Ended()]
    encoder = CODEC.stream_encoder(translating.exchange)
    written = b"".join(encoder.encode(event) for event in translating.told().tell(events))
    streamed = [event["item"] for event in sent(written) if event["type"] == "response.output_item.done"]
    function = [
        {"id": f"call_{at}", "type": "function", "function": {"name": n, "arguments": a}}
        for at, (n, a) in enumerate(calls)
    ]
    choice = {"index": 0, "message": {"role": "assistant", "tool_calls": function}, "finish_reason": "tool_calls"}
    answer = translating.read(json.dumps({"id": "c", "model": "up", "choices": [choice]}).encode())
    whole = json.loads(translating.tell(answer))["output"]
    assert [{**item, "id": ""} for item in streamed] == [{**item, "id": ""} for item in whole]
    return streamed


def test_a_call_comes_back_with_its_set():
    (item,) = told({"tools": [CREW]}, ("crew__spawn", "{}"))
    assert (item["type"], item["name"], item["namespace"]) == ("function_call", "spawn", "crew")


def test_a_free_text_call_comes_back_with_its_set():
    (item,) = told({"input": [LATER, USER]}, ("exec", '{"input":"ls"}'))
    assert (item["type"], item["name"], item["namespace"]) == ("custom_tool_call", "exec", "functions")
    assert item["input"] == "ls"


def test_a_search_comes_back_for_the_client_to_do():
    search, spawn = told({"tools": [SEARCH, SPAWN]}, ("tool_search", '{"query":"crew"}'), ("spawn", "{}"))
    assert (search["type"], search["execution"]) == ("tool_search_call", "client")
    assert search["arguments"] == {"query": "crew"}
    assert spawn["type"] == "function_call" and "namespace" not in spawn


def test_a_function_that_is_called_like_the_search_is_a_function():
    (item,) = told({"tools": [{**SPAWN, "name": "tool_search"}]}, ("tool_search", "{}"))
    assert item["type"] == "function_call"


@cuts
def test_a_call_of_an_upstream_of_this_format_keeps_its_set(size):
    request = ask(tools=[CREW])
    exchange = Exchange(request, Target(NAME, "openai", "chn_1", "m", Capabilities()), "req_1")
    item = {**CALLED, "id": "fc_1", "status": "completed"}
    body = [
        sse("response.created", response={"id": "resp_u", "model": "m"}),
        sse("response.output_item.added", output_index=0, item={**item, "arguments": ""}),
        sse("response.output_item.done", output_index=0, item=item),
        sse("response.completed", response={"id": "resp_u", "status": "completed", "output": [item]}),
    ]
    events = read(body, size, exchange)
    encoder = CODEC.stream_encoder(exchange)
    written = b"".join(encoder.encode(event) for event in events)
    (done,) = [event["item"] for event in sent(written) if event["type"] == "response.output_item.done"]
    assert (done["name"], done["namespace"]) == ("spawn", "crew")


@pytest.mark.parametrize("wrong", [{"type": "namespace", "tools": []}, {"type": "namespace", "name": "x", "tools": 1}])
def test_a_set_without_its_name_or_tools_is_refused(wrong):
    with pytest.raises(BadRequest) as caught:
        ask(tools=[wrong])
    assert caught.value.param.startswith("tools[0]")


@pytest.mark.parametrize("member", ["namespace", "in_conversation"])
@pytest.mark.parametrize("tool", [SPAWN, SEARCH])
def test_what_is_ours_to_note_is_not_taken_from_a_client(member, tool):
    kept = json.loads(msgspec.json.encode(translation(ask(tools=[{**tool, member: "x"}]), NAME).write().body))["tools"]
    assert [each["type"] for each in kept] == [tool["type"]] and member not in kept[0]
