"""The error catalogue: status and words of each situation, per format."""

import json

import pytest

from routing.engine import errors
from routing.engine.formats import FORMATS

INVALID, SERVER = "invalid_request_error", "server_error"

# error, then (status, type, code) for OpenAI, (status, type) for Anthropic, (status, word) for Gemini
CATALOGUE = [
    (
        errors.Unauthenticated("m", code="missing_api_key"),
        (401, INVALID, "missing_api_key"),
        (401, "authentication_error"),
        (401, "UNAUTHENTICATED"),
    ),
    (
        errors.Forbidden("m"),
        (403, INVALID, "model_not_allowed"),
        (403, "permission_error"),
        (403, "PERMISSION_DENIED"),
    ),
    (
        errors.BadRequest("m", code="invalid_json"),
        (400, INVALID, "invalid_json"),
        (400, "invalid_request_error"),
        (400, "INVALID_ARGUMENT"),
    ),
    (
        errors.RequestTooLarge("m"),
        (413, INVALID, "request_too_large"),
        (413, "request_too_large"),
        (413, "INVALID_ARGUMENT"),
    ),
    (errors.ModelNotFound("m"), (404, INVALID, "model_not_found"), (404, "not_found_error"), (404, "NOT_FOUND")),
    (errors.UnknownRoute("m"), (404, INVALID, "unknown_route"), (404, "not_found_error"), (404, "NOT_FOUND")),
    (
        errors.MethodNotAllowed("m"),
        (405, INVALID, "method_not_allowed"),
        (405, "invalid_request_error"),
        (405, "INVALID_ARGUMENT"),
    ),
    (errors.NoChannel("m"), (503, SERVER, "no_available_channel"), (503, "api_error"), (503, "UNAVAILABLE")),
    (errors.Overloaded("m"), (503, SERVER, "server_is_overloaded"), (529, "overloaded_error"), (503, "UNAVAILABLE")),
    (
        errors.Overloaded("m", status=529),
        (503, SERVER, "server_is_overloaded"),
        (529, "overloaded_error"),
        (503, "UNAVAILABLE"),
    ),
    (
        errors.RateLimited("m"),
        (429, "requests", "rate_limit_exceeded"),
        (429, "rate_limit_error"),
        (429, "RESOURCE_EXHAUSTED"),
    ),
    (
        errors.QuotaUsedUp("m"),
        (429, "insufficient_quota", "insufficient_quota"),
        (402, "billing_error"),
        (429, "RESOURCE_EXHAUSTED"),
    ),
    (errors.UpstreamFailed("m"), (502, SERVER, "upstream_error"), (502, "api_error"), (502, "UNAVAILABLE")),
    (
        errors.UpstreamTimedOut("m"),
        (504, SERVER, "upstream_timeout"),
        (504, "timeout_error"),
        (504, "DEADLINE_EXCEEDED"),
    ),
    (
        errors.Unavailable("m", code="shutting_down"),
        (503, SERVER, "shutting_down"),
        (503, "overloaded_error"),
        (503, "UNAVAILABLE"),
    ),
    (errors.GatewayError("m"), (500, SERVER, "internal_error"), (500, "api_error"), (500, "INTERNAL")),
]


@pytest.mark.parametrize(
    ("error", "openai", "anthropic", "gemini"), CATALOGUE, ids=lambda value: getattr(value, "code", "")
)
def test_catalogue_words(error, openai, anthropic, gemini):
    for name in ("openai-chat", "openai-responses", "openai-embeddings", "openai-images"):
        reply = FORMATS[name].error_reply(error, "req_1")
        body = json.loads(reply.body)["error"]
        assert (reply.status, body["type"], body["code"]) == openai
    reply = FORMATS["anthropic"].error_reply(error, "req_1")
    assert (reply.status, json.loads(reply.body)["error"]["type"]) == anthropic
    reply = FORMATS["gemini"].error_reply(error, "req_1")
    assert (reply.status, json.loads(reply.body)["error"]["status"]) == gemini


def test_gemini_waits_are_told_in_retry_info():
    error = errors.RateLimited("m", retry_after_s=20.2)
    details = json.loads(FORMATS["gemini"].error_reply(error, "req_1").body)["error"]["details"]
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "21s"} in details
    assert details[0]["domain"] == "routex"


def test_openai_errors_name_the_parameter():
    error = errors.BadRequest("m", param="messages[2].role")
    body = json.loads(FORMATS["openai-chat"].error_reply(error, "req_1").body)["error"]
    assert body["param"] == "messages[2].role"
    assert "suggestions" not in body
