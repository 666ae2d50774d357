"""Transformers over the management API: what there is, and trials of what becomes of a body."""

import json

import pytest

from channels_app.engine.providers import PROVIDERS
from routing.engine.formats import CODECS, client_codec
from routing.engine.transformers import TRANSFORMERS
from tenants.context import tenant_scope
from tenants.models import AuditEvent
from tests.api_calls import Api
from tests.routing.engine import claude

pytestmark = pytest.mark.django_db

PATH = "/api/transformers/test"
HI = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
REQUESTS = {
    "openai-chat": HI,
    "openai-responses": {"model": "m", "input": "hi"},
    "anthropic": HI | {"max_tokens": 50},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
CLAUDE_STREAM = b"".join(claude.frames(*claude.EVENTS)).decode()


@pytest.fixture
def acme(cast):
    return Api(token=cast.acme_token)


def tried(api, **body):
    answer = api.post(PATH, body)
    assert answer.status == 200, answer.text
    return answer.body


# --- the list --------------------------------------------------------------------------------------------------------


def test_every_transformer_and_every_format_is_listed(acme):
    answer = acme.get("/api/transformers")
    assert answer.status == 200
    listed = {(each["kind"], each["name"]): each for each in answer.body["data"]}
    assert set(listed) == {*(("transformer", name) for name in TRANSFORMERS), *(("format", name) for name in CODECS)}
    assert {name for kind, name in listed if listed[kind, name]["clients"]} == set(filter(client_codec, CODECS))
    assert all(each["summary"].endswith(".") for each in listed.values())


def test_the_options_of_a_transformer_are_a_json_schema(acme):
    data = acme.get("/api/transformers").body["data"]
    listed = {each["name"]: each["options"] for each in data if each["kind"] == "transformer"}
    schema = listed["maxtoken"]
    options = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    assert set(options["properties"]) == {"max_tokens", "field"} and options["additionalProperties"] is False


def test_the_list_takes_no_parameters(acme):
    answer = acme.get("/api/transformers?limit=5")
    assert answer.status == 400 and answer.pointers == ["?limit"]


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_translated_request_shows_both_bodies_what_changed_and_what_is_lost(acme):
    given = HI | {"model": "claude-sonnet-4-6", "seed": 7, "temperature": 1.5}
    shown = tried(acme, request=given, **{"from": "openai-chat", "to": "anthropic"})
    assert shown["input"] == given
    assert shown["output"]["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert shown["headers"] == {"anthropic-version": "2023-06-01"}
    assert shown["warnings"] == ["dropped:seed", "clamped:temperature"]
    assert shown["lost"] == ["seed"]
    changes = {change.pop("path"): change for change in shown["changes"]}
    assert changes["/seed"] == {"what": "removed", "before": 7}
    assert changes["/temperature"] == {"what": "changed", "before": 1.5, "after": 1.0}
    assert changes["/max_tokens"] == {"what": "added", "after": shown["output"]["max_tokens"]}


def test_a_request_is_translated_the_other_way_as_well(acme):
    given = REQUESTS["anthropic"] | {"model": "gpt-5.6", "system": "Be brief.", "top_k": 5}
    shown = tried(acme, request=given, **{"from": "anthropic", "to": "openai-chat"})
    assert [message["role"] for message in shown["output"]["messages"]] in (["system", "user"], ["developer", "user"])
    assert shown["lost"] == ["top_k"]


@pytest.mark.parametrize("upstream", list(CODECS))
@pytest.mark.parametrize("client", REQUESTS)
def test_every_client_format_can_be_tried_against_every_upstream_format(acme, client, upstream):
    shown = tried(acme, request=REQUESTS[client], **{"from": client, "to": upstream})
    assert "hi" in json.dumps(shown["output"])
    assert shown["lost"] == []


@pytest.mark.parametrize("client", REQUESTS)
def test_the_clients_format_is_guessed_from_its_own_members(acme, client):
    given = REQUESTS[client] | ({"system": "x"} if client == "anthropic" else {})
    shown = tried(acme, request=given, to="cohere")
    assert shown == tried(acme, request=given, to="cohere", **{"from": client})


def test_the_limits_are_those_of_the_model_and_the_provider_that_are_named(acme):
    given = HI | {"temperature": 0.5}
    ends = {"from": "anthropic", "to": "openai-chat"}
    assert tried(acme, request=given, model="gpt-4o", **ends)["lost"] == []
    assert tried(acme, request=given, model="o3", **ends)["lost"] == ["temperature"]
    assert tried(acme, request=given, model="o3", provider="openai-compatible", **ends)["output"]["model"] == "o3"


SPELLINGS = {
    "a name": "maxtoken",
    "an object": {"maxtoken": {}},
    "a list": ["maxtoken"],
    "a list of objects": [{"maxtoken": {}}],
    "a pair": [["maxtoken", {}]],
    "nested": {"use": ["maxtoken"]},
    "another case": "MaxToken",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_transformers_are_taken_in_every_form_that_channels_take(acme, spelling):
    shown = tried(acme, transformer=SPELLINGS[spelling], request=HI, direction="request")
    assert shown["output"]["messages"] == HI["messages"]


def test_the_options_of_a_transformer_have_their_effect(acme):
    given = HI | {"max_tokens": 99_999}
    shown = tried(acme, request=given, transformer=[{"maxtoken": {"max_tokens": 5, "field": "max_new"}}])
    assert shown["output"]["max_new"] == 5
    assert "clamped:max_tokens" in shown["warnings"] and shown["lost"] == []


def test_a_transformer_for_some_models_is_left_out_for_others(acme):
    entry = {"customparams": {"x": 1, "models": ["small-*"]}}
    assert tried(acme, request=HI, transformer=entry, model="small-1")["output"]["x"] == 1
    assert "x" not in tried(acme, request=HI, transformer=entry, model="large-1")["output"]
    nested = {"use": [], "small-1": {"use": [["customparams", {"x": 1}]]}}
    assert tried(acme, request=HI, transformer=nested, model="small-1")["output"]["x"] == 1


def test_a_transformer_that_names_a_format_is_where_the_request_goes(acme):
    shown = tried(acme, request=HI, transformer="gemini")
    assert shown["output"]["contents"] == REQUESTS["gemini"]["contents"]


def test_what_cannot_be_carried_is_refused_where_it_stands(acme):
    answer = acme.post(PATH, {"from": "openai-chat", "to": "anthropic", "request": HI | {"n": 3}})
    assert answer.status == 400 and answer.pointers == ["/request/n"]
    assert answer.body["errors"][0]["code"] == "unsupported_parameter"


# --- answers ---------------------------------------------------------------------------------------------------------


def test_a_whole_answer_comes_in_the_clients_format(acme):
    ends = {"from": "openai-chat", "to": "anthropic"}
    shown = tried(acme, response=claude.ANSWER, **ends)
    assert shown["input"] == claude.ANSWER
    assert shown["output"]["choices"][0]["message"]["content"] == "Hello"
    assert shown["output"]["usage"]["total_tokens"] == 5
    assert {"path": "/stop_reason", "what": "removed", "before": "end_turn"} in shown["changes"]


def test_an_answer_may_stand_where_a_request_does_when_the_direction_says_so(acme):
    ends = {"from": "openai-chat", "to": "anthropic"}
    shown = tried(acme, request=claude.ANSWER, direction="response", **ends)
    assert shown["output"]["choices"][0]["message"]["content"] == "Hello"


def test_an_answer_is_told_as_to_the_request_that_it_answers(acme):
    asked = HI | {"model": "fast", "tools": [{"type": "custom", "custom": {"name": "patch"}}]}
    call = {"type": "tool_use", "id": "toolu_1", "name": "patch", "input": {"input": "*** Begin"}}
    said = claude.ANSWER | {"content": [call], "stop_reason": "tool_use"}
    shown = tried(acme, request=asked, response=said, **{"from": "openai-chat", "to": "anthropic"})
    assert shown["output"]["model"] == "fast"
    (told,) = shown["output"]["choices"][0]["message"]["tool_calls"]
    assert (told["type"], told["custom"]) == ("custom", {"name": "patch", "input": "*** Begin"})


def test_transformers_change_answers_too(acme):
    call = {"type": "tool_use", "id": "toolu_1", "name": "ExitTool", "input": {"response": "All done."}}
    said = claude.ANSWER | {"content": [call], "stop_reason": "tool_use"}
    shown = tried(acme, response=said, transformer="tooluse", **{"from": "openai-chat", "to": "anthropic"})
    (choice,) = shown["output"]["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("All done.", "stop")


def test_a_raw_stream_comes_in_the_clients_grammar(acme):
    asked = HI | {"stream": True, "stream_options": {"include_usage": True}}
    shown = tried(acme, request=asked, stream=CLAUDE_STREAM, **{"from": "openai-chat", "to": "anthropic"})
    assert shown["input"] == CLAUDE_STREAM and shown["changes"] == []
    events = [line.removeprefix("data: ") for line in shown["output"].split("\n\n") if line]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]) == "Hello"
    assert chunks[-1]["usage"]["total_tokens"] == 5


@pytest.mark.parametrize("client", REQUESTS)
def test_a_stream_that_is_cut_ends_with_an_error_in_every_grammar(acme, client):
    cut = CLAUDE_STREAM[: CLAUDE_STREAM.index("event: message_delta")]
    shown = tried(acme, stream=cut, **{"from": client, "to": "anthropic"})
    assert "Hello" in shown["output"] and "The stream ends before its end." in shown["output"]


def test_a_body_of_a_megabyte_is_tried(acme):
    given = {"model": "m", "messages": [{"role": "user", "content": "word " * 200} for _ in range(1000)]}
    shown = tried(acme, request=given, **{"from": "openai-chat", "to": "gemini"})
    assert len(shown["output"]["contents"][0]["parts"]) == 1000 or len(shown["output"]["contents"]) == 1000
    assert len(shown["changes"]) <= 200


# --- refusals --------------------------------------------------------------------------------------------------------

WRONG = {
    "nothing to try": ({}, "/request"),
    "an unknown transformer": ({"transformer": "nonsense", "request": HI}, "/transformer"),
    "an option that it does not take": ({"transformer": {"maxtoken": {"max": 1}}, "request": HI}, "/transformer"),
    "an option of another type": ({"transformer": {"maxtoken": {"max_tokens": "x"}}, "request": HI}, "/transformer"),
    "options that are a number": ({"transformer": {"maxtoken": 5}, "request": HI}, "/transformer"),
    "options that are null": ({"transformer": {"maxtoken": None}, "request": HI}, "/transformer"),
    "two names in one object": ({"transformer": {"maxtoken": {}, "sampling": {}}, "request": HI}, "/transformer"),
    "a number for a transformer": ({"transformer": 5, "request": HI}, "/transformer"),
    "models that are no list": ({"transformer": {"maxtoken": {"models": "a"}}, "request": HI}, "/transformer"),
    "an unknown client format": ({"from": "morse", "request": HI}, "/from"),
    "a format that no client speaks": ({"from": "ollama", "request": HI}, "/from"),
    "an unknown upstream format": ({"to": "morse", "request": HI}, "/to"),
    "an unknown provider": ({"provider": "nobody", "request": HI}, "/provider"),
    "an unknown direction": ({"direction": "up", "request": HI}, "/direction"),
    "an unknown member": ({"form": "openai-chat", "request": HI}, "/form"),
    "a request that is a list": ({"request": [HI]}, "/request"),
    "a member of another type": ({"request": {"model": "m", "messages": 5}}, "/request/messages"),
    "a part of another type": (
        {"request": {"model": "m", "messages": [{"role": "user", "content": 5}]}},
        "/request/messages/0/content",
    ),
    "a response that is a list": ({"to": "anthropic", "response": []}, "/response"),
    "a response in place of a request that is none": (
        {"to": "anthropic", "direction": "response", "request": "x"},
        "/request",
    ),
    "a stream that is no text": ({"to": "anthropic", "stream": {}}, "/stream"),
    "an empty stream": ({"to": "anthropic", "stream": ""}, "/stream"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_trial_that_makes_no_sense_is_refused_in_words(acme, case):
    body, pointer = WRONG[case]
    answer = acme.post(PATH, body)
    assert answer.status == 400 and answer.body["type"] == "/errors/validation-error"
    assert answer.pointers == [pointer]
    (error,) = answer.body["errors"]
    assert error["detail"].endswith((".", "?"))
    assert "object has no attribute" not in error["detail"] and "iterable" not in error["detail"]


@pytest.mark.parametrize(
    "raw",
    [
        b"{not json",
        b"[1]",
        b'{"request":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"request":{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}}',
        b'{"request":{"model":"m","messages":[{"role":"user","content":"hi"}],"x":1e999}}',
        b'{"request":{"model":"m","messages":[{"role":"user","content":"hi"}],"x":NaN}}',
    ],
)
def test_what_is_no_json_that_can_be_told_again_is_refused(acme, raw):
    answer = acme.post(PATH, raw)
    assert answer.status == 400 and answer.body["type"] == "/errors/validation-error"


@pytest.mark.parametrize("size_mb", [2, 8])
def test_a_body_over_the_limit_is_refused_as_too_large(acme, size_mb):
    answer = acme.post(PATH, b'{"stream":"' + b"x" * (size_mb << 20) + b'"}')
    assert answer.status == 413 and answer.body["type"] == "/errors/request-too-large"


# --- who may ---------------------------------------------------------------------------------------------------------


def test_whoever_belongs_to_a_tenant_may_try_for_it_changes_nothing(cast):
    with tenant_scope(cast.acme.id):
        before = AuditEvent.objects.count()
    for caller in (Api(token=cast.acme_token), Api(user=cast.alice, tenant="acme"), Api(user=cast.bob, tenant="acme")):
        assert caller.get("/api/transformers").status == 200
        assert caller.post(PATH, {"request": HI}).status == 200
    with tenant_scope(cast.acme.id):
        assert AuditEvent.objects.count() == before


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        (lambda cast: Api(user=cast.charlie, tenant="acme"), 404),
        (lambda cast: Api(token=cast.rival_token, tenant="acme"), 404),
        (lambda cast: Api(token=cast.acme_key), 401),
        (lambda cast: Api(token=cast.rival_key, tenant="acme"), 401),
        (lambda cast: Api(), 401),
    ],
)
def test_who_does_not_belong_there_may_not(cast, caller, status):
    api = caller(cast)
    assert api.get("/api/transformers").status == status
    assert api.post(PATH, {"request": HI}).status == status


def test_a_session_needs_its_csrf_token(cast):
    assert Api(user=cast.alice, tenant="acme", checks_csrf=True).post(PATH, {"request": HI}).status == 403


def test_other_methods_are_refused(acme):
    assert acme.get(PATH).status == 405
    assert acme.post("/api/transformers", {}).status == 405


def test_what_is_tried_reaches_no_log_and_no_upstream(acme, caplog, monkeypatch):
    def send(*_):
        raise AssertionError("a trial sends nothing")

    for name in PROVIDERS:
        monkeypatch.setattr(PROVIDERS[name], "send", send, raising=False)
    secret = "sk-live-0123456789abcdef"
    body = HI | {"messages": [{"role": "user", "content": secret}]}
    with caplog.at_level(0):
        assert acme.post(PATH, {"request": body}).status == 200
        assert acme.post(PATH, {"request": body | {"n": 3}, "to": "anthropic"}).status == 400
        assert acme.post(PATH, {"request": {"messages": secret}}).status == 400
    assert secret not in caplog.text
