import pytest

from routing.engine.errors import BadRequest, UpstreamFailed
from routing.engine.failures import ErrorInside, asked_wait_s, error_of, said_in, told_id


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":"no such model"}', ("no such model", "", 0)),
        (b'{"message":"slow down","code":"busy"}', ("slow down", "busy", 0)),
        (b'{"error":{"message":"no","type":"bad","status":400}}', ("no", "bad", 400)),
        (b'{"__type":"space#Throttling","Message":"no"}', ("no", "Throttling", 0)),
        (b'{"error":{"message":"no","code":429,"status":"EXHAUSTED"}}', ("no", "", 0)),
        (b'{"detail":"no","status":200}', ("no", "", 0)),
        (b'{"error":null}', ("", "", 0)),
        (b"[]", ("", "", 0)),
        (b"<html>", ("", "", 0)),
        (b"[" * 100_000, ("", "", 0)),
    ],
)
def test_error_bodies_of_any_shape_are_read(body, said):
    assert said_in(body) == said


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([(b"Request-Id", b"req_1")], ((b"x-upstream-request-id", b"req_1"),)),
        ([(b"x-amzn-RequestId", b"a-b"), (b"x-request-id", b"")], ((b"x-upstream-request-id", b"a-b"),)),
        ([(b"x-request-id", b"two words")], ()),
        ([(b"x-request-id", b"a" * 129)], ()),
        ([], ()),
    ],
)
def test_an_upstreams_id_is_told_where_it_looks_like_one(headers, told):
    assert told_id(headers) == told


def test_an_error_inside_a_200_stands_for_what_its_words_say():
    inside = ErrorInside(0, "slow down", "rate_limit_exceeded")
    assert (str(inside), inside.error.status, inside.error.is_relayed) == ("slow down", 429, True)
    assert isinstance(ErrorInside(0, "gone").error, UpstreamFailed)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({b"retry-after": b"3"}, 3.0),
        ({b"retry-after-ms": b"250", b"retry-after": b"3"}, 0.25),
        ({b"retry-after": b"Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({b"retry-after": b"-1"}, None),
        ({b"retry-after": b"inf"}, None),
        ({}, None),
    ],
)
def test_waits_are_seconds(headers, wait_s):
    assert asked_wait_s(headers) == wait_s


def test_prompts_that_are_too_long_are_the_clients_business_and_models_that_fail_are_not():
    too_long = error_of(400, "Input is too long for requested model.", "ValidationException")
    assert (type(too_long), too_long.code) == (BadRequest, "context_length_exceeded")
    assert type(error_of(424, "The model failed.", "ModelErrorException")) is UpstreamFailed
