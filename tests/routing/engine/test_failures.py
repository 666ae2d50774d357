import pytest

from routing.engine.errors import BadRequest, ModelNotFound, QuotaUsedUp, UpstreamFailed, UpstreamTimedOut
from routing.engine.failures import (
    ErrorInside,
    asked_wait_s,
    error_of,
    said_in,
    said_wait_s,
    shown,
    told_id,
    waits_of,
)


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


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "input length and `max_tokens` exceed context limit: 190000 + 32000 > 200000", ""),
        (400, "the request exceeds the available context size", "exceed_context_size_error"),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", "validation"),
        (400, "Range of input length should be [1, 30720]", "invalid_parameter_error"),
    ],
)
def test_a_prompt_that_is_too_long_is_known_in_any_upstreams_words(status, message, code):
    error = error_of(status, message, code)
    assert (error.status, error.code) == (400, "context_length_exceeded")


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "flagged", "content_policy_violation"),
        (400, "Input data may contain inappropriate content.", "data_inspection_failed"),
        (400, "Output blocked by content filtering policy", "invalid_request_error"),
        (400, "Your prompt was flagged as potentially violating our usage policy.", "invalid_prompt"),
        (403, "The model requires moderation and your input was flagged.", ""),
    ],
)
def test_content_that_is_refused_is_told_by_one_code(status, message, code):
    error = error_of(status, message, code)
    assert (error.status, error.code) == (400, "content_filter")


def test_what_the_words_say_outranks_a_plain_status():
    assert type(error_of(400, "Your credit balance is too low.", "invalid_request_error")) is QuotaUsedUp
    assert type(error_of(400, "No such model.", "model_not_found")) is ModelNotFound
    assert type(error_of(408, "Too late.")) is UpstreamTimedOut
    assert type(error_of(524, "")) is UpstreamTimedOut


@pytest.mark.parametrize("code", ["BadRequestError", "validation_error"])
def test_a_type_that_says_over_what_the_status_says_is_no_code(code):
    assert error_of(400, "no", code).code == "upstream_refused"


@pytest.mark.parametrize(
    ("message", "wait_s"),
    [
        ("Please try again in 1.2s.", 1.2),
        ("Please try again in 800ms", 0.8),
        ("please try again in 1m30s, or", 90.0),
        ("Try again in 1h2m", 3720.0),
        ("Please retry in 33.5s.", 33.5),
        ("Retry after 20 seconds.", 20.0),
        ("try again in 2 minutes 5 seconds", 125.0),
        ("try again in a while", None),
        ("try again in 5 apples", None),
        ("", None),
    ],
)
def test_waits_are_found_in_texts(message, wait_s):
    assert said_wait_s(message) == wait_s


def test_the_reset_of_an_allowance_is_waited_for_only_when_it_was_exceeded():
    headers = {b"retry-after": b"3", b"x-ratelimit-reset-requests": b"6m", b"anthropic-ratelimit-tokens-reset": b"x"}
    assert waits_of(429, headers) == headers
    assert waits_of(500, headers) == {b"retry-after": b"3"}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Incorrect API key provided: sk-proj-********************abcd.", "Incorrect API key provided: [hidden]"),
        ("AKIAIOSFODNN7EXAMPLE is no such id", "[hidden] is no such id"),
        ("API key expired. Renew it.", "API key expired. Renew it."),
        ("the key abc123def456 is bad", "the [hidden] is bad"),
    ],
)
def test_what_looks_like_a_key_is_hidden_and_words_are_not(message, told):
    assert shown(message) == told
