"""The seven verbs: what each end of a request looks like to the client, to the upstream and in the record."""

import asyncio
import json
from dataclasses import replace

import pytest

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.errors import UpstreamBroken, UpstreamRefused, UpstreamStatus, UpstreamTimeout
from routing.engine.document import ModelSpec, PolicySpec
from tenants.engine.networks import read_networks
from tests.routing.engine.cast import channel, principal
from tests.routing.engine.harness import (
    DONE,
    GOOD_STREAM,
    GOOD_WHOLE,
    PATHS,
    USAGE_EVENT,
    Harness,
    Step,
    chat_event,
    status,
    streamed,
)

pytestmark = pytest.mark.asyncio
REFUSED = UpstreamRefused("refused")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)


# --- delivered whole -------------------------------------------------------------------------------------------------


async def test_a_whole_answer_passes_through_byte_for_byte():
    harness = Harness(Step())
    answer = await harness.ask()
    assert answer.status == 200 and answer.body == GOOD_WHOLE
    assert answer.headers["x-routex-channel"] == "a"
    assert answer.headers["x-routex-model"] == "m"
    assert answer.headers["x-routex-attempts"] == "1"
    assert answer.headers["x-request-id"] == harness.record.id
    assert harness.provider.open == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"x-client-request-id": "mine-1"}, "mine-1"),
        ({"x-request-id": "theirs_2.0"}, "theirs_2.0"),
        ({"x-client-request-id": "mine-1", "x-request-id": "theirs"}, "mine-1"),
        ({"x-client-request-id": "no id, a sentence", "x-request-id": "theirs"}, "theirs"),
        ({"x-client-request-id": "a" * 64}, "a" * 64),
        ({"x-client-request-id": "a" * 65}, ""),
        ({"x-client-request-id": "mine\n"}, ""),
        ({"x-request-id": "\u20ac<script>"}, ""),
        ({}, ""),
    ],
)
async def test_the_clients_own_id_is_on_record_where_it_is_one(given, kept):
    harness = Harness()
    answer = await harness.ask(headers=given)
    assert harness.record.client_request_id == kept
    assert answer.headers["x-request-id"] == harness.record.id


def timings(answer):
    return [part.partition(";dur=")[0] for part in answer.headers["server-timing"].split(", ")]


async def test_every_answer_says_where_the_time_went():
    whole = await Harness().ask()
    assert timings(whole) == ["queue", "connect", "ttft", "upstream", "total"]
    assert whole.headers["openai-processing-ms"].isdigit()
    assert timings(await Harness(streamed()).ask(stream=True)) == ["queue", "connect", "ttft", "upstream", "total"]
    assert timings(await Harness(status(400)).ask()) == ["queue", "upstream", "total"]
    refused = await Harness().ask(headers={"authorization": ""})
    assert timings(refused) == ["total"] and refused.headers["openai-processing-ms"].isdigit()
    other = await Harness().ask(path=PATHS["anthropic"], headers={"authorization": ""})
    assert timings(other) == ["total"] and "openai-processing-ms" not in other.headers


@pytest.mark.parametrize("code", [200, 400, 429])
async def test_the_upstreams_own_id_of_the_request_is_told_beside_ours(code):
    step = replace(Step() if code == 200 else status(code), headers=[*status(code).headers, (b"X-Request-Id", b"up_1")])
    answer = await Harness(step, step, step).ask()
    assert answer.status == code
    assert answer.headers["x-upstream-request-id"] == "up_1"
    assert answer.headers["x-request-id"] != "up_1"


async def test_the_upstream_gets_the_clients_bytes_with_its_own_model_name():
    harness = Harness(Step(), channels=[channel("a", models=[ModelSpec("m", "their-m")])])
    body = b'{ "model" : "m", "messages":[{"role":"user","content":"\\u00e9 \xc3\xa9"}], "x_unknown": 1.50 }'
    await harness.ask(body)
    assert harness.provider.sent[0].body == body.replace(b'"m"', b'"their-m"')


async def test_a_provider_that_signs_sees_the_very_request_and_its_failure_is_the_channels():
    harness = Harness(Step(), channels=[channel("a", credentials=("one", "other"))])
    seen = []

    async def sign(request, secret, upstreams):
        seen.append(request)
        if len(seen) == 1:
            raise UpstreamStatus(401)
        return replace(request, headers=[*request.headers, ("x-signature", secret)])

    harness.provider.sign = sign
    assert (await harness.ask()).status == 200
    [sent] = harness.provider.sent
    assert dict(sent.headers)["x-signature"] in {"secret one", "secret other"}
    assert [one.body for one in seen] == [sent.body, sent.body]
    assert [attempt.status for attempt in harness.record.attempts] == [401, 200]


async def test_the_upstream_gets_the_channels_credential_and_never_the_clients_key():
    harness = Harness(Step())
    await harness.ask()
    headers = dict(harness.provider.sent[0].headers)
    assert headers["authorization"] == "Bearer secret main"
    assert "rtx_" not in str(headers)


async def test_a_body_that_names_two_models_reaches_the_upstream_with_the_checked_one_only():
    harness = Harness(Step())
    await harness.ask(b'{"model":"forbidden","model":"m","messages":[]}')
    assert b"forbidden" not in harness.provider.sent[0].body


async def test_a_callers_word_cannot_write_headers():
    harness = Harness(channels=[channel("a", models=["*"])])
    answer = await harness.ask(model="m\r\nset-cookie: x" + "y" * 5000)
    told = answer.headers["x-routex-model"]
    assert answer.status == 200 and len(told) < 600 and "\r" not in told and "\n" not in told


async def test_the_record_tells_what_happened():
    harness = Harness(Step())
    await harness.ask(headers={"x-routex-session-id": "s1", "user-agent": "test/1"})
    record = harness.record
    assert (record.outcome, record.status, record.is_stream) == ("answered", 200, False)
    assert (record.asked_model, record.upstream_model, record.reported_model) == ("m", "m", "real-m")
    assert (record.usage.input_tokens, record.usage.output_tokens) == (5, 2)
    assert (record.session_id, record.user_agent, record.tenant_id) == ("s1", "test/1", "ten_1")
    assert record.response_bytes == len(GOOD_WHOLE) and record.request_bytes > 0
    assert 0 < record.queue_ms <= record.first_token_ms <= record.total_ms


async def test_a_mistake_while_settling_costs_no_record(monkeypatch):
    def fail(call):
        raise AttributeError("a mistake of ours")

    monkeypatch.setattr("routing.engine.pipeline.settle_limits", fail)
    harness = Harness(Step())
    with pytest.raises(AttributeError, match="a mistake of ours"):
        await harness.ask()
    assert (harness.record.outcome, harness.record.usage.output_tokens) == ("answered", 2)


async def test_an_answer_that_is_not_json_is_tried_elsewhere():
    harness = Harness(Step(chunks=[b'{"cut']), Step(), channels=[channel("a", priority=1), channel("b")])
    answer = await harness.ask()
    assert answer.body == GOOD_WHOLE
    assert harness.tried() == [("a", "broken"), ("b", "ok")]


# --- delivered as a stream -------------------------------------------------------------------------------------------


async def test_a_stream_passes_through_without_the_usage_that_the_client_did_not_ask_for():
    harness = Harness(streamed())
    answer = await harness.ask(stream=True)
    assert answer.body == b"".join(GOOD_STREAM[:-1]) + DONE
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert harness.record.usage.output_tokens == 2
    assert json.loads(harness.provider.sent[0].body)["stream_options"] == {"include_usage": True}


async def test_a_client_that_asked_for_usage_gets_it():
    harness = Harness(streamed())
    answer = await harness.ask(stream=True, stream_options={"include_usage": True})
    assert answer.body == b"".join(GOOD_STREAM)


async def test_nothing_is_sent_before_the_first_content():
    gate = asyncio.Event()
    harness = Harness(streamed(GOOD_STREAM[0], gate, *GOOD_STREAM[1:]))
    asking = asyncio.create_task(harness.ask(stream=True))
    for _ in range(20):
        await asyncio.sleep(0)
    assert harness.records == []
    gate.set()
    answer = await asking
    assert answer.pieces[0] == GOOD_STREAM[0] + GOOD_STREAM[1]


async def test_a_prologue_is_committed_after_its_time_even_without_content():
    gate = asyncio.Event()
    harness = Harness(streamed(GOOD_STREAM[0], gate, *GOOD_STREAM[1:]))
    harness.gateway.commit_after_s = 0.0

    async def release(piece: bytes) -> None:
        gate.set()

    answer = await harness.ask(stream=True, on_write=release)
    assert answer.pieces[0] == GOOD_STREAM[0]
    assert answer.body == b"".join(GOOD_STREAM[:-1]) + DONE


async def test_a_stream_cut_after_the_commit_point_ends_with_an_error_event():
    harness = Harness(streamed(*GOOD_STREAM[:2], UpstreamBroken("connection lost")), Step())
    answer = await harness.ask(stream=True)
    last = json.loads(answer.body.rstrip().rpartition(b"data: ")[2])
    assert "not complete" in last["error"]["message"] and b"[DONE]" not in answer.body
    assert len(harness.provider.sent) == 1, "no failover after the commit point"
    assert (harness.record.outcome, harness.record.error_code) == ("cut", "upstream_error")


async def test_a_clean_end_without_the_terminal_marker_is_a_cut():
    harness = Harness(streamed(*GOOD_STREAM[:3]))
    answer = await harness.ask(stream=True)
    assert b'"error"' in answer.body
    assert harness.record.outcome == "cut"


async def test_a_stream_that_falls_silent_says_so():
    harness = Harness(streamed(*GOOD_STREAM[:2], UpstreamTimeout("idle", 60)))
    answer = await harness.ask(stream=True)
    assert b"fell silent" in answer.body
    assert harness.record.error_code == "upstream_timeout"


async def test_a_fault_after_the_terminal_marker_harms_nothing():
    harness = Harness(streamed(*GOOD_STREAM, UpstreamBroken("reset")))
    answer = await harness.ask(stream=True)
    assert answer.body.endswith(DONE)
    assert harness.record.outcome == "answered"


async def test_an_error_event_before_the_first_content_still_fails_over():
    early = b'data: {"error":{"message":"overloaded","code":"x"}}\n\n'
    harness = Harness(streamed(early), streamed(), channels=[channel("a", priority=1), channel("b")])
    answer = await harness.ask(stream=True)
    assert b"error" not in answer.body
    assert [slug for slug, _ in harness.tried()] == ["a", "b"]


async def test_an_error_event_after_the_first_content_is_passed_on_once():
    late = b'data: {"error":{"message":"overloaded"}}\n\n'
    harness = Harness(streamed(*GOOD_STREAM[:2], late))
    answer = await harness.ask(stream=True)
    assert answer.body.count(b'"error"') == 1
    assert harness.record.outcome == "cut"


async def test_a_stream_that_ends_before_it_began_is_tried_elsewhere():
    harness = Harness(streamed(GOOD_STREAM[0]), streamed(), channels=[channel("a", priority=1), channel("b")])
    answer = await harness.ask(stream=True)
    assert answer.status == 200 and b"Hello" in answer.body


async def test_an_empty_answer_that_is_complete_is_delivered():
    harness = Harness(streamed(chat_event(finish_reason="stop"), USAGE_EVENT + DONE))
    answer = await harness.ask(stream=True)
    assert answer.status == 200 and answer.body.endswith(DONE)


async def test_silence_is_filled_with_heartbeats_between_events():
    gate = asyncio.Event()
    harness = Harness(streamed(*GOOD_STREAM[:2], gate, *GOOD_STREAM[2:]))
    harness.gateway.heartbeat_s = 0.0
    beats = []

    async def count(piece: bytes) -> None:
        if piece.startswith(b":"):
            beats.append(piece)
            gate.set()

    answer = await harness.ask(stream=True, on_write=count)
    assert beats and answer.body.endswith(DONE)


async def test_the_client_leaving_closes_the_upstream_and_is_on_record():
    gate = asyncio.Event()
    harness = Harness(streamed(*GOOD_STREAM[:2], gate, *GOOD_STREAM[2:]))

    async def leave(piece: bytes) -> None:
        harness.left.set()

    await harness.ask(stream=True, on_write=leave)
    assert harness.provider.open == 0
    assert harness.record.outcome == "gone"


async def test_the_client_leaving_before_an_answer_is_on_record():
    harness = Harness(streamed(asyncio.Event()))
    harness.left.set()
    await harness.ask(stream=True)
    assert harness.provider.open == 0
    assert (harness.record.outcome, harness.record.status) == ("gone", 499)


# --- tried again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(529),
        status(408),
        Step(error=UpstreamRefused("refused")),
        Step(error=UpstreamTimeout("connect", 5)),
    ],
)
async def test_a_passing_fault_is_tried_at_the_next_channel(fault):
    harness = Harness(fault, Step(), channels=[channel("a", priority=1), channel("b")])
    answer = await harness.ask()
    assert answer.status == 200
    assert [slug for slug, _ in harness.tried()] == ["a", "b"]
    assert answer.headers["x-routex-attempts"] == "2"


async def test_a_single_channel_is_tried_again_within_the_budget():
    harness = Harness(status(500), status(500), Step())
    assert (await harness.ask()).status == 200
    assert len(harness.provider.sent) == 3


async def test_the_budget_holds_over_all_channels():
    harness = Harness(
        *[status(500)] * 9, channels=[channel("a"), channel("b"), channel("c")], policy=PolicySpec(attempts=2)
    )
    answer = await harness.ask()
    assert answer.status == 502 and len(harness.provider.sent) == 2


async def test_a_refused_credential_rests_and_the_next_one_of_the_pool_answers():
    harness = Harness(status(401), Step(), Step(), channels=[channel("a", credentials=["one", "two"])])
    assert (await harness.ask()).status == 200
    first, second = (dict(sent.headers)["authorization"] for sent in harness.provider.sent)
    assert first != second
    harness.records.clear()
    await harness.ask()
    assert dict(harness.provider.sent[2].headers)["authorization"] == second


async def test_a_limited_credential_rests_as_long_as_the_upstream_asked():
    harness = Harness(status(429, retry_after="30"), Step())
    await harness.ask()
    harness.records.clear()
    resting = await harness.ask()
    assert resting.status == 503 and resting.headers["retry-after"] == "30"
    assert resting.json["error"]["code"] == "server_is_overloaded"
    harness.now_s += 30
    harness.records.clear()
    assert (await harness.ask()).status == 200


def keyless(*steps, **fields):
    """A gateway over a provider that asks for no credential, and without sessions that would stay where they went."""
    channels = [channel("a", credentials=(), priority=1), channel("b", credentials=())]
    harness = Harness(*steps, channels=channels, policy=PolicySpec(is_session_enabled=False, **fields))
    harness.provider.needs_credential = False
    return harness


NOTHING_LEFT = replace(
    Step(),
    headers=[*Step().headers, (b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"30s")],
)


@pytest.mark.parametrize("first", [status(429, retry_after="30"), NOTHING_LEFT], ids=["429", "nothing left"])
async def test_a_limited_channel_without_a_credential_rests_as_long_as_its_provider_said(first):
    harness = keyless(first)
    await harness.ask()
    told = await harness.ask(headers={"x-routex-dry-run": "1"})
    assert told.json["channel"] == "b"
    assert "its provider limits it; next try in 30 s" in told.json["decision"]["candidates"][0]["dropped"]
    harness.records.clear()
    await harness.ask()
    assert harness.tried() == [("a", "cooling_down"), ("b", "ok")]
    harness.now_s += 30
    harness.records.clear()
    await harness.ask()
    assert harness.tried() == [("a", "ok")]


async def test_a_channel_without_a_credential_that_refuses_is_asked_again():
    harness = keyless(status(403), Step(), Step())
    await harness.ask()
    assert (await harness.ask()).headers["x-routex-channel"] == "a"


async def test_where_every_channel_without_a_credential_is_limited_the_client_is_told_the_soonest():
    harness = keyless(status(429, retry_after="30"), status(429, retry_after="50"))
    await harness.ask()
    answer = await harness.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "30")
    assert len(harness.provider.sent) == 2


async def test_without_cooldown_no_channel_without_a_credential_rests_either():
    harness = keyless(status(429, retry_after="30"), Step(), Step(), has_cooldown=False)
    await harness.ask()
    assert (await harness.ask()).headers["x-routex-channel"] == "a"


async def test_without_cooldown_nothing_rests():
    harness = Harness(status(429), Step(), policy=PolicySpec(has_cooldown=False))
    await harness.ask()
    assert (await harness.ask()).status == 200


async def test_an_open_breaker_is_skipped_and_the_record_says_so():
    policy = PolicySpec(attempts=1, breaker_failures=2, breaker_open_s=60)
    harness = Harness(*[status(500)] * 2, Step(), channels=[channel("a", priority=1), channel("b")], policy=policy)
    await harness.ask()
    await harness.ask()
    harness.records.clear()
    answer = await harness.ask()
    assert answer.headers["x-routex-channel"] == "b"
    assert answer.headers["x-routex-attempts"] == "1", "a channel passed over is no try"
    assert harness.tried() == [("a", "breaker_open"), ("b", "ok")]


async def test_a_channel_without_a_credential_is_passed_over():
    channels = [channel("a", priority=1, credentials=[]), channel("b")]
    harness = Harness(Step(), channels=channels)
    assert (await harness.ask()).status == 200
    assert harness.tried() == [("a", "no_credential"), ("b", "ok")]


async def test_without_any_credential_the_client_is_told_whose_is_missing():
    harness = Harness(channels=[channel("a", credentials=[])])
    answer = await harness.ask()
    assert answer.status == 503 and "No credential is stored for a" in answer.json["error"]["message"]
    assert harness.provider.sent == []


async def test_fallback_models_answer_when_every_channel_of_the_model_failed():
    harness = Harness(
        status(500),
        Step(),
        channels=[channel("a"), channel("b", models=["n"])],
        fallbacks={"m": ("n",)},
    )
    answer = await harness.ask()
    assert answer.headers["x-routex-model"] == "n"


# --- refused ---------------------------------------------------------------------------------------------------------


async def test_the_upstreams_own_400_keeps_its_body_and_is_not_tried_again():
    harness = Harness(status(400, body=b'{"error":{"message":"bad tool"}}'), Step())
    answer = await harness.ask()
    assert (answer.status, answer.body) == (400, b'{"error":{"message":"bad tool"}}')
    assert answer.headers["x-should-retry"] == "false" and len(harness.provider.sent) == 1


async def test_the_upstreams_429_keeps_its_class_and_its_wait():
    harness = Harness(status(429, retry_after="7"))
    answer = await harness.ask()
    assert answer.status == 429 and answer.headers["retry-after"] == "7"


async def test_the_upstreams_401_is_never_the_clients():
    answer = await Harness(*[status(401)] * 3).ask()
    assert answer.status == 502 and answer.json["error"]["code"] == "upstream_auth_error"


async def test_a_timeout_is_told_as_one():
    answer = await Harness(*[Step(error=UpstreamTimeout("first_byte", 60))] * 3).ask()
    assert answer.status == 504 and "first byte" in answer.json["error"]["message"]


async def test_mixed_failures_are_told_in_order():
    channels = [channel("a", priority=1), channel("b")]
    harness = Harness(status(429), Step(error=REFUSED), channels=channels, policy=PolicySpec(attempts=2))
    answer = await harness.ask()
    assert answer.status == 502
    assert "a HTTP 429, b refused" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"authorization": ""}, "missing_api_key"),
        ({"authorization": "Bearer rtx_" + "x" * 38}, "malformed_api_key"),
        ({"authorization": "Bearer sk-ant-api03-abc"}, "foreign_api_key"),
    ],
)
async def test_a_caller_who_is_not_known_is_told_why(headers, code):
    answer = await Harness().ask(headers=headers)
    assert answer.status == 401 and answer.json["error"]["code"] == code
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("state", ["disabled", "revoked"])
async def test_a_key_that_is_off_is_refused(state):
    harness = Harness()
    harness.configuration.known = harness.configuration.known.__class__(
        tenant_id="ten_1", key_id="key_1", key_slug="ci", state=state
    )
    answer = await harness.ask()
    assert answer.status == 401 and answer.json["error"]["code"] == f"api_key_{state}"


async def test_an_expired_key_is_refused_with_its_date():
    harness = Harness()
    harness.configuration.known = harness.configuration.known.__class__(
        tenant_id="ten_1", key_id="key_1", key_slug="ci", expires_at_s=0.0
    )
    answer = await harness.ask()
    assert answer.json["error"]["code"] == "api_key_expired" and "1970-01-01" in answer.json["error"]["message"]


@pytest.mark.parametrize("client", [None, ("", 0), ("/run/routex.sock", 0), ("::1", 1), ("203.0.113.9", 1)])
@pytest.mark.parametrize(
    ("path", "method"), [*((path, "POST") for path in PATHS.values()), ("/v1/models", "GET"), ("/v1beta/models", "GET")]
)
async def test_a_key_of_one_network_is_refused_elsewhere_on_every_path(path, method, client):
    harness = Harness()
    harness.configuration.known = principal(networks=read_networks(["10.0.0.0/8"]))
    answer = await harness.ask(path=path, method=method, client=client, headers={"x-forwarded-for": "10.0.0.1"})
    assert answer.status == 403 and b"Key `ci` is limited to 10.0.0.0/8; request came from " in answer.body
    assert harness.provider.sent == []


@pytest.mark.parametrize("client", [("10.0.0.1", 1), ("::ffff:10.0.0.1", 1)])
async def test_a_key_of_one_network_is_good_there(client):
    harness = Harness()
    harness.configuration.known = principal(networks=read_networks(["10.0.0.0/8"]))
    assert (await harness.ask(client=client)).status == 200


async def test_a_key_that_is_over_says_so_wherever_it_is_used():
    harness = Harness()
    harness.configuration.known = principal(networks=read_networks(["10.0.0.0/8"]), state="revoked")
    assert (await harness.ask()).json["error"]["code"] == "api_key_revoked"
    harness = Harness(is_suspended=True)
    harness.configuration.known = principal(networks=read_networks(["10.0.0.0/8"]))
    assert (await harness.ask()).json["error"]["code"] == "ip_not_allowed"


@pytest.mark.parametrize("name", ["x-api-key", "x-goog-api-key"])
async def test_a_key_is_taken_from_wherever_sdks_put_it(name):
    from tests.routing.engine.harness import KEY

    assert (await Harness().ask(headers={"authorization": "", name: KEY})).status == 200


async def test_a_suspended_tenant_is_refused_with_the_reason():
    answer = await Harness(is_suspended=True, suspended_reason="unpaid").ask()
    assert answer.status == 403 and "unpaid" in answer.json["error"]["message"]


async def test_a_body_over_the_limit_is_refused_unread():
    answer = await Harness().ask(b"x" * 10_001)
    assert answer.status == 413 and answer.json["error"]["code"] == "request_too_large"


async def test_a_client_that_stops_sending_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("routing.engine.asgi.BODY_SILENCE_S", 0.0)
    answer = await Harness().ask(is_body_whole=False)
    assert answer.status == 408 and answer.json["error"]["code"] == "request_timeout"


async def test_a_syntax_error_is_quoted_to_the_caller_and_kept_out_of_the_record():
    harness = Harness()
    answer = await harness.ask(b'{"model": "m", "secret words"}')
    assert "secret words" in answer.json["error"]["message"]
    assert "secret" not in harness.record.error_message
    assert harness.record.outcome == "refused"


async def test_an_unknown_path_suggests_the_nearest():
    answer = await Harness().ask(path="/v1/chat/completion")
    assert answer.status == 404 and "/v1/chat/completions" in answer.json["error"]["message"]


async def test_another_method_is_refused():
    answer = await Harness().ask(method="GET")
    assert answer.status == 405


async def test_a_draining_process_asks_to_come_back():
    harness = Harness()
    harness.gateway.is_draining = True
    answer = await harness.ask()
    assert answer.status == 503 and answer.headers["retry-after"] == "2"


async def test_a_bug_is_told_with_the_request_id_and_without_details(monkeypatch):
    harness = Harness()
    monkeypatch.setattr(harness.configuration, "snapshot", lambda tenant_id: 1 / 0)
    answer = await harness.ask()
    assert answer.status == 500
    assert answer.headers["x-request-id"] in answer.json["error"]["message"]
    assert "division" not in answer.body.decode()
    assert harness.record.outcome == "failed"


@pytest.mark.parametrize(
    ("path", "headers", "member"),
    [
        ("/v1/models", {}, "data"),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, "has_more"),
        ("/v1beta/models", {}, "models"),
        ("/v1/models", {"x-goog-api-client": "genai"}, "models"),
    ],
)
async def test_models_are_listed_in_the_callers_shape(path, headers, member):
    answer = await Harness(aliases={"fast": "m"}).ask(path=path, method="GET", headers=headers)
    assert answer.status == 200 and member in answer.json
    assert "fast" in answer.body.decode()


async def test_a_model_that_the_key_may_not_use_is_not_listed():
    harness = Harness(channels=[channel("a", models=["m", "hidden"])])
    harness.configuration.known = harness.configuration.known.__class__(
        tenant_id="ten_1", key_id="key_1", key_slug="ci", models=("m",)
    )
    assert "hidden" not in (await harness.ask(path="/v1/models", method="GET")).body.decode()
    assert (await harness.ask(path="/v1/models/hidden", method="GET")).status == 404


@pytest.mark.parametrize("operation", list(PATHS))
async def test_every_format_refuses_in_its_own_shape(operation):
    answer = await Harness().ask(path=PATHS[operation], headers={"authorization": ""})
    assert answer.status == 401
    told = answer.json["error"]
    assert told["message"].startswith("No API key")


async def test_a_model_that_answers_in_streams_only_is_collected_for_a_client_that_asked_whole():
    harness = Harness(streamed(chat_event("Hello"), chat_event(" there", finish_reason="stop"), USAGE_EVENT + DONE))
    harness.provider.is_genuine = False
    harness.provider.capabilities = {"openai-chat": Capabilities(whole_while_thinking=False, reasons_by_default=True)}
    answer = await harness.ask()
    assert json.loads(harness.provider.sent[0].body)["stream"] is True
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["choices"][0]["message"]["content"] == "Hello there"
    assert answer.json["usage"]["total_tokens"] == 7
    assert (harness.record.usage.input_tokens, harness.provider.open) == (5, 0)
