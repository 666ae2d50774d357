"""Vertex: tokens from a token endpoint on loopback, over the real HTTP client."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
from collections.abc import Callable
from functools import cache
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from channels_app import channel_checks as checks
from channels_app.engine.errors import UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamStatus
from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.vertex import Vertex
from channels_app.engine.providers.vertex.tokens import TOKEN_URL, Tokens, load_account
from channels_app.engine.upstream import HttpUpstreams
from tests.channels_app.engine.scripted_upstream import Exchange, Serve, request_to

HOUR_S = 3600.0
ASKED = "https://europe-west1-aiplatform.googleapis.com/v1/projects/p/locations/europe-west1/x"


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def key_file(**changes: object) -> str:
    """Return a service account's key as it is downloaded."""
    account = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "kid-1",
        "private_key": pem(rsa_key()),
        "client_email": "robot@p.iam.gserviceaccount.com",
        "token_uri": "https://elsewhere.example/token",
    }
    return json.dumps(account | changes, indent=2)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


class TokenEndpoint:
    """Gives numbered tokens; `answers` are given first, each a status and a body."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)
        self.given = 0

    async def __call__(self, exchange: Exchange) -> None:
        self.given += 1
        status, body = 200, b'{"access_token":"ya29.token-%d","expires_in":3600,"token_type":"Bearer"}' % self.given
        if self.answers:
            status, body = self.answers.pop(0)
        await exchange.answer(body, b"HTTP/1.1 %d Said\r\ncontent-type: application/json\r\n" % status)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def bearer(signed: UpstreamRequest) -> str:
    return dict(signed.headers)["authorization"]


async def vertex_with(serve: Serve, clock: Callable[[], float], *answers: tuple[int, bytes]):
    """Return a provider whose tokens come from an endpoint on loopback, and that endpoint's server."""
    upstream = await serve(TokenEndpoint(*answers))
    return Vertex(Tokens(upstream.url("/token"), clock)), upstream


@pytest.mark.asyncio
async def test_a_token_is_asked_for_with_a_claim_that_the_key_signed(
    serve: Serve, upstreams: HttpUpstreams, clock: Clock
):
    vertex, upstream = await vertex_with(serve, clock)
    asked = request_to(ASKED, headers=[("accept", "*/*")])
    signed = await vertex.sign(asked, key_file(), upstreams)
    assert signed.headers == [("accept", "*/*"), ("authorization", "Bearer ya29.token-1")]

    [seen] = upstream.exchanges
    assert seen.head.startswith(b"POST /token HTTP/1.1\r\n")
    assert b"content-type: application/x-www-form-urlencoded" in seen.head
    form = parse_qs(seen.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claim, signature = form["assertion"][0].split(".")
    assert json.loads(decoded(head)) == {"alg": "RS256", "typ": "JWT", "kid": "kid-1"}
    assert json.loads(decoded(claim)) == {
        "iss": "robot@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": TOKEN_URL,
        "iat": 1_800_000_000,
        "exp": 1_800_003_600,
    }
    rsa_key().public_key().verify(decoded(signature), f"{head}.{claim}".encode(), padding.PKCS1v15(), hashes.SHA256())


def test_tokens_come_from_google_whatever_the_key_file_says():
    assert TOKEN_URL == "https://oauth2.googleapis.com/token"
    assert Vertex()._tokens._url == TOKEN_URL


@pytest.mark.asyncio
async def test_a_token_serves_until_a_minute_before_its_end(serve: Serve, upstreams: HttpUpstreams, clock: Clock):
    vertex, upstream = await vertex_with(serve, clock)
    for passed_s, token in [(0.0, 1), (HOUR_S - 61, 1), (1.0, 2), (HOUR_S - 61, 2), (1.0, 3)]:
        clock.now_s += passed_s
        signed = await vertex.sign(request_to(ASKED), key_file(), upstreams)
        assert bearer(signed) == f"Bearer ya29.token-{token}"
    assert len(upstream.exchanges) == 3


@pytest.mark.asyncio
async def test_of_many_requests_at_once_one_asks_for_the_token(serve: Serve, upstreams: HttpUpstreams, clock: Clock):
    vertex, upstream = await vertex_with(serve, clock)
    signed = await asyncio.gather(*(vertex.sign(request_to(ASKED), key_file(), upstreams) for _ in range(100)))
    assert {bearer(one) for one in signed} == {"Bearer ya29.token-1"}
    clock.now_s += HOUR_S
    await asyncio.gather(*(vertex.sign(request_to(ASKED), key_file(), upstreams) for _ in range(100)))
    assert len(upstream.exchanges) == 2


@pytest.mark.asyncio
async def test_each_account_has_a_token_of_its_own(serve: Serve, upstreams: HttpUpstreams, clock: Clock):
    vertex, _ = await vertex_with(serve, clock)
    one = await vertex.sign(request_to(ASKED), key_file(client_email="one@x"), upstreams)
    other = await vertex.sign(request_to(ASKED), key_file(client_email="other@x"), upstreams)
    assert bearer(one) != bearer(other)


@pytest.mark.asyncio
async def test_who_leaves_while_waiting_does_not_take_the_token_from_the_others(
    serve: Serve, upstreams: HttpUpstreams, clock: Clock
):
    may_answer, is_asked = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        is_asked.set()
        await may_answer.wait()
        await exchange.answer(b'{"access_token":"late","expires_in":3600}')

    upstream = await serve(slow)
    vertex = Vertex(Tokens(upstream.url("/token"), clock))
    first, second = (asyncio.create_task(vertex.sign(request_to(ASKED), key_file(), upstreams)) for _ in range(2))
    await is_asked.wait()
    first.cancel()
    may_answer.set()
    assert bearer(await second) == "Bearer late"
    assert first.cancelled()
    assert len(upstream.exchanges) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}', UpstreamStatus(401)),
        (401, b'{"error":"invalid_client"}', UpstreamStatus(401)),
        (429, b"{}", UpstreamStatus(429)),
        (503, b"busy", UpstreamStatus(503)),
        (200, b"<html>", UpstreamBroken()),
        (200, b'{"id_token":"x"}', UpstreamBroken()),
        (200, b" " * 70_000, UpstreamBroken()),
    ],
)
async def test_no_token_is_an_upstream_error_and_the_next_request_asks_again(
    serve: Serve, upstreams: HttpUpstreams, clock: Clock, status, body, error
):
    vertex, _ = await vertex_with(serve, clock, (status, body))
    results = await asyncio.gather(
        *(vertex.sign(request_to(ASKED), key_file(), upstreams) for _ in range(3)), return_exceptions=True
    )
    assert {type(result) for result in results} == {type(error)}
    if isinstance(error, UpstreamStatus):
        assert {result.status for result in results} == {error.status}
    assert bearer(await vertex.sign(request_to(ASKED), key_file(), upstreams)) == "Bearer ya29.token-2"


@pytest.mark.asyncio
async def test_an_endpoint_that_is_not_there_is_an_upstream_error(serve: Serve, upstreams: HttpUpstreams, clock: Clock):
    gone = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    with pytest.raises(UpstreamRefused):
        await Vertex(Tokens(f"http://127.0.0.1:{port}/", clock)).sign(request_to(ASKED), key_file(), upstreams)


def test_event_loops_beside_one_another_do_not_wait_for_each_others_tasks(clock: Clock):
    counted = threading.Lock()
    asked: list[str] = []

    class Upstreams:
        async def send(self, request: UpstreamRequest):
            with counted:
                asked.append(request.url)
            raise UpstreamRefused("no network here")

    tokens = Tokens("http://127.0.0.1:1/", clock)
    failures: list[BaseException] = []

    def check() -> None:
        try:
            asyncio.run(tokens.get(key_file(), request_to(ASKED), Upstreams()))
        except UpstreamError as error:
            failures.append(error)

    threads = [threading.Thread(target=check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(failure) for failure in failures] == [UpstreamRefused] * 8
    assert len(asked) == 8


@pytest.mark.parametrize(
    "secret",
    [
        "AIza-s3cret",
        "{}",
        '{"client_email":"s3cret"}',
        '{"a":' * 1600,
        '{"client_email":"a","private_key":"s3cret"}',
        '{"client_email":1,"private_key":"s3cret"}',
        json.dumps({"client_email": "s3cret", "private_key": pem(ec.generate_private_key(ec.SECP256R1()))}),
    ],
)
def test_what_is_no_service_account_is_refused_without_showing_it(secret):
    with pytest.raises(ValueError, match="the whole JSON file") as caught:
        Vertex().check_secret(secret)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_key_file_is_stored_on_one_line_however_it_was_pasted():
    stored = checks.clean_secret(f"\n{key_file()}\n", Vertex())
    assert "\n" not in stored
    assert load_account(stored)[0].client_email == "robot@p.iam.gserviceaccount.com"
    assert checks.clean_secret(stored, Vertex()) == stored


@pytest.mark.asyncio
async def test_no_secret_is_told_in_logs_errors_and_reprs(
    serve: Serve, upstreams: HttpUpstreams, clock: Clock, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    vertex, upstream = await vertex_with(serve, clock, (400, b'{"error":"invalid_grant"}'))
    with pytest.raises(UpstreamStatus) as caught:
        await vertex.sign(request_to(ASKED), key_file(), upstreams)
    signed = await vertex.sign(request_to(ASKED), key_file(), upstreams)
    assertion = parse_qs(upstream.exchanges[0].body.decode())["assertion"][0]
    secret = json.loads(key_file())["private_key"].splitlines()[1]
    told = [caplog.text, repr(caught.value), repr(signed), repr(load_account(key_file())[0])]
    assert not [text for text in told for word in (secret, assertion, "ya29.") if word in text]
