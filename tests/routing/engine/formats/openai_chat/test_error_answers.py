import json

import pytest

from routing.engine.codec import UpstreamFailure
from routing.engine.formats.openai_chat.codec import OpenAIChatCodec

decode_error = OpenAIChatCodec().decode_error


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "m", "type": "requests", "code": "rate_limit_exceeded"}}, "m", "rate_limit_exceeded"),
        ({"error": {"message": "m", "type": "invalid_request_error", "code": None}}, "m", "invalid_request_error"),
        ({"error": {"message": "m", "code": 400}}, "m", ""),
        ({"error": "m", "error_type": "validation"}, "m", "validation"),
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, "m", "BadRequestError"),
        ({"object": "error", "message": {"detail": [{"msg": "a"}, {"msg": "b"}]}}, "a; b", ""),
        ({"detail": "m"}, "m", ""),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, "m", ""),
        ({"code": "InvalidApiKey", "message": "m", "request_id": "r"}, "m", "InvalidApiKey"),
        ([{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}], "m", "INVALID_ARGUMENT"),
        ({"errors": [{"message": "m"}]}, "m", ""),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "m"}}}, "Provider returned error: m", ""),
        ({}, "", ""),
        ([], "", ""),
        (5, "", ""),
        ({"error": {}}, "", ""),
        ({"error": {"message": {"message": {"message": {"message": {"message": "deep"}}}}}}, "", ""),
    ],
)
def test_shapes_of_error_bodies(body, message, code):
    assert decode_error(json.dumps(body).encode(), {}) == UpstreamFailure(message, code)


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff", b"[" * 100_000])
def test_what_is_no_json_says_nothing(body):
    assert decode_error(body, {}) == UpstreamFailure()


@pytest.mark.parametrize(
    ("headers", "message", "wait_s"),
    [
        ({b"retry-after": b"7"}, "", 7),
        ({b"retry-after": b"7", b"retry-after-ms": b"1500"}, "", 1.5),
        ({b"x-ratelimit-reset-requests": b"1s", b"x-ratelimit-reset-tokens": b"6m0.5s"}, "", 360.5),
        ({b"x-ratelimit-reset-tokens": b"21ms"}, "", 0.021),
        ({b"x-ratelimit-reset-requests": b"9"}, "", 9),
        (
            {
                b"x-ratelimit-reset-requests": b"1s",
                b"x-ratelimit-remaining-requests": b"0",
                b"x-ratelimit-reset-tokens": b"6m0s",
                b"x-ratelimit-remaining-tokens": b"900",
            },
            "",
            1,
        ),
        ({}, "Please try again in 1m30s.", 90),
        ({}, "Rate limit reached. Please try again in 1.2s.", 1.2),
        ({}, "try again in 300ms", 0.3),
        ({b"retry-after": b"Wed, 21 Oct 2026 07:28:00 GMT"}, "", None),
        ({b"x-ratelimit-reset-tokens": b"soon"}, "later", None),
    ],
)
def test_waits_are_read_from_wherever_they_stand(headers, message, wait_s):
    assert decode_error(json.dumps({"error": {"message": message}}).encode(), headers).retry_after_s == wait_s
