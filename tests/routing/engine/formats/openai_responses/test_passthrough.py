import json

import pytest

from analytics.engine.record import Usage
from routing.engine.errors import GatewayError, UpstreamFailed
from routing.engine.format import Route
from routing.engine.formats import FORMATS
from tests.routing.engine.formats.recorded import reader, run, stream

RESPONSES = FORMATS["openai-responses"]


def event(kind: str, **data) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


def events(passed: bytes) -> list[dict]:
    return [json.loads(block.partition(b"data: ")[2]) for block in passed.split(b"\n\n") if block]


def test_request_facts():
    asked = RESPONSES.read_request(
        Route("openai-responses"), {}, b'{"model":"gpt","stream":true,"prompt_cache_key":"s"}'
    )
    assert (asked.model, asked.is_stream, asked.wants_usage, asked.session_hint) == ("gpt", True, True, "s")


@pytest.mark.parametrize("case", ["text", "tools_reasoning"])
def test_usage_and_model_of_recorded_streams(case):
    reading = reader("openai-responses")
    run(reading, stream("openai-responses", case))
    assert reading.usage == Usage(input_tokens=900, output_tokens=80, cache_read_tokens=512, reasoning_tokens=64)
    assert reading.model == "gpt-5.6-luna-2026-08-01"


def test_first_delta_is_the_first_content():
    reading = reader("openai-responses")
    for kind in (
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ):
        reading.feed(event(kind, response={"id": "r"}))
        assert not reading.has_content
    reading.feed(event("response.function_call_arguments.delta", delta="{"))
    assert reading.has_content


@pytest.mark.parametrize(("case", "failure", "status"), [("failed", "slow down", 429), ("error", "It broke.", 500)])
def test_failures_end_the_stream(case, failure, status):
    reading = reader("openai-responses")
    run(reading, stream("openai-responses", case))
    assert (reading.failure, reading.failure_status, reading.is_complete) == (failure, status, True)


def test_nested_error_event_is_a_failure():
    reading = reader("openai-responses")
    reading.feed(event("error", error={"message": "m", "code": "insufficient_quota"}))
    assert (reading.failure, reading.failure_status) == ("m", 429)


def test_a_failure_continues_the_stream():
    body = stream("openai-responses", "text")
    reading = reader("openai-responses")
    reading.feed(body[: body.index(b"event: response.output_text.done")])
    [failed] = events(reading.error_event(UpstreamFailed("It broke."), "req_1"))
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", 6)
    assert failed["response"]["id"] == "resp_68ab"
    assert failed["response"]["created_at"] == 1790000000
    error = failed["response"]["error"]
    assert (error["code"], error["message"]) == ("server_error", "It broke.")
    assert (error["reason"], error["request_id"]) == ("upstream_error", "req_1")


def test_a_failure_before_any_event_makes_its_own_response():
    created, failed = events(
        reader("openai-responses").error_event(GatewayError("m", code="insufficient_quota"), "req_1")
    )
    assert [created["sequence_number"], failed["sequence_number"]] == [0, 1]
    assert (created["type"], created["response"]["status"]) == ("response.created", "in_progress")
    assert failed["response"]["id"] == "resp_req_1"
    assert failed["response"]["error"]["code"] == "insufficient_quota"
    assert failed["response"]["model"] == "asked-model"


def test_answer_facts():
    answer = RESPONSES.read_answer(
        "openai-responses",
        b'{"id":"r","model":"gpt-x","output":[],"error":null,"usage":{"input_tokens":5,"output_tokens":6}}',
    )
    assert (answer.model, answer.usage) == ("gpt-x", Usage(input_tokens=5, output_tokens=6))
    with pytest.raises(ValueError, match="no output"):
        RESPONSES.read_answer("openai-responses", b'{"id":"r"}')
    with pytest.raises(ValueError, match="it broke"):
        RESPONSES.read_answer("openai-responses", b'{"id":"r","output":[],"error":{"message":"it broke"}}')
