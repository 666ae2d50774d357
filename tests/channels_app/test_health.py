"""Health checks: what is asked, what counts as up, what is told, and that one tenant never stops the others."""

import asyncio
import json
import logging
import threading
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.test import AsyncClient

from channels_app import health, tasks
from channels_app.engine.errors import UpstreamRefused
from channels_app.engine.provider import UpstreamResponse
from channels_app.models import ChannelHealth
from channels_app.services import channel_create, channel_delete
from tenants.context import tenant_scope
from tenants.models import Tenant

SECRET = "sk-live-0123456789abcdef"


class Fake:
    """Answers by credential, and notes what was asked and how much at once."""

    def __init__(self, *answers, body=b""):
        self.answers = list(answers)
        self.body = body
        self.asked = []
        self.closed = self.now = self.most = 0

    async def send(self, request):
        self.asked.append(request)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer

        async def chunks():
            yield self.body

        async def close():
            self.closed += 1

        return UpstreamResponse(answer, [], chunks(), close)


def check(fake, provider="openai", secrets=(SECRET,), **fields):
    target = health.Target("chn_x", provider, "https://host.example/v1", ("10.0.0.0/8",), secrets, **fields)
    return asyncio.run(health.check(target, fake))


def test_the_probe_is_the_providers_cheapest_question():
    fake = Fake(200)
    assert check(fake).is_up
    (request,) = fake.asked
    assert (request.method, request.url) == ("GET", "https://host.example/v1/models")
    assert ("authorization", f"Bearer {SECRET}") in request.headers
    assert request.private_networks == ("10.0.0.0/8",)
    assert fake.closed == 1


@pytest.mark.parametrize(
    ("status", "is_up", "said"),
    [
        (200, True, ""),
        (429, True, "limits this credential"),
        (302, False, "redirects"),
        (401, False, "refused the credential"),
        (403, False, "refused the credential"),
        (404, False, "path of the base URL"),
        (500, False, "HTTP 500"),
        (529, False, "HTTP 529"),
    ],
)
def test_a_status_is_judged(status, is_up, said):
    result = check(Fake(status))
    assert (result.is_up, result.status) == (is_up, status) and said in result.detail


def test_the_upstreams_words_are_told_without_the_secret():
    body = json.dumps({"error": {"message": f"Incorrect API key provided:\n{SECRET}."}}).encode()
    result = check(Fake(401, body=body))
    assert "Incorrect API key provided" in result.detail
    assert SECRET not in result.detail and "\n" not in result.detail


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": null}', b'{"error": {"message": 5}}', b"\xff"])
def test_a_body_in_another_form_is_left_out(body):
    assert check(Fake(500, body=body)).detail == "OpenAI answered HTTP 500"


def test_a_long_error_body_is_not_read_to_its_end():
    assert len(check(Fake(500, body=b'{"error":{"message":"' + b"x" * 10**6 + b'"}}')).detail) < 400


def test_an_upstream_that_cannot_be_reached_is_down():
    result = check(Fake(UpstreamRefused("nobody listens")))
    assert (result.is_up, result.status) == (False, None) and "nobody listens" in result.detail


def test_a_pool_is_up_when_one_credential_is_accepted():
    fake = Fake(401, 200)
    assert check(fake, secrets=("sk-bad", "sk-good")).is_up and len(fake.asked) == 2
    fake = Fake(500)
    assert not check(fake, secrets=("sk-a", "sk-b")).is_up
    assert len(fake.asked) == 1, "another credential does not mend a broken server"


def test_a_provider_with_nothing_to_ask_is_up_without_network():
    fake = Fake(AssertionError("asked"))
    assert check(fake, provider="echo", secrets=()).is_up and fake.asked == []


def test_what_stands_in_the_way_is_told_without_network():
    fake = Fake(AssertionError("asked"))
    result = check(fake, obstacle="no key opens the credential")
    assert not result.is_up and result.detail == "no key opens the credential" and fake.asked == []


def test_checks_run_together_but_not_all_at_once():
    fake = Fake(200)
    targets = [health.Target(str(number), "openai", "https://h/v1", secrets=("s",)) for number in range(30)]
    results = asyncio.run(health.check_all(targets, fake))
    assert [result.channel_id for result in results] == [target.channel_id for target in targets]
    assert 1 < fake.most <= health.CHECKS_AT_ONCE


def test_a_target_shows_no_secret():
    assert SECRET not in repr(health.Target("c", "openai", "https://h", secrets=(SECRET,)))


@contextmanager
def upstream(status, body=b"{}"):
    """Serve one answer on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        seen = []

        def do_GET(self):
            self.seen.append((self.path, self.headers.get("authorization")))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", Handler.seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def channel_of(tenant, base_url, slug="checked", **fields):
    given = {"provider": "openai", "served_models": ["m"], "credentials": {"main": SECRET}} | fields
    return channel_create(tenant_id=tenant.id, slug=slug, base_url=base_url, **given)


@pytest.mark.django_db
@pytest.mark.parametrize(("status", "is_up"), [(200, True), (401, False)])
def test_a_real_server_is_asked_when_the_tenant_may_reach_it(cast, status, is_up):
    tenant = Tenant.objects.get(pk=cast.acme.id)
    tenant.private_upstreams = ["127.0.0.0/8"]
    with upstream(status) as (base_url, seen), tenant_scope(tenant.id):
        (row,) = health.channels_check(tenant=tenant, channels=[channel_of(tenant, base_url)])
    assert row.is_up is is_up and row.status == status and row.duration_ms > 0
    assert seen == [("/v1/models", f"Bearer {SECRET}")]


@pytest.mark.django_db
def test_a_private_server_is_not_asked_when_the_tenant_may_not(cast):
    with upstream(200) as (base_url, seen), tenant_scope(cast.acme.id):
        (row,) = health.channels_check(tenant=cast.acme, channels=[channel_of(cast.acme, base_url)])
    assert not row.is_up and seen == []


@pytest.mark.django_db
def test_a_credential_that_no_key_opens_is_told_as_such(cast, settings):
    with tenant_scope(cast.acme.id):
        channel = channel_of(cast.acme, "")
        settings.ENCRYPTION_KEYS = ("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDI=",)
        (target,) = health.targets_of(tenant=cast.acme, channels=[channel])
    assert "ROUTEX_ENCRYPTION_KEYS" in target.obstacle and target.secrets == ()


@pytest.fixture
def watched(cast):
    """Give both tenants a committed channel; removed again, since the cast is shared."""
    made = []
    for tenant in (cast.acme, cast.rival):
        with tenant_scope(tenant.id):
            made.append((tenant, channel_of(tenant, "", provider="echo", credentials={})))
            made.append((tenant, channel_of(tenant, "", slug="off", provider="echo", is_enabled=False, credentials={})))
    yield
    for tenant, channel in made:
        with tenant_scope(tenant.id):
            channel_delete(tenant_id=tenant.id, channel=channel)


def checks_of(tenant):
    with tenant_scope(tenant.id):
        return list(ChannelHealth.objects.values_list("channel__slug", flat=True))


@pytest.mark.django_db(transaction=True)
def test_the_task_checks_enabled_channels_of_every_tenant(cast, watched):
    assert tasks.check_channels() >= 2
    assert checks_of(cast.acme) == checks_of(cast.rival) == ["checked"]


@pytest.mark.django_db(transaction=True)
def test_a_failing_tenant_does_not_stop_the_others(cast, watched, monkeypatch, caplog):
    real = health.targets_of

    def fails_for_acme(*, tenant, channels):
        if tenant.slug == "acme":
            raise RuntimeError("broken rows")
        return real(tenant=tenant, channels=channels)

    monkeypatch.setattr(health, "targets_of", fails_for_acme)
    with caplog.at_level(logging.ERROR, logger="routex.health"):
        tasks.check_channels()
    assert checks_of(cast.acme) == [] and checks_of(cast.rival) == ["checked"]
    assert "acme" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_channel_that_went_away_meanwhile_is_skipped(cast, watched):
    @asynccontextmanager
    async def slow():
        yield Fake(200)

    with tenant_scope(cast.acme.id):
        doomed = channel_of(cast.acme, "", slug="doomed", provider="echo", credentials={})
    real = health.check_all

    async def deleting(targets, upstreams):
        results = await real(targets, upstreams)
        await asyncio.to_thread(_delete, cast.acme, doomed)
        return results

    health.check_all = deleting
    try:
        assert health.tenant_check(tenant=cast.acme, open_upstreams=slow) == 2
    finally:
        health.check_all = real
    assert checks_of(cast.acme) == ["checked"]


def _delete(tenant, channel):
    from django.db import connection

    with tenant_scope(tenant.id):
        channel_delete(tenant_id=tenant.id, channel=channel)
    connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.asyncio
async def test_a_test_works_inside_a_running_server(cast, watched):
    headers = {"Authorization": f"Bearer {cast.acme_token}"}
    answer = await AsyncClient().post("/api/channels/checked/test", headers=headers)
    assert answer.status_code == 200 and answer.json()["is_up"] is True
