"""What every wire format must keep, run over the registry: a new one is tested the moment it has its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from routing.engine.errors import BadRequest, GatewayError, QuotaUsedUp, RateLimited, Unauthenticated
from routing.engine.format import Asked, Format, Route
from routing.engine.formats import FORMATS
from tests.routing.engine.formats.recorded import CASES, OPERATIONS, WIRE, facts, reader, run, stream

FORMAT_NAMES = list(FORMATS)
BODIES = {
    "anthropic": {"model": "m", "max_tokens": 1, "messages": []},
    "gemini": {"contents": []},
    "openai-chat": {"model": "m", "messages": []},
    "openai-completions": {"model": "m", "prompt": "x"},
    "openai-embeddings": {"model": "m", "input": "x"},
    "openai-images": {"model": "m", "prompt": "x"},
    "openai-moderations": {"model": "m", "input": "x"},
    "openai-responses": {"model": "m", "input": "x"},
    "openai-speech": {"model": "m", "input": "x", "voice": "alloy"},
    "rerank": {"model": "m", "query": "x", "documents": ["y"]},
}
FOREIGN = {
    "anthropic": {"model": "m", "input": "x"},
    "gemini": {"model": "m", "messages": []},
    "openai-chat": {"model": "m", "contents": []},
    "openai-completions": {"model": "m", "messages": []},
    "openai-embeddings": {"model": "m", "messages": []},
    "openai-images": {"model": "m", "messages": []},
    "openai-moderations": {"model": "m", "messages": []},
    "openai-responses": {"model": "m", "messages": []},
    "openai-speech": {"model": "m", "messages": []},
    "rerank": {"model": "m", "input": "x"},
}


def every_error() -> list[type[GatewayError]]:
    found = [GatewayError]
    for kind in found:
        found += kind.__subclasses__()
    return found


@pytest.fixture(params=[name for name in FORMAT_NAMES if not FORMATS[name].takes_form])
def in_json(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


@pytest.fixture(params=FORMAT_NAMES)
def known(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


def route_of(known: Format) -> Route:
    path = next(iter(known.paths), "/v1beta/models/m:generateContent")
    route = known.route(path)
    assert route is not None
    return route


def read(known: Format, body: object) -> Asked:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return known.read_request(route_of(known), {}, raw)


def event_data(passed: bytes) -> list[dict]:
    """Read events with the SDK's own decoder, or the array that stands for them."""
    if passed.startswith(b"["):
        return json.loads(passed)
    return [json.loads(event.data) for event in SSEDecoder().iter_bytes(iter([passed])) if event.data != "[DONE]"]


def test_name_is_its_registry_line():
    assert {name: FORMATS[name].name for name in FORMATS} == {name: name for name in FORMATS}


def test_no_path_belongs_to_two_formats():
    paths = [path for name in FORMATS for path in FORMATS[name].paths]
    assert len(set(paths)) == len(paths)


def test_operations_start_with_the_formats_name(known: Format):
    routes = [known.route(path) for path in known.paths] or [route_of(known)]
    assert {route.operation.partition(":")[0] for route in routes} == {known.name}
    assert known.route("/v1/nothing/here") is None


def test_a_plain_request_is_read_and_written_back_as_the_same_object(in_json: Format):
    body = json.dumps(BODIES[in_json.name]).encode()
    asked = read(in_json, body)
    assert asked.model == "m"
    assert not asked.is_stream
    assert in_json.write_request(body, asked, "m") is body


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":"m"', b"\xff\xfe{}"])
def test_what_is_no_json_object_is_a_bad_request(in_json: Format, body: bytes):
    with pytest.raises(BadRequest):
        read(in_json, body)


def test_body_of_another_format_is_told_where_it_belongs(in_json: Format):
    with pytest.raises(BadRequest) as caught:
        read(in_json, FOREIGN[in_json.name])
    assert caught.value.code == "wrong_endpoint"
    assert "Use /v1" in caught.value.message


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_is_rendered_in_the_formats_shape(known: Format, kind: type[GatewayError]):
    reply = known.error_reply(kind("What happened. Why. What to do.", suggestions=("a", "b")), "req_1")
    body = json.loads(reply.body)
    assert 400 <= reply.status < 600
    assert body["error"]["message"] == "What happened. Why. What to do."
    assert "req_1" in reply.body.decode()
    if known.name == "anthropic":
        assert body.keys() == {"type", "error", "request_id"}
        assert body["error"].keys() == {"type", "message"}
        assert (b"request-id", b"req_1") in reply.headers
    elif known.name == "gemini":
        assert body["error"].keys() == {"code", "message", "status", "details"}
        assert body["error"]["code"] == reply.status
        assert body["error"]["details"][0]["reason"] == kind.code
    else:
        assert body["error"].keys() == {"message", "type", "param", "code", "request_id", "suggestions"}
        assert body["error"]["code"] == kind.code


def test_errors_carry_the_headers_that_clients_obey(known: Format):
    headers = dict(known.error_reply(RateLimited("Slow down.", retry_after_s=1.2), "req_1").headers)
    assert headers[b"retry-after"] == b"2"
    assert headers[b"retry-after-ms"] == b"1200"
    assert headers[b"x-should-retry"] == b"true"
    headers = dict(known.error_reply(QuotaUsedUp("Spent.", headers=((b"x-routex-quota-reset", b"soon"),)), "r").headers)
    assert headers[b"x-should-retry"] == b"false"
    assert headers[b"x-routex-quota-reset"] == b"soon"
    assert b"retry-after" not in headers
    headers = dict(known.error_reply(Unauthenticated("Who?"), "r").headers)
    assert headers[b"www-authenticate"] == b'Bearer realm="routex"'
    headers = dict(known.error_reply(RateLimited("An hour.", retry_after_s=3600), "r").headers)
    assert (headers[b"retry-after"], headers[b"x-should-retry"]) == (b"3600", b"false")


def test_an_upstreams_own_error_body_passes_unchanged(known: Format):
    reply = known.error_reply(GatewayError("ours", status=529, raw_body=b'{"their": "own"}'), "req_1")
    assert (reply.status, reply.body) == (529, b'{"their": "own"}')


def test_whole_answers_that_are_none_are_refused(known: Format):
    operation = route_of(known).operation
    for body in (b"", b"<html>", b"[]", b'{"choices":[{"mess', b'{"error":{"message":"no","type":"x"}}'):
        with pytest.raises(ValueError, match=r"."):
            known.read_answer(operation, body)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_heartbeat_says_nothing(name: str):
    reading = reader(name)
    reading.feed(FORMATS[name].heartbeat)
    assert facts(reading) == facts(reader(name))


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_formats_with_a_heartbeat_have_recorded_streams(name: str):
    assert bool(FORMATS[name].heartbeat) == (name in {case[0] for case in CASES})
    assert {path.name for path in WIRE.iterdir() if path.is_dir()} <= {*FORMAT_NAMES, "vectors"}


VARIANTS = [{}, {"wants_usage": False}, {"wants_sse": False}]


@pytest.mark.parametrize(("name", "case"), CASES)
@pytest.mark.parametrize("variant", VARIANTS, ids=["as asked", "usage not asked", "array"])
def test_facts_and_output_do_not_depend_on_how_the_bytes_are_cut(name: str, case: str, variant: dict):
    body = stream(name, case)
    whole = reader(name, **variant)
    expected = run(whole, body)

    @settings(max_examples=25, deadline=None)
    @given(cuts=st.lists(st.integers(0, 10_000), max_size=8).map(tuple))
    def same_for(cuts: tuple[int, ...]) -> None:
        cut = reader(name, **variant)
        assert run(cut, body, cuts) == expected
        assert facts(cut) == facts(whole)

    same_for()
    one_by_one = reader(name, **variant)
    assert run(one_by_one, body, tuple(range(len(body)))) == expected
    assert facts(one_by_one) == facts(whole)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_streams_pass_unchanged_and_whole_events_as_the_same_object(name: str, case: str):
    body = stream(name, case)
    assert run(reader(name), body) == body
    assert reader(name).feed(body) is body


@pytest.mark.parametrize(("name", "case"), CASES)
@pytest.mark.parametrize("variant", VARIANTS, ids=["as asked", "usage not asked", "array"])
def test_error_event_ends_a_stream_that_broke_anywhere(name: str, case: str, variant: dict):
    body = stream(name, case)
    for at in range(0, len(body), 7):
        reading = reader(name, **variant)
        passed = reading.feed(body[:at]) + reading.error_event(GatewayError("It broke."), "req_1")
        events = event_data(passed)
        assert "It broke." in json.dumps(events[-1])
        assert b"[DONE]" not in passed or reading.is_complete


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_stream_is_complete_only_at_its_end(name: str, case: str):
    body = stream(name, case)
    whole = reader(name)
    run(whole, body)
    assert whole.is_complete
    assert bool(whole.failure) == any(word in case for word in ("error", "failed"))
    half = reader(name)
    run(half, body[: len(body) // 2])
    assert not half.is_complete
    assert not half.failure


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
@pytest.mark.parametrize(
    ("data", "is_readable"),
    [
        (b"{not json", False),
        (b"\xff\xfe", False),
        (b'{"x":' + b"[" * 5000, False),
        (b"[1, 2]", True),
        (b'"text"', True),
        (b"null", True),
        (b'{"choices":5,"candidates":{},"delta":[],"response":"x","usage":"y"}', True),
        (
            b'{"choices":[{"delta":{"content":"\\ud83d"}}],"candidates":[{"content":{"parts":[{"text":"\\ud83d"}]}}]}',
            True,
        ),
    ],
)
def test_odd_events_never_raise_and_fail_only_where_nothing_can_be_read(name: str, data: bytes, is_readable: bool):
    reading = reader(name)
    block = b"event: message_delta\ndata: " + data + b"\n\n"
    assert reading.feed(block) is block
    assert bool(reading.failure) != is_readable
    assert not reading.is_complete


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_a_plain_body_instead_of_a_stream_is_a_failure(name: str):
    reading = reader(name)
    passed = reading.feed(b'{"error":{"message":"no way","type":"x"}}') + reading.finish()
    assert passed == b""
    assert reading.failure
    assert not reading.is_complete


def test_every_stream_has_a_type(known: Format):
    asked = Asked("m", is_stream=True)
    assert known.stream_type(asked).startswith(b"text/event-stream")
    if known.name not in OPERATIONS and not known.heartbeat:
        with pytest.raises(NotImplementedError):
            known.stream_reader(known.name, asked)


def test_listings_parse_and_name_each_model(known: Format):
    listed = json.loads(known.model_list(["a/b", "c"], 1_790_000_000))
    cards = listed["models" if known.name == "gemini" else "data"]
    assert cards == [json.loads(known.model_card(model, 1_790_000_000)) for model in ("a/b", "c")]
    assert [card["name" if known.name == "gemini" else "id"].removeprefix("models/") for card in cards] == ["a/b", "c"]
    json.loads(known.model_list([], 0))
