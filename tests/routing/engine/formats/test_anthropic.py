import json

import pytest

from analytics.engine.record import Usage
from routing.engine.format import Route
from routing.engine.formats import FORMATS
from tests.routing.engine.formats.recorded import reader, run, stream

ANTHROPIC = FORMATS["anthropic"]


def read(**body):
    raw = json.dumps({"model": "claude", "max_tokens": 1, "messages": [], **body}).encode()
    return ANTHROPIC.read_request(Route("anthropic"), {}, raw)


def event(kind: str, **data) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


@pytest.mark.parametrize(
    ("metadata", "session"),
    [
        ({"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "abc"})}, "abc"),
        ({"user_id": "user_0f_account__session_6e1c-77"}, "6e1c-77"),
        ({"user_id": "someone"}, "someone"),
        ({"user_id": '{"device_id": "d"}'}, ""),
        ({"user_id": "{torn"}, ""),
        ({"user_id": None}, ""),
        ({}, ""),
        (None, ""),
        (["odd"], ""),
    ],
)
def test_session_is_found_in_the_user_id(metadata, session):
    assert read(metadata=metadata).session_hint == session


def test_routes():
    assert ANTHROPIC.route("/v1/messages") == Route("anthropic")
    assert ANTHROPIC.route("/v1/messages/count_tokens") == Route("anthropic:count_tokens")
    assert ANTHROPIC.speaks({b"anthropic-version": b"2023-06-01"}, "/v1/models")
    assert not ANTHROPIC.speaks({b"authorization": b"Bearer x"}, "/v1/models")


def test_stream_flag():
    assert read(stream=True).is_stream
    assert not read(stream=None).is_stream


@pytest.mark.parametrize(
    ("case", "usage"),
    [
        # input 10 + 1000 read + 50 written, said by message_start; message_delta adds the output only
        ("text", Usage(input_tokens=1060, output_tokens=33, cache_read_tokens=1000, cache_write_tokens=50)),
        # message_delta says everything again
        (
            "thinking_tools_crlf",
            Usage(input_tokens=412, output_tokens=90, cache_read_tokens=400, reasoning_tokens=60),
        ),
    ],
)
def test_usage_and_model_of_recorded_streams(case, usage):
    reading = reader("anthropic")
    run(reading, stream("anthropic", case))
    assert (reading.usage, reading.model) == (usage, "claude-sonnet-5-20260601")


def test_first_delta_is_the_first_content():
    reading = reader("anthropic")
    reading.feed(
        event("message_start", message={"model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}})
        + event("ping")
        + b": comment\n\n"
        + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    )
    assert not reading.has_content
    reading.feed(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x"}))
    assert reading.has_content


def test_a_stop_reason_is_an_end_without_message_stop():
    reading = reader("anthropic")
    reading.feed(event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 3}))
    assert not reading.is_complete
    reading.feed(event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}))
    assert reading.is_complete
    assert reading.usage == Usage(output_tokens=5)


def test_events_without_a_name_say_nothing_since_clients_drop_them():
    reading = reader("anthropic")
    reading.feed(b'data: {"type":"message_stop"}\n\n')
    assert not reading.is_complete


@pytest.mark.parametrize(
    ("kind", "status"),
    [("overloaded_error", 529), ("rate_limit_error", 429), ("api_error", 500), ("billing_error", 402), ("new", 0)],
)
def test_error_events_end_the_stream_as_failures(kind, status):
    reading = reader("anthropic")
    reading.feed(event("error", error={"type": kind, "message": "m"}))
    assert (reading.failure, reading.failure_status, reading.is_complete) == ("m", status, True)
    assert not reading.has_content


def test_unreadable_error_event_is_an_error_all_the_same():
    reading = reader("anthropic")
    reading.feed(b"event: error\ndata: overloaded\n\n")
    assert reading.failure
    assert reading.is_complete


def test_answer_facts():
    answer = ANTHROPIC.read_answer(
        "anthropic",
        b'{"type":"message","model":"c","content":[],"usage":{"input_tokens":5,"cache_read_input_tokens":7,'
        b'"cache_creation_input_tokens":null,"output_tokens":6,"service_tier":"standard"}}',
    )
    assert (answer.model, answer.usage) == ("c", Usage(input_tokens=12, output_tokens=6, cache_read_tokens=7))
    assert ANTHROPIC.read_answer("anthropic:count_tokens", b'{"input_tokens":42}').usage is None
    with pytest.raises(ValueError, match="Overloaded"):
        ANTHROPIC.read_answer("anthropic", b'{"type":"error","error":{"type":"x","message":"Overloaded"}}')
    with pytest.raises(ValueError, match="no content"):
        ANTHROPIC.read_answer("anthropic", b'{"type":"message"}')


def test_listing_has_what_the_sdk_pages_by():
    listed = json.loads(ANTHROPIC.model_list(["a", "b"], 1_790_000_000))
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "a", "b")
    assert listed["data"][0]["created_at"] == "2026-09-21T14:13:20Z"
    assert json.loads(ANTHROPIC.model_list([], 0))["first_id"] is None
