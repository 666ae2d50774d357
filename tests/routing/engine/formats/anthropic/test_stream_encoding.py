import json
import random

import anthropic
import pytest

from analytics.engine.record import Usage
from routing.engine import errors
from routing.engine.answers import events_of
from routing.engine.messages import (
    Began,
    ChatAnswer,
    Choice,
    Citation,
    Cited,
    Ended,
    Finish,
    Finished,
    LogprobsDelta,
    Media,
    Native,
    PartEnded,
    PartMade,
    Reasoning,
    ReasoningDelta,
    ReasoningState,
    Text,
    TextDelta,
    TextState,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.provenance import unwrap, wrap
from tests.routing.engine.formats.anthropic.exchanges import (
    ASKED,
    CODEC,
    CUTS,
    accumulated,
    assert_grammar,
    encoded,
    exchange,
    parsed,
    pieces,
    read_events,
    sdk,
    state,
)

BEGAN, ENDED = Began("up", "m"), (Finished(Finish("stop")), Ended())


def told(*events, target="other", size=7):
    """Return what the official client makes of the events between the first and the last."""
    body = encoded((BEGAN, *events, *ENDED), exchange(target=target))
    assert_grammar(body)
    return accumulated(body, size)


def content(*events, **options):
    return told(*events, **options)["content"]


def call(number, name="f", *arguments, ended=True, **more):
    deltas = [ToolDelta(number, piece) for piece in arguments]
    return (ToolBegan(number, f"t{number}", name, **more), *deltas, *([ToolEnded(number)] if ended else []))


def use(number, given, name="f"):
    return {"type": "tool_use", "id": f"t{number}", "name": name, "input": given}


@pytest.mark.parametrize("size", CUTS)
def test_a_whole_stream(size):
    usage = Usage(input_tokens=30, output_tokens=10, cache_read_tokens=12)
    body = encoded(
        (
            BEGAN,
            ReasoningDelta("plan "),
            ReasoningDelta("it"),
            TextDelta("Grüße "),
            TextDelta("中文🙂"),
            *call(0, "f", '{"x"', ": 1}"),
            *call(1, "g"),
            Finished(Finish("stop")),
            UsageReport(usage),
            Ended(),
        )
    )
    assert_grammar(body)
    message = accumulated(body, size)
    thinking, *rest = message["content"]
    assert (thinking["type"], thinking["thinking"], bool(thinking["signature"])) == ("thinking", "plan it", True)
    assert rest == [{"type": "text", "text": "Grüße 中文🙂"}, use(0, {"x": 1}), use(1, {}, "g")]
    assert (message["id"], message["model"], message["stop_reason"]) == ("msg_0123", "asked", "tool_use")
    counted = message["usage"]
    assert (counted["input_tokens"], counted["cache_read_input_tokens"], counted["output_tokens"]) == (18, 12, 10)


def test_late_usage_is_waited_for():
    encoder = CODEC.stream_encoder(exchange(target="other"))
    early = [encoder.encode(each) for each in (BEGAN, UsageReport(Usage(output_tokens=1)), TextDelta("x"))]
    assert encoder.encode(Finished(Finish("stop"))) == b""
    assert encoder.encode(UsageReport(Usage(output_tokens=7))) == b""
    last = encoder.encode(Ended())
    assert accumulated(b"".join([*early, last]))["usage"]["output_tokens"] == 7


def test_what_says_nothing_is_not_told():
    assert content(TextDelta(""), ReasoningDelta(""), PartEnded(), LogprobsDelta([]), TextState(state("s"))) == []
    assert content(TextDelta("x", choice=1), ToolBegan(0, "t", "f", choice=1), TextDelta("y")) == [
        {"type": "text", "text": "y"}
    ]


def test_a_change_of_kind_ends_what_was_open():
    blocks = content(
        ReasoningDelta("a"), TextDelta("b"), ReasoningDelta("c"), TextDelta("d"), PartEnded(), TextDelta("e")
    )
    assert [block.get("text", block.get("thinking")) for block in blocks] == ["a", "b", "c", "d", "e"]


def test_parts_of_one_thought_are_one_block():
    (block,) = content(ReasoningDelta("a"), ReasoningDelta("b", part=1), ReasoningDelta("c", part=1))
    assert block["thinking"] == "a\n\nbc"


def test_the_signature_is_the_last_of_its_block_and_whole():
    signed = state("sig", "rs_1", format="openai-responses")
    body = encoded((BEGAN, ReasoningDelta("a"), ReasoningState(signed), TextDelta("x"), *ENDED))
    kinds = [each.get("delta", {}).get("type", each["type"]) for each in read_events(body)]
    assert kinds[2:5] == ["thinking_delta", "signature_delta", "content_block_stop"]
    assert unwrap(accumulated(body)["content"][0]["signature"]) == signed


def test_thinking_without_text():
    foreign, own, dark = state("enc", format="gemini"), state("sig"), state("dark", "redacted")
    hidden, omitted, redacted = content(
        ReasoningState(foreign), ReasoningState(own), ReasoningState(dark, is_redacted=True)
    )
    assert hidden == {"type": "redacted_thinking", "data": wrap(foreign)}
    assert omitted == {"type": "thinking", "thinking": "", "signature": wrap(own)}
    assert redacted == {"type": "redacted_thinking", "data": wrap(dark)}


# --- calls ---------------------------------------------------------------------------------------------------------


def test_calls_that_take_turns_are_told_one_after_another():
    assert content(
        *(ToolBegan(number, f"t{number}", "f") for number in range(3)),
        ToolDelta(1, '{"b"'),
        ToolDelta(0, '{"a": "}'),
        ToolDelta(2, "{}"),
        ToolDelta(0, '\\"'),
        ToolDelta(1, ": 1}"),
        ToolDelta(0, '"}'),
    ) == [use(0, {"a": '}"'}), use(1, {"b": 1}), use(2, {})]


def test_a_call_waits_no_longer_than_until_the_one_before_it_is_whole():
    encoder = CODEC.stream_encoder(exchange(target="other"))

    def types(event):
        return [each["type"] for each in read_events(encoder.encode(event))]

    for event in (BEGAN, ToolBegan(0, "t0", "f"), ToolBegan(1, "t1", "f"), ToolDelta(1, '{"b":')):
        encoder.encode(event)
    assert types(ToolDelta(0, '{"a":1')) == ["content_block_delta"]
    assert types(ToolDelta(0, "}")) == [
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
    ]
    assert types(ToolDelta(1, "1}")) == ["content_block_delta"]
    assert types(ToolBegan(2, "t2", "f")) == ["content_block_stop", "content_block_start"]


def test_calls_without_arguments_end_by_what_follows():
    begun = [ToolBegan(number, f"t{number}", "f") for number in range(2)]
    assert content(*begun, TextDelta("x"), *call(2)) == [
        use(0, {}),
        use(1, {}),
        {"type": "text", "text": "x"},
        use(2, {}),
    ]
    assert content(*begun, ToolEnded(1), ToolEnded(0)) == [use(0, {}), use(1, {})]
    assert content(*begun, ToolDelta(1, '{"a":1}'), ReasoningDelta("hm"))[:2] == [use(0, {}), use(1, {"a": 1})]


def test_what_is_said_between_the_pieces_of_arguments_follows_them():
    pieces = [ToolBegan(0, "t0", "f"), ToolDelta(0, '{"a"'), TextDelta("x"), ToolDelta(0, ":1}")]
    text = {"type": "text", "text": "x"}
    assert content(*pieces) == [use(0, {"a": 1}), text]
    assert content(*pieces[:2], TextDelta("x"), ToolBegan(1, "t1", "f"), *pieces[3:]) == [
        use(0, {"a": 1}),
        use(1, {}),
        text,
    ]
    thought = content(*pieces[:2], ReasoningDelta("hm"), TextDelta("x"), *pieces[3:], TextDelta("y"))
    assert [block["type"] for block in thought] == ["tool_use", "thinking", "text"]
    assert (thought[0], thought[2]["text"]) == (use(0, {"a": 1}), "xy")


def test_the_message_starts_with_what_is_known_of_its_input():
    def started(began, reckoned=0):
        asked = exchange(target="other")
        asked.input_tokens = reckoned
        return read_events(CODEC.stream_encoder(asked).encode(began))[0]["message"]["usage"]

    known = Usage(input_tokens=30, cache_read_tokens=10, output_tokens=1)
    assert started(Began("up", "m", usage=known), 99) | {"cache_read_input_tokens": 10} == started(Began(usage=known))
    assert started(Began("up", "m", usage=known))["input_tokens"] == 20
    assert started(Began("up", "m"), 12)["input_tokens"] == 12


def test_arguments_that_break_off_are_told_as_they_are():
    body = encoded((BEGAN, *call(0, "f", '{"a": "to'), Finished(Finish("length")), Ended()))
    assert [each["delta"]["partial_json"] for each in read_events(body) if "partial_json" in each.get("delta", ())] == [
        '{"a": "to'
    ]
    assert accumulated(body)["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (("not", " json"), {}),
        (("[1,", "2]"), {"value": [1, 2]}),
        ((" ", "\n{", "}"), {}),
        (('"{\\"a\\":', '1}"'), {"a": 1}),
    ],
)
def test_arguments_that_are_no_object_become_one(arguments, given):
    assert content(*call(0, "f", *arguments), TextDelta("x"))[0] == use(0, given)
    waiting = (ToolBegan(0, "t0", "f"), *call(1, "f", *arguments), ToolEnded(0))
    assert content(*waiting) == [use(0, {}), use(1, given)]


def test_what_follows_whole_arguments_is_left_out():
    exchanging = exchange(target="other")
    body = encoded((BEGAN, *call(0, "f", "{}", " ", '{"a": 1}'), *ENDED), exchanging)
    assert accumulated(body)["content"] == [use(0, {})]
    assert exchanging.answer_losses.codes == ("dropped:tool_arguments",)


def test_calls_taking_turns_at_random_keep_all_their_pieces():
    arguments = [json.dumps({"n": number, "s": '"}{[\\', "l": [[{}], "é🙂"]}) for number in range(4)]
    for seed in range(60):
        dice = random.Random(seed)
        events = [ToolBegan(number, f"t{number}", "f") for number in range(4)]
        left = list(arguments)
        while any(left):
            number = dice.choice([number for number, rest in enumerate(left) if rest])
            length = dice.randint(1, 9)
            events.append(ToolDelta(number, left[number][:length]))
            left[number] = left[number][length:]
            if not left[number] and dice.random() < 0.5:
                events.append(ToolEnded(number))
        blocks = [json.dumps(block["input"]) for block in content(*events, size=4096)]
        assert blocks == arguments


def test_a_calls_state_is_lent_to_the_thinking_before_it():
    lent = state("sig", "call", format="gemini")
    for between in ((), (PartEnded(),)):
        thinking, _, _ = content(ReasoningDelta("a"), *between, *call(0, state=lent), *call(1, state=lent))
        assert unwrap(thinking["signature"]) == lent
    thinking, *_ = content(ReasoningDelta("a"), TextDelta("x"), *call(0, state=lent))
    assert unwrap(thinking["signature"]).blob == ""
    redacted, _ = content(*call(0, state=lent))
    assert redacted == {"type": "redacted_thinking", "data": wrap(lent)}


def test_a_calls_state_that_no_thinking_can_carry_has_a_block_of_its_own():
    own, proof = state("own", format="gemini"), state("sig", "call", format="gemini")
    told = content(ReasoningDelta("a"), ReasoningState(own), *call(0, state=proof))
    assert told[0] == {"type": "thinking", "thinking": "a", "signature": wrap(own)}
    assert told[1] == {"type": "redacted_thinking", "data": wrap(proof)}
    told = content(ReasoningDelta("a"), ReasoningState(own), TextDelta("x"), *call(0, state=proof))
    assert [block["type"] for block in told] == ["thinking", "text", "redacted_thinking", "tool_use"]
    told = content(ReasoningDelta("a"), TextDelta("x"), *call(0, state=proof))
    assert [block["type"] for block in told] == ["thinking", "text", "tool_use"]


def test_ids_fit_the_format():
    (block,) = content(ToolBegan(0, "functions.f:0", "f"))
    assert block["id"].startswith("call_")


# --- what else an answer holds -------------------------------------------------------------------------------------


def test_tools_that_the_upstream_ran_come_back_to_their_own_format():
    search = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}
    events = (TextDelta("a"), *(PartMade(Native("anthropic", each["type"], each)) for each in (search, found)))
    assert content(*events, TextDelta("b"), target="anthropic")[1:3] == [search, found]
    exchanging = exchange(target="gemini")
    encoded((BEGAN, PartMade(Native("gemini", "code", {})), PartMade(Media("image", data="x"))), exchanging)
    assert exchanging.answer_losses.codes == ("dropped:code", "dropped:image")


def test_citations():
    own = {
        "type": "page_location",
        "cited_text": "q",
        "document_index": 0,
        "start_page_number": 1,
        "end_page_number": 2,
    }
    (block,) = content(
        TextDelta("x"),
        Cited(Citation(native=own, format="anthropic")),
        Cited(Citation("https://e.com", "T")),
        Cited(Citation(title="no place")),
        PartEnded(),
        Cited(Citation("https://late.com")),
    )
    assert [citation["type"] for citation in block["citations"]] == ["page_location", "web_search_result_location"]
    assert unwrap(block["citations"][1]["encrypted_index"]).place == "citation"


@pytest.mark.parametrize(
    ("finish", "stop", "said"),
    [
        (Finish("filter", message="No."), "refusal", "No."),
        (Finish("filter"), "refusal", "The model refused to answer."),
        (Finish("other", message="Malformed call."), "end_turn", "Malformed call."),
        (Finish("stop_sequence", "END"), "stop_sequence", ""),
        (Finish("pause"), "pause_turn", ""),
    ],
)
def test_how_it_ended(finish, stop, said):
    message = accumulated(encoded((BEGAN, Finished(finish), Ended())))
    assert message["stop_reason"] == stop
    assert [block["text"] for block in message["content"]] == ([said] if said else [])


def test_a_refusal_is_one_whatever_the_upstream_calls_it():
    assert told(TextDelta("I can't.", is_refusal=True))["stop_reason"] == "refusal"


FILE = Native("anthropic", "container_upload", {"type": "container_upload", "file_id": "file_1"})


@pytest.mark.parametrize(
    "parts",
    [
        (Text("a"), Text("b")),
        (Reasoning(("a", "b"), state("sig")), Text("x"), ToolCall("t1", "f", '{"a":1}')),
        (Reasoning(("a",)), Text(""), ToolCall("t1", "f", state=state("s", "call", format="gemini"))),
        (ToolCall("t1", "f", state=state("s", "call", format="gemini")), ToolCall("t2", "f", "{}")),
        (Reasoning(state=state("e", format="gemini")), Text("x", citations=(Citation("https://e.com", "T"),))),
        (Reasoning(()), Media("image", url="https://e.com/a.png"), FILE),
        (ToolCall("", "f", '{"a":1}'), Text("after"), Reasoning(("late",)), Text("no", is_refusal=True)),
        (),
    ],
)
@pytest.mark.parametrize("finish", [Finish("stop"), Finish("length"), Finish("filter", message="m")])
def test_streamed_and_whole_are_the_same_answer(parts, finish):
    usage = Usage(input_tokens=9, output_tokens=5, cache_read_tokens=2, reasoning_tokens=1)
    answer = ChatAnswer("up", "m", 0, (Choice(parts, finish),), usage)
    whole = parsed(CODEC.encode_answer(answer, exchange(target="other")))
    streamed = accumulated(encoded(events_of(answer)))
    for message in (whole, streamed):
        message["usage"].pop("service_tier", None)
        for block in message["content"]:
            if block["type"] == "tool_use" and parts and parts[0] == ToolCall("", "f", '{"a":1}'):
                block["id"] = "minted"
    assert streamed == whole


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [(), (BEGAN,), (BEGAN, TextDelta("x")), (BEGAN, *call(0, "f", "{", ended=False))])
def test_an_error_ends_the_stream_so_that_the_client_raises(events):
    encoder = CODEC.stream_encoder(exchange(target="other"))
    body = b"".join(encoder.encode(event) for event in events) + encoder.fail(errors.Overloaded("Too busy."), "req_1")
    read = read_events(body)
    assert (read[0]["type"], read[-1]["type"]) == ("message_start", "error")
    with pytest.raises(anthropic.APIStatusError) as raised, sdk(pieces(body, 7)).messages.stream(**ASKED) as stream:
        stream.get_final_message()
    assert raised.value.body["error"] == {"type": "overloaded_error", "message": "Too busy."}
