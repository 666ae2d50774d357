import json

import pytest

from analytics.engine.record import Usage
from routing.engine.errors import BadRequest
from routing.engine.format import Route
from routing.engine.formats import FORMATS
from tests.routing.engine.formats.recorded import reader, run, stream

CHAT = FORMATS["openai-chat"]


def read(**body):
    raw = json.dumps({"messages": [], "model": "gpt", **body}).encode()
    return raw, CHAT.read_request(Route("openai-chat"), {}, raw)


def event(data: object) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


def chunk(delta=None, finish=None, index=0, **more) -> bytes:
    return event({"choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **more})


ROLE, TEXT, END, DONE = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "x"}),
    chunk(finish="stop"),
    b"data: [DONE]\n\n",
)
USAGE = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})


def test_request_facts():
    _, asked = read(stream=True, stream_options={"include_usage": True}, prompt_cache_key="ses", n=2)
    assert (asked.model, asked.is_stream, asked.wants_usage, asked.session_hint, asked.choices) == (
        "gpt",
        True,
        True,
        "ses",
        2,
    )


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": None}, "odd", [1]])
def test_usage_is_not_asked_by_other_options(options):
    assert not read(stream=True, stream_options=options)[1].wants_usage


def test_whole_answers_always_carry_usage():
    assert read()[1].wants_usage


@pytest.mark.parametrize("odd", [{"prompt_cache_key": 5}, {"n": "2"}, {"n": None}, {"stream_options": 3}])
def test_what_routing_does_not_need_is_left_for_the_upstream_to_judge(odd):
    assert read(stream=True, **odd)[1].model == "gpt"


def test_numbers_beyond_all_bounds_are_left_for_the_upstream_to_judge():
    raw = b'{"model":"gpt","messages":[],"stream":true,"n":1e9999}'
    assert CHAT.read_request(Route("openai-chat"), {}, raw).choices == 1


def test_stream_flag_must_be_a_flag():
    with pytest.raises(BadRequest) as caught:
        read(stream="yes")
    assert caught.value.param == "stream"


def test_usage_is_asked_for_and_other_options_are_kept():
    raw, asked = read(stream=True, temperature=1.0)
    assert CHAT.write_request(raw, asked, "gpt") == b'{"stream_options":{"include_usage":true},' + raw[1:]
    raw, asked = read(stream=True, stream_options={"include_obfuscation": False, "include_usage": False})
    assert json.loads(CHAT.write_request(raw, asked, "up")) == json.loads(raw) | {
        "model": "up",
        "stream_options": {"include_obfuscation": False, "include_usage": True},
    }
    raw, asked = read(stream=True, stream_options=None)
    assert json.loads(CHAT.write_request(raw, asked, "gpt"))["stream_options"] == {"include_usage": True}


def test_nothing_is_added_where_usage_comes_anyway():
    raw, asked = read(stream=True, stream_options={"include_usage": True})
    assert CHAT.write_request(raw, asked, "gpt") is raw
    raw, asked = read()
    assert CHAT.write_request(raw, asked, "gpt") is raw


@pytest.mark.parametrize(
    ("case", "usage"),
    [
        ("text", Usage(input_tokens=1200, output_tokens=57, cache_read_tokens=1024, reasoning_tokens=40)),
        (
            "tools_reasoning",
            Usage(
                input_tokens=1200, output_tokens=57, cache_read_tokens=100, cache_write_tokens=24, reasoning_tokens=40
            ),
        ),
        ("azure_two_choices", Usage(input_tokens=1200, output_tokens=57, cache_read_tokens=1024, reasoning_tokens=40)),
        ("crlf_comments", Usage(input_tokens=8, output_tokens=4, cache_read_tokens=6)),
    ],
)
def test_usage_and_model_of_recorded_streams(case, usage):
    reading = reader("openai-chat")
    run(reading, stream("openai-chat", case))
    assert (reading.usage, reading.model) == (usage, "gpt-5.6-luna-2026-08-01")
    assert reading.has_content


def test_usage_chunk_that_was_not_asked_for_is_taken_out():
    body = ROLE + TEXT + END + USAGE + DONE
    reading = reader("openai-chat", wants_usage=False)
    assert run(reading, body) == ROLE + TEXT + END + DONE
    assert reading.usage == Usage(input_tokens=3, output_tokens=2)


def test_usage_beside_content_stays():
    last = chunk(finish="stop", usage={"prompt_tokens": 3, "completion_tokens": 2})
    filtered = event({"choices": [], "prompt_filter_results": [], "usage": None})
    body = filtered + TEXT + last + DONE
    assert run(reader("openai-chat", wants_usage=False), body) == body


def test_last_usage_report_wins():
    reading = reader("openai-chat")
    run(reading, chunk({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": 1}) + USAGE)
    assert reading.usage == Usage(input_tokens=3, output_tokens=2)


def test_usage_object_without_counts_is_no_report():
    reading = reader("openai-chat")
    reading.feed(USAGE + event({"choices": [], "usage": {}}) + event({"choices": [], "usage": {"prompt_tokens": "x"}}))
    assert reading.usage == Usage(input_tokens=3, output_tokens=2)


def test_cached_tokens_beside_the_input_never_make_it_negative():
    reading = reader("openai-chat")
    reading.feed(event({"choices": [], "usage": {"prompt_tokens": 50, "prompt_cache_hit_tokens": 70}}))
    assert reading.usage == Usage(input_tokens=70, cache_read_tokens=70)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x"},
        {"reasoning_content": "x"},
        {"reasoning": "x", "content": ""},
        {"refusal": "no"},
        {"tool_calls": [{"index": 0}]},
        {"audio": {"id": "a"}},
    ],
)
def test_first_delta_is_the_first_content(delta):
    reading = reader("openai-chat")
    reading.feed(ROLE + b": comment\n\n" + event({"choices": []}) + chunk({"content": None, "tool_calls": []}))
    assert not reading.has_content
    reading.feed(chunk(delta))
    assert reading.has_content


def test_complete_without_done():
    reading = reader("openai-chat")
    run(reading, TEXT + END)
    assert reading.is_complete


def test_done_alone_ends_nothing_and_is_held_back():
    reading = reader("openai-chat")
    assert run(reading, TEXT + DONE) == TEXT
    assert not reading.is_complete


def test_every_choice_must_finish():
    reading = reader("openai-chat")
    reading.feed(TEXT + chunk({"content": "y"}, index=1) + END)
    assert not reading.is_complete
    reading.feed(chunk(finish="length", index=1))
    assert reading.is_complete


def test_choices_that_were_asked_for_are_waited_for_until_done():
    reading = reader("openai-chat", choices=2)
    reading.feed(TEXT + END)
    assert not reading.is_complete
    assert reading.feed(DONE) == DONE
    assert reading.is_complete


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "m", "code": "rate_limit_exceeded"}, 429),
        ({"message": "m", "type": "insufficient_quota", "code": None}, 429),
        ({"message": "m", "code": 502}, 502),
        ({"message": "m", "type": "server_error"}, 500),
        ({"message": "m", "type": "something_new"}, 0),
    ],
)
def test_error_events_end_the_stream_as_failures(error, status):
    reading = reader("openai-chat")
    reading.feed(event({"error": error}))
    assert (reading.failure, reading.failure_status, reading.is_complete) == ("m", status, True)


def test_null_error_is_none():
    reading = reader("openai-chat")
    reading.feed(chunk({"content": "x"}, error=None))
    assert not reading.failure


def test_finish_reason_error_is_a_failure():
    reading = reader("openai-chat")
    reading.feed(chunk({"content": "x"}, finish="error"))
    assert (bool(reading.failure), reading.failure_status) == (True, 502)


def test_event_without_its_last_line_end_gets_one():
    reading = reader("openai-chat")
    assert run(reading, TEXT + END[:-2]) == TEXT + END
    assert reading.is_complete


def test_torn_event_is_not_passed_on():
    reading = reader("openai-chat")
    assert run(reading, TEXT + END[:-3]) == TEXT
    assert not reading.is_complete


def test_answer_facts():
    answer = CHAT.read_answer(
        "openai-chat", b'{"model":"gpt-x","choices":[{}],"usage":{"prompt_tokens":5,"completion_tokens":6}}'
    )
    assert (answer.model, answer.usage) == ("gpt-x", Usage(input_tokens=5, output_tokens=6))
    assert CHAT.read_answer("openai-chat", b'{"choices":[],"model":3,"usage":"odd"}').usage is None
    assert CHAT.read_answer("openai-chat", b'{"choices":[{"text":"\\ud83d"}]}').model == ""


def test_error_inside_a_good_status_is_refused():
    with pytest.raises(ValueError, match="quota is gone"):
        CHAT.read_answer("openai-chat", b'{"error":{"message":"quota is gone"}}')
    with pytest.raises(ValueError, match="no choices"):
        CHAT.read_answer("openai-chat", b"{}")
