"""What a translation loses is told on the answer and in the record; a strict client is refused instead."""

import json

import pytest

from analytics.engine.copy_text import LONG_TEXT_LIMITS
from channels_app.engine.capabilities import Capabilities
from channels_app.engine.providers import PROVIDERS
from routing.engine.losses import Losses, listed, lossy
from routing.engine.relay import MAX_WARNINGS_CHARS
from routing.engine.trial import Trial
from tests.routing.engine import claude
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import GOOD_STREAM, PATHS, Harness, Step, streamed

HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

#: What each client asks for that the upstream has no place for: path, body, upstream, and the name in its own words.
LOSSY = {
    "openai-chat": (PATHS["openai-chat"], HI | {"seed": 7}, "anthropic", "seed"),
    "openai-responses": (
        PATHS["openai-responses"],
        {"model": "m", "input": "hi", "truncation": "auto"},
        "anthropic",
        "truncation",
    ),
    "anthropic": (PATHS["anthropic"], HI | {"max_tokens": 9, "top_k": 5}, "openai-chat", "top_k"),
    "gemini": (
        PATHS["gemini:generateContent"],
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"topK": 5}},
        "openai-chat",
        "topK",
    ),
}


def gateway(upstream, *steps, **fields):
    whole = Step(chunks=[json.dumps(claude.ANSWER).encode()]) if upstream == "anthropic" else Step()
    harness = Harness(*(steps or [whole]), **fields)
    harness.provider.endpoints = {upstream: "/it"}
    return harness


def codes(answer):
    return answer.headers["x-routex-warnings"].split(", ")


@pytest.mark.asyncio
@pytest.mark.parametrize("client", LOSSY)
async def test_a_drop_is_told_in_the_clients_words_on_the_answer_and_in_the_record(client):
    path, body, upstream, name = LOSSY[client]
    harness = gateway(upstream)
    answer = await harness.ask(body, path=path)
    assert answer.status == 200
    assert f"dropped:{name}" in codes(answer)
    assert harness.record.warnings == answer.headers["x-routex-warnings"]
    assert (harness.record.client_format, harness.record.upstream_format) == (client, upstream)


def said(client, body):
    """Return the message of an error in that format, whose other members are as its SDK reads them."""
    error = body["error"]
    if client == "anthropic":
        assert body["type"] == "error" and error["type"] == "invalid_request_error"
    elif client == "gemini":
        assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    else:
        assert (error["type"], error["code"]) == ("invalid_request_error", "lossy_translation")
    return error["message"]


@pytest.mark.asyncio
@pytest.mark.parametrize("strict", ["1", "true", "True", " 1 "])
@pytest.mark.parametrize("client", LOSSY)
async def test_a_strict_client_is_refused_in_its_own_format_and_nothing_is_sent(client, strict):
    path, body, upstream, name = LOSSY[client]
    harness = gateway(upstream)
    answer = await harness.ask(body, path=path, headers={"x-routex-strict": strict})
    assert answer.status == 400
    message = said(client, answer.json)
    assert f"`{name}` would be lost" in message and upstream in message
    assert harness.provider.sent == [] and harness.tried() == [("a", "cannot_carry")]
    assert (harness.record.outcome, harness.record.error_code) == ("refused", "lossy_translation")


@pytest.mark.asyncio
async def test_the_refusal_of_a_strict_client_points_at_the_member():
    path, body, upstream, _ = LOSSY["openai-chat"]
    answer = await gateway(upstream).ask(body, path=path, headers={"x-routex-strict": "1"})
    assert answer.json["error"]["param"] == "seed"


@pytest.mark.asyncio
@pytest.mark.parametrize("strict", ["", "0", "false"])
async def test_a_client_that_is_not_strict_is_served(strict):
    path, body, upstream, _ = LOSSY["openai-chat"]
    assert (await gateway(upstream).ask(body, path=path, headers={"x-routex-strict": strict})).status == 200


@pytest.mark.asyncio
async def test_a_strict_client_is_served_where_nothing_is_lost():
    answer = await gateway("anthropic").ask(HI, headers={"x-routex-strict": "1"})
    assert answer.status == 200 and "x-routex-warnings" not in answer.headers


@pytest.mark.asyncio
async def test_what_is_kept_by_other_means_is_no_drop():
    body = HI | {"messages": [*HI["messages"], {"role": "system", "content": "Now be brief."}, *HI["messages"]]}
    answer = await gateway("anthropic").ask(body, headers={"x-routex-strict": "1"})
    assert answer.status == 200 and codes(answer) == ["emulated:system"]


@pytest.mark.asyncio
async def test_a_number_brought_within_limits_is_no_drop():
    harness = gateway("anthropic")
    harness.provider.capabilities = {"anthropic": Capabilities(max_temperature=1.0)}
    answer = await harness.ask(HI | {"temperature": 1.8}, headers={"x-routex-strict": "1"})
    assert answer.status == 200 and codes(answer) == ["clamped:temperature"]
    assert json.loads(harness.provider.sent[0].body)["temperature"] == 1.0


@pytest.mark.asyncio
async def test_a_strict_client_goes_on_to_a_channel_that_loses_nothing():
    channels = [channel("a", priority=1, format="anthropic"), channel("b", format="openai-chat")]
    harness = Harness(channels=channels)
    harness.provider.endpoints = {"anthropic": "/messages", "openai-chat": "/chat"}
    answer = await harness.ask(HI | {"seed": 7}, headers={"x-routex-strict": "1"})
    assert answer.status == 200 and answer.headers["x-routex-channel"] == "b"
    assert "x-routex-warnings" not in answer.headers and harness.record.warnings == ""
    assert harness.tried() == [("a", "cannot_carry"), ("b", "ok")]


@pytest.mark.asyncio
async def test_the_warnings_are_those_of_the_channel_that_answered():
    channels = [channel("a", priority=1, format="anthropic"), channel("b", format="openai-chat")]
    harness = Harness(Step(500), Step(), channels=channels)
    harness.provider.endpoints = {"anthropic": "/messages", "openai-chat": "/chat"}
    answer = await harness.ask(HI | {"seed": 7})
    assert answer.headers["x-routex-channel"] == "b" and "x-routex-warnings" not in answer.headers


@pytest.mark.asyncio
async def test_bytes_that_pass_lose_nothing():
    answer = await Harness(Step()).ask(HI | {"seed": 7, "unknown": 1}, headers={"x-routex-strict": "1"})
    assert answer.status == 200 and "x-routex-warnings" not in answer.headers


@pytest.mark.asyncio
async def test_a_stream_tells_what_was_lost_before_its_first_byte():
    harness = gateway("openai-chat", streamed(*GOOD_STREAM))
    answer = await harness.ask(LOSSY["anthropic"][1] | {"stream": True}, path=PATHS["anthropic"])
    assert "dropped:top_k" in codes(answer) and answer.body.rstrip().endswith(b'{"type":"message_stop"}')


CITED = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "So it is written."}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {
            "type": "citations_delta",
            "citation": {
                "type": "char_location",
                "cited_text": "so",
                "document_index": 0,
                "document_title": "A",
                "start_char_index": 0,
                "end_char_index": 2,
            },
        },
    },
    {"type": "content_block_stop", "index": 0},
]


@pytest.mark.asyncio
async def test_what_is_lost_on_the_way_back_is_in_the_record_even_of_a_stream():
    harness = gateway("anthropic", streamed(*claude.frames(claude.START, *CITED, *claude.END)))
    answer = await harness.ask(HI | {"stream": True, "seed": 7})
    assert codes(answer) == ["dropped:seed"], "the headers had left"
    assert harness.record.warnings == "dropped:seed, dropped:citations"


# --- headers that no client can spoil --------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_names_of_a_clients_own_make_no_header_of_their_own():
    body = HI | {"x\r\nset-cookie: a=b": 1, "comma, here": 1, "ü\x00": 1, "y" * 5000: 1}
    answer = await gateway("anthropic").ask(body)
    assert answer.status == 200
    assert codes(answer) == [
        "dropped:x__set-cookie:_a=b",
        "dropped:comma__here",
        "dropped:__",
        "dropped:" + "y" * 80,
    ]


@pytest.mark.asyncio
async def test_many_warnings_are_counted_once_the_header_is_full():
    names = [f"my_member_{number:03}" for number in range(400)]
    harness = gateway("anthropic")
    answer = await harness.ask(HI | dict.fromkeys(names, 1))
    header = answer.headers["x-routex-warnings"]
    *told, rest = header.split(", ")
    assert len(header) <= MAX_WARNINGS_CHARS < 4096
    assert told == [f"dropped:{name}" for name in names[: len(told)]] and len(told) > 100
    assert rest == f"more:{len(names) - len(told)}"
    record = harness.record.warnings
    assert len(record) <= LONG_TEXT_LIMITS["warnings"]
    assert header.startswith(record.rpartition(", ")[0])
    *kept, rest = record.split(", ")
    assert rest == f"more:{len(names) - len(kept)}"


@pytest.mark.asyncio
async def test_a_refusal_names_the_first_of_many():
    names = [f"my_member_{number:03}" for number in range(400)]
    harness = gateway("anthropic")
    answer = await harness.ask(HI | dict.fromkeys(names, 1), headers={"x-routex-strict": "1"})
    assert answer.status == 400 and len(answer.body) < 2000
    assert "`my_member_019` and 380 more would be lost" in answer.json["error"]["message"]


@pytest.mark.parametrize("count", range(12))
@pytest.mark.parametrize("limit", [30, 31, 32, 33, 40])
def test_a_list_keeps_whole_codes_within_its_limit(count, limit):
    given = [f"dropped:{number}" for number in range(count)]
    text = listed(given, limit)
    assert len(text) <= limit
    told = text.split(", ") if text else []
    if told and told[-1].startswith("more:"):
        assert int(told.pop().removeprefix("more:")) == count - len(told) > 0
    else:
        assert len(told) == count
    assert told == given[: len(told)]


def test_a_loss_is_refused_by_the_name_that_the_client_knows():
    losses = Losses({"stop": "stop_sequences"})
    losses.dropped("stop")
    losses.dropped("seed")
    losses.emulated("system")
    assert losses.drops == ("stop_sequences", "seed")
    assert lossy("`m` is served over x", losses.drops).param == "stop_sequences"


MODELS = {
    "anthropic": ("anthropic", "claude-sonnet-4-6"),
    "gemini": ("gemini", "gemini-3-flash"),
    "openai-chat": ("openai", "gpt-5.6"),
    "openai-responses": ("openai", "gpt-5.6"),
    "cohere": ("cohere", "command-a"),
}
THOUGHTS = {
    "openai-chat": ("anthropic", HI | {"reasoning_effort": "high"}, "messages", "reasoning_content"),
    "openai-responses": ("anthropic", {"model": "m", "reasoning": {"effort": "high"}}, "input", "reasoning"),
    "anthropic": ("gemini", HI | {"max_tokens": 9000, "thinking": {"type": "adaptive"}}, "messages", "thinking"),
    "gemini": (
        "openai-responses",
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}},
        "contents",
        "thought",
    ),
}
TURNS = {
    "openai-chat": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_content": "hm"},
        {"role": "user", "content": "c"},
    ],
    "openai-responses": [
        {"role": "user", "content": "a"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ],
    "anthropic": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}]},
        {"role": "user", "content": "c"},
    ],
    "gemini": [
        {"role": "user", "parts": [{"text": "a"}]},
        {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "b"}]},
        {"role": "user", "parts": [{"text": "c"}]},
    ],
}


@pytest.mark.parametrize("client", THOUGHTS)
def test_thinking_of_earlier_turns_is_told_by_its_own_name_and_not_as_the_wish_to_think(client):
    upstream, body, member, name = THOUGHTS[client]
    provider, model = MODELS[upstream]
    can = PROVIDERS[provider].capabilities_of(upstream, model)
    asked = json.dumps(body | {member: TURNS[client]}).encode()
    tried = Trial(client, upstream, model, provider, can).request(asked)
    assert set(tried.warnings) == {"dropped:thinking", f"dropped:{name}"}


# --- exactly what was lost, by the name that its author gave it ------------------------------------------------------

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8, "blocked_domains": ["a.example"]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
DECLARED = {"name": "f", "behavior": "NON_BLOCKING", "response": {"type": "OBJECT"}}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
NAMED = {"model": "m", "messages": [{"role": "user", "content": "hi", "name": "ann"}]}
TOLD = {
    "a speaker's name": ("openai-chat", "anthropic", NAMED, ["dropped:name"]),
    "a speaker's name, to Gemini": ("openai-chat", "gemini", NAMED, ["dropped:name"]),
    "a speaker's name, to Responses": ("openai-chat", "openai-responses", NAMED, ["dropped:name"]),
    "a speaker's name, to Cohere": ("openai-chat", "cohere", NAMED, ["dropped:name"]),
    "who the user is, as a safety identifier": (
        "openai-chat",
        "gemini",
        HI | {"safety_identifier": "ann"},
        ["dropped:user", "dropped:safety_identifier"],
    ),
    "a safety identifier that is kept": ("openai-chat", "anthropic", HI | {"safety_identifier": "ann"}, []),
    "how large a search is": (
        "openai-chat",
        "anthropic",
        HI | {"web_search_options": {"search_context_size": "high"}},
        ["emulated:web_search", "dropped:search_context_size"],
    ),
    "how often and where to search": (
        "anthropic",
        "openai-responses",
        HI | {"max_tokens": 99, "tools": [SEARCH]},
        ["emulated:web_search", "dropped:blocked_domains", "dropped:max_uses"],
    ),
    "where to search, which is kept": (
        "openai-responses",
        "anthropic",
        {"model": "m", "input": "hi", "tools": [{"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}]},
        ["emulated:web_search"],
    ),
    "examples of a tool's input": (
        "anthropic",
        "gemini",
        HI | {"max_tokens": 9, "tools": [TOOL | {"input_examples": [{"a": 1}]}]},
        ["dropped:input_examples"],
    ),
    "who may call a tool": (
        "anthropic",
        "openai-chat",
        HI | {"max_tokens": 9, "tools": [TOOL | {"allowed_callers": ["code_execution_20250825"]}]},
        ["dropped:allowed_callers"],
    ),
    "how a tool is sent": (
        "anthropic",
        "openai-chat",
        HI | {"max_tokens": 9, "tools": [TOOL | {"eager_input_streaming": True, "allowed_callers": ["direct"]}]},
        [],
    ),
    "what a function does while it runs, and its result": (
        "gemini",
        "anthropic",
        GEMINI | {"tools": [{"functionDeclarations": [DECLARED]}]},
        ["dropped:behavior", "dropped:response"],
    ),
    "a template's switch for thinking, which is kept": (
        "openai-chat",
        "anthropic",
        HI | {"chat_template_kwargs": {"enable_thinking": False}},
        [],
    ),
    "a template's other variables": (
        "openai-chat",
        "anthropic",
        HI | {"chat_template_kwargs": {"enable_thinking": False, "date": "today"}},
        ["dropped:chat_template_kwargs"],
    ),
    "any JSON object": (
        "gemini",
        "anthropic",
        GEMINI | {"generationConfig": {"responseMimeType": "application/json"}},
        ["emulated:response_format", "emulated:responseMimeType"],
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_exactly_what_was_lost_is_told(case):
    client, upstream, body, told = TOLD[case]
    provider, model = MODELS[upstream]
    can = PROVIDERS[provider].capabilities_of(upstream, model)
    assert list(Trial(client, upstream, model, provider, can).request(json.dumps(body).encode()).warnings) == told


def test_what_was_dropped_in_the_end_is_not_told_as_kept_by_other_means():
    losses = Losses({"web_search": "googleSearch"})
    losses.emulated("web_search")
    losses.emulated("system")
    losses.dropped("web_search")
    assert losses.codes == ("emulated:system", "dropped:web_search", "dropped:googleSearch")
