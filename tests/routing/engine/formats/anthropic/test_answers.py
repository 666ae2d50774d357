import json

import pytest
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.messages import (
    ChatAnswer,
    Choice,
    Citation,
    Finish,
    Media,
    Native,
    Reasoning,
    Text,
    ToolCall,
)
from routing.engine.provenance import unwrap, wrap
from tests.routing.engine.formats.anthropic.exchanges import CODEC, asked, exchange, parsed, state


def read(content=(), reason="end_turn", **members):
    message = {"id": "msg_up", "type": "message", "role": "assistant", "model": "claude-up", "content": content}
    usage = {"input_tokens": 20, "output_tokens": 9}
    body = {**message, "stop_reason": reason, "stop_sequence": None, "usage": usage, **members}
    return CODEC.decode_answer(json.dumps(body).encode(), exchange())


def told(*parts, finish="stop", usage=None, target="other", **of_finish):
    """Return what the official client makes of an answer."""
    exchanging = exchange(target=target)
    answer = ChatAnswer("up", "m", 0, (Choice(parts, Finish(finish, **of_finish)),), usage)
    message = parsed(CODEC.encode_answer(answer, exchanging))
    return message, exchanging.answer_losses.codes


# --- read ----------------------------------------------------------------------------------------------------------


def test_blocks_become_parts_in_order():
    search = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"q": 1}}
    answer = read(
        [
            {"type": "thinking", "thinking": "plan", "signature": "sig"},
            {"type": "redacted_thinking", "data": "dark"},
            search,
            {"type": "text", "text": "A"},
            {"type": "text", "text": "B"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}, "caller": {"type": "direct"}},
            {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {"é": "中"}},
        ],
        "tool_use",
    )
    (choice,) = answer.choices
    assert choice.parts == (
        Reasoning(("plan",), state("sig")),
        Reasoning(state=state("dark", "redacted"), is_redacted=True),
        Native("anthropic", "server_tool_use", search),
        Text("A"),
        Text("B"),
        ToolCall("toolu_1", "f", native={"caller": {"type": "direct"}}),
        ToolCall("toolu_2", "g", '{"é":"中"}'),
    )
    assert choice.finish == Finish("tool_calls")
    assert (answer.id, answer.model) == ("msg_up", "claude-up")


def test_citations_say_where_in_the_joined_text_they_stand():
    web = {"type": "web_search_result_location", "url": "https://e.com", "title": "T", "cited_text": "q"}
    book = {"type": "char_location", "document_title": "D", "cited_text": "c", "start_char_index": 900}
    parts = read(
        [
            {"type": "text", "text": "abc"},
            {"type": "text", "text": "de", "citations": [web, book, "odd"]},
            {"type": "text", "text": "f", "citations": None},
        ]
    )
    assert parts.choices[0].parts[1].citations == (
        Citation("https://e.com", "T", 3, 5, "q", web, "anthropic"),
        Citation("", "D", 3, 5, "c", book, "anthropic"),
    )


@pytest.mark.parametrize(
    ("reason", "members", "finish"),
    [
        ("end_turn", {}, Finish("stop")),
        ("max_tokens", {}, Finish("length")),
        (
            "model_context_window_exceeded",
            {},
            Finish("length", detail="model_context_window_exceeded"),
        ),
        ("stop_sequence", {"stop_sequence": "END"}, Finish("stop_sequence", "END")),
        ("pause_turn", {}, Finish("pause")),
        ("refusal", {}, Finish("filter")),
        (
            "refusal",
            {"stop_details": {"type": "refusal", "category": "bio", "explanation": "No."}},
            Finish("filter", message="No.", detail="bio"),
        ),
        ("tool_use", {}, Finish("stop")),
        ("of_the_future", {}, Finish("other", detail="of_the_future")),
        (None, {}, Finish("stop")),
        (["odd"], {}, Finish("stop")),
    ],
)
def test_stop_reasons(reason, members, finish):
    assert read([{"type": "text", "text": "x"}], reason, **members).choices[0].finish == finish


@pytest.mark.parametrize("reason", ["end_turn", "stop_sequence", "pause_turn", None])
def test_a_call_outranks_what_the_upstream_says(reason):
    assert read([{"type": "tool_use", "id": "t", "name": "f", "input": {}}], reason).choices[0].finish == Finish(
        "tool_calls"
    )


@pytest.mark.parametrize(
    ("usage", "meant"),
    [
        ({"input_tokens": 20, "output_tokens": 9}, Usage(input_tokens=20, output_tokens=9)),
        (
            {
                "input_tokens": 20,
                "output_tokens": 9,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 4},
            },
            Usage(input_tokens=127, output_tokens=9, cache_read_tokens=100, cache_write_tokens=7, reasoning_tokens=4),
        ),
        (
            {"input_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}},
            Usage(input_tokens=6, cache_write_tokens=5, cache_write_1h_tokens=3),
        ),
        ({"input_tokens": None, "output_tokens": "9", "cache_read_input_tokens": -4}, Usage()),
        (None, None),
        ("odd", None),
    ],
)
def test_usage(usage, meant):
    assert read(usage=usage).usage == meant


@pytest.mark.parametrize(("tier", "meant"), [("standard", "default"), ("priority", "priority"), (None, "")])
def test_service_tier(tier, meant):
    assert read(usage={"input_tokens": 1, "output_tokens": 1, "service_tier": tier}).service_tier == meant


def test_what_is_odd_is_read_for_what_it_is():
    assert read(content="plain").choices[0].parts == (Text("plain"),)
    assert CODEC.decode_answer(b'{"content":null,"stop_reason":"end_turn"}', exchange()).choices[0].parts == ()
    calls = [{"type": "tool_use", "id": "t", "name": "f", "input": '{"a": 1}'}] * 2
    odd = [None, 5, [], {"type": 7}, {"type": "text"}, {"type": "text", "text": None}, {"type": "thinking"}]
    first, second = read([*odd, *calls]).choices[0].parts
    assert (first.id, first.arguments, second.name) == ("t", '{"a": 1}', "f")
    assert second.id not in {"", "t"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        b'{"error":"Overloaded"}',
        b"[" * 100_000,
        b'{"content":' + b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_an_error(body):
    with pytest.raises(ValueError, match=r"."):
        CODEC.decode_answer(body, exchange())


def test_half_a_character_is_replaced():
    call = b'{"type":"tool_use","id":"t","name":"f","input":{"b":"\\ude42"}}'
    body = b'{"content":[{"type":"text","text":"a\\ud83d"},%s],"stop_reason":"tool_use"}' % call
    parts = CODEC.decode_answer(body, exchange()).choices[0].parts
    assert (parts[0].text, parts[1].arguments) == ("a�", '{"b":"�"}')


# --- told ----------------------------------------------------------------------------------------------------------


def test_every_member_that_the_client_reads_is_there():
    message, losses = told(Text("hi"))
    assert message["id"] == "msg_0123"
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", "asked")
    assert message["content"] == [{"type": "text", "text": "hi"}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    assert message["usage"]["input_tokens"] == message["usage"]["output_tokens"] == 0
    assert losses == ()


def test_input_is_told_without_what_was_cached():
    usage = Usage(input_tokens=15305, output_tokens=5, cache_read_tokens=15104, reasoning_tokens=2)
    counted = told(Text("x"), usage=usage)[0]["usage"]
    assert (counted["input_tokens"], counted["cache_read_input_tokens"], counted["output_tokens"]) == (201, 15104, 5)
    assert counted["output_tokens_details"] == {"thinking_tokens": 2}
    assert told(usage=Usage(input_tokens=5, cache_read_tokens=9))[0]["usage"]["input_tokens"] == 0


def test_thinking_is_always_signed():
    foreign = state("enc", "rs_1", format="openai-responses")
    message, _ = told(Reasoning(("a", "b"), foreign), Reasoning(("c",)), Reasoning(state=foreign), Text("x"))
    shown, unsigned, hidden, _ = message["content"]
    assert (shown["thinking"], unwrap(shown["signature"])) == ("a\n\nb", foreign)
    assert (unsigned["thinking"], unwrap(unsigned["signature"]).blob) == ("c", "")
    assert (hidden["type"], unwrap(hidden["data"])) == ("redacted_thinking", foreign)


def test_own_thinking_that_is_not_shown_stays_thinking():
    message, _ = told(Reasoning(state=state("sig")), Reasoning(state=state("dark", "redacted")), target="anthropic")
    omitted, dark = message["content"]
    assert (omitted["type"], omitted["thinking"], omitted["signature"]) == ("thinking", "", wrap(state("sig")))
    assert dark == {"type": "redacted_thinking", "data": wrap(state("dark", "redacted"))}


def test_a_calls_state_is_lent_to_the_thinking_before_it():
    lent = state("sig", "call", format="gemini")
    message, _ = told(Reasoning(("a",)), Text(""), ToolCall("t1", "f", state=lent), ToolCall("t2", "f", state=lent))
    assert [block["type"] for block in message["content"]] == ["thinking", "tool_use", "tool_use"]
    assert unwrap(message["content"][0]["signature"]) == lent
    message, _ = told(ToolCall("t1", "f", state=lent))
    assert [block["type"] for block in message["content"]] == ["redacted_thinking", "tool_use"]
    history = asked(messages=[{"role": "assistant", "content": message["content"]}]).messages[0].parts
    assert history == (ToolCall("t1", "f", "{}", state=lent),)


def test_a_calls_state_is_lent_over_the_text_between():
    lent = state("sig", "call", format="gemini")
    message, _ = told(Reasoning(("a",)), Text("x"), ToolCall("t1", "f", state=lent))
    assert [block["type"] for block in message["content"]] == ["thinking", "text", "tool_use"]
    history = asked(messages=[{"role": "assistant", "content": message["content"]}]).messages[0].parts
    assert history == (Reasoning(("a",)), Text("x"), ToolCall("t1", "f", "{}", state=lent))


@pytest.mark.parametrize("between", [(), (Text("x"),)])
def test_a_calls_state_that_no_thinking_can_carry_has_a_block_of_its_own(between):
    own, proof = state("own", format="gemini"), state("sig", "call", format="gemini")
    message, _ = told(Reasoning(("a",), own), *between, ToolCall("t1", "f", state=proof))
    kinds = [block["type"] for block in message["content"]]
    assert kinds == ["thinking", *["text" for _ in between], "redacted_thinking", "tool_use"]
    history = asked(messages=[{"role": "assistant", "content": message["content"]}]).messages[0].parts
    assert history == (Reasoning(("a",), own), *between, ToolCall("t1", "f", "{}", state=proof))


def test_calls():
    message, losses = told(
        ToolCall("functions.f:0", "f", '{"city": "Oslo"}'), ToolCall("t2", "ping"), ToolCall("t3", "g", '{"a": "to')
    )
    assert [block["input"] for block in message["content"]] == [{"city": "Oslo"}, {}, {"a": "to"}]
    assert message["content"][0]["id"].startswith("call_")
    assert message["stop_reason"] == "tool_use"
    assert losses == ("emulated:tool_arguments",)


def test_members_of_a_call_come_back_to_their_own_format_only():
    call = ToolCall("t1", "f", native={"caller": {"type": "direct"}})
    assert told(call, target="anthropic")[0]["content"][0]["caller"] == {"type": "direct"}
    assert "caller" not in told(call)[0]["content"][0]


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        (Finish("stop"), "end_turn"),
        (Finish("stop_sequence", "END"), "stop_sequence"),
        (Finish("stop_sequence"), "stop_sequence"),
        (Finish("length"), "max_tokens"),
        (Finish("length", detail="model_context_window_exceeded"), "max_tokens"),
        (Finish("tool_calls"), "end_turn"),
        (Finish("filter"), "refusal"),
        (Finish("pause"), "pause_turn"),
        (Finish("other", detail="RECITATION_OR_SO"), "end_turn"),
    ],
)
def test_why_it_ended(finish, stop):
    answer = ChatAnswer(choices=(Choice((Text("x"),), finish),))
    message = parsed(CODEC.encode_answer(answer, exchange(target="other")))
    assert message["stop_reason"] == stop
    assert message["stop_sequence"] == (finish.sequence or None)
    with_call = replace(answer, choices=(Choice((ToolCall("t", "f"),), finish),))
    message = parsed(CODEC.encode_answer(with_call, exchange(target="other")))
    assert message["stop_reason"] == (stop if stop in {"max_tokens", "refusal"} else "tool_use")


def test_the_only_stop_sequence_that_was_asked_for_is_the_one_that_stopped():
    ended = ChatAnswer(choices=(Choice((Text("x"),), Finish("stop_sequence")),))
    for asked_for, told_of in ((("END",), "END"), (("A", "B"), None)):
        talk = exchange(target="other")
        talk.request = replace(talk.request, stop=asked_for)
        assert parsed(CODEC.encode_answer(ended, talk))["stop_sequence"] == told_of


def test_own_stop_reasons_come_back():
    for finish, stop in (
        (Finish("length", detail="model_context_window_exceeded"), "model_context_window_exceeded"),
        (Finish("other", detail="compaction"), "compaction"),
    ):
        answer = ChatAnswer(choices=(Choice((Text("x"),), finish),))
        assert json.loads(CODEC.encode_answer(answer, exchange()))["stop_reason"] == stop


def test_refusals():
    message, _ = told(Text("I can't.", is_refusal=True))
    assert (message["content"][0]["text"], message["stop_reason"]) == ("I can't.", "refusal")
    message, _ = told(finish="filter", message="No.", detail="bio", target="anthropic")
    assert message["content"] == [{"type": "text", "text": "No."}]
    assert message["stop_details"] == {"type": "refusal", "category": "bio", "explanation": "No."}
    message, _ = told(finish="filter", detail="SAFETY")
    assert message["content"][0]["text"]
    assert message["stop_details"]["category"] is None


def test_an_odd_end_says_why_where_nothing_else_is_said():
    assert told(finish="other", message="Malformed call.")[0]["content"][0]["text"] == "Malformed call."
    assert told(Text("x"), finish="other", message="Malformed call.")[0]["content"] == [{"type": "text", "text": "x"}]
    assert told(finish="length")[0]["content"] == []


def test_citations_of_other_formats_are_told_as_web_searches():
    own = {"type": "char_location", "cited_text": "q", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
    cited = Text(
        "x",
        citations=(Citation("https://e.com", "T"), Citation(native=own, format="anthropic"), Citation(title="no url")),
    )
    message, losses = told(cited)
    web, kept = message["content"][0]["citations"]
    assert (web["type"], web["url"], web["title"]) == ("web_search_result_location", "https://e.com", "T")
    assert kept["type"] == "char_location"
    assert losses == ("dropped:citations",)
    # On the way back it is not taken for a genuine one.
    history = asked(messages=[{"role": "assistant", "content": message["content"]}]).messages[0].parts[0]
    assert [citation.native is None for citation in history.citations] == [True, False]


def test_what_has_no_place_is_noted():
    parts = (Media("image", data="x"), Media("image", url="https://e.com/a.png"), Native("gemini", "code", {}))
    message, losses = told(*parts)
    assert message["content"] == [{"type": "text", "text": "![](https://e.com/a.png)"}]
    assert losses == ("dropped:image", "dropped:code")


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "Overloaded", True),
        ({"error": {"type": "new_word", "message": "m"}}, "m", False),
        ({"error": "plain"}, "plain", False),
        ({"message": "of the host"}, "of the host", False),
        ({"error": {"message": {"odd": 1}}}, "", False),
        ([], "", False),
    ],
)
def test_error_answers(body, message, kind):
    failure = CODEC.decode_error(json.dumps(body).encode(), {})
    assert (failure.message, bool(failure.kind)) == (message, kind)


def test_pages_of_proxies_say_nothing():
    assert CODEC.decode_error(b"<html>502</html>", {}).message == ""


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({b"retry-after": b"7"}, 7.0),
        ({b"retry-after-ms": b"1500", b"retry-after": b"7"}, 1.5),
        ({b"retry-after": b"soon"}, None),
        (
            {
                b"anthropic-ratelimit-tokens-remaining": b"5",
                b"anthropic-ratelimit-tokens-reset": b"2030-01-01T00:00:00Z",
            },
            None,
        ),
        (
            {
                b"anthropic-ratelimit-tokens-remaining": b"0",
                b"anthropic-ratelimit-tokens-reset": b"2020-01-01T00:00:00Z",
            },
            0.0,
        ),
        ({b"anthropic-ratelimit-tokens-remaining": b"0", b"anthropic-ratelimit-tokens-reset": b"odd"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers, wait_s):
    assert CODEC.decode_error(b"{}", headers).retry_after_s == wait_s


def test_the_limit_that_is_used_up_says_when_it_is_full_again():
    limits = {
        b"anthropic-ratelimit-requests-remaining": b"0",
        b"anthropic-ratelimit-requests-reset": b"2999-01-01T00:00:00Z",
    }
    assert CODEC.decode_error(b"{}", limits).retry_after_s > 1000
    limits.pop(b"anthropic-ratelimit-requests-remaining")
    assert CODEC.decode_error(b"{}", limits).retry_after_s > 1000
    limits[b"anthropic-ratelimit-requests-status"] = b"allowed_warning"
    assert CODEC.decode_error(b"{}", limits).retry_after_s is None
