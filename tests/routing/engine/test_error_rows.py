"""Every row of the error catalogue in every dialect: met, missed by a little, and provoked with malice."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.errors import UpstreamBlocked, UpstreamTimeout
from routing.engine.catalogue import CATALOGUE
from tenants.engine import keys
from tenants.engine.networks import read_networks
from tests.routing.engine import claude
from tests.routing.engine.cast import channel, principal
from tests.routing.engine.counted_out import all_reserved, ask_often, budget, counted, ledger_away, store_away
from tests.routing.engine.dialects import DIALECTS, Dialect
from tests.routing.engine.harness import Answer, Harness, Step, chat_event, status, streamed

pytestmark = pytest.mark.asyncio
BASE = "https://routex.example"
HUGE = "x" * 100_000
NESTED = b'{"model":"m","messages":' + b"[" * 50_000
UGLY = "a\r\nset-cookie: x\x1b[31m\x00"
PAGE = b"<!doctype html><html><body>" + b"<p>gone</p>" * 5000

INVALID, SERVER = "invalid_request_error", "server_error"
#: Code → status and word of OpenAI's formats, of Anthropic, of Gemini; as the reference has them, row by row.
WORDS: dict[str, tuple[tuple[int, str], tuple[int, str], tuple[int, str]]] = {
    **dict.fromkeys(
        (
            *("missing_api_key", "invalid_api_key", "malformed_api_key", "foreign_api_key"),
            *("api_key_expired", "api_key_disabled", "api_key_revoked"),
        ),
        ((401, INVALID), (401, "authentication_error"), (401, "UNAUTHENTICATED")),
    ),
    **dict.fromkeys(
        ("model_not_allowed", "channel_not_allowed", "ip_not_allowed", "tenant_suspended"),
        ((403, INVALID), (403, "permission_error"), (403, "PERMISSION_DENIED")),
    ),
    **dict.fromkeys(
        (
            *("invalid_json", "invalid_value", "wrong_endpoint", "unsupported_parameter", "lossy_translation"),
            *("media_unavailable", "context_length_exceeded", "invalid_form", "invalid_encoding", "upstream_refused"),
            "content_filter",
        ),
        ((400, INVALID), (400, INVALID), (400, "INVALID_ARGUMENT")),
    ),
    "unsupported_encoding": ((415, INVALID), (415, INVALID), (415, "INVALID_ARGUMENT")),
    "request_timeout": ((408, SERVER), (408, "timeout_error"), (408, "DEADLINE_EXCEEDED")),
    "request_too_large": ((413, INVALID), (413, "request_too_large"), (413, "INVALID_ARGUMENT")),
    "model_not_found": ((404, INVALID), (404, "not_found_error"), (404, "NOT_FOUND")),
    "unknown_route": ((404, INVALID), (404, "not_found_error"), (404, "NOT_FOUND")),
    "method_not_allowed": ((405, INVALID), (405, INVALID), (405, "INVALID_ARGUMENT")),
    **dict.fromkeys(
        ("rate_limit_exceeded", "concurrency_limit_exceeded", "quota_reserved"),
        ((429, "requests"), (429, "rate_limit_error"), (429, "RESOURCE_EXHAUSTED")),
    ),
    "insufficient_quota": ((429, "insufficient_quota"), (402, "billing_error"), (429, "RESOURCE_EXHAUSTED")),
    "no_available_channel": ((503, SERVER), (503, "api_error"), (503, "UNAVAILABLE")),
    "server_is_overloaded": ((503, SERVER), (529, "overloaded_error"), (503, "UNAVAILABLE")),
    "overloaded": ((503, SERVER), (529, "overloaded_error"), (503, "UNAVAILABLE")),
    **dict.fromkeys(
        ("upstream_error", "upstream_auth_error", "upstream_blocked"),
        ((502, SERVER), (502, "api_error"), (502, "UNAVAILABLE")),
    ),
    "upstream_timeout": ((504, SERVER), (504, "timeout_error"), (504, "DEADLINE_EXCEEDED")),
    "timeout": ((504, SERVER), (504, "timeout_error"), (504, "DEADLINE_EXCEEDED")),
    **dict.fromkeys(
        ("starting_up", "shutting_down", "no_room", "limits_unavailable", "ledger_away", "unpriced_model"),
        ((503, SERVER), (503, "overloaded_error"), (503, "UNAVAILABLE")),
    ),
    "internal_error": ((500, SERVER), (500, "api_error"), (500, "INTERNAL")),
}


async def ask(
    dialect: Dialect,
    *steps: Step,
    model: str = "m",
    key: dict[str, Any] | None = None,
    prepare: Callable[[Harness], object] = lambda harness: None,
    is_translated: bool = False,
    is_stream: bool = False,
    fields: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    **asked: Any,
) -> Answer:
    """Ask a new gateway: `key` changes its key, `fields` its tenant, `more` the body, `asked` the request."""
    harness = Harness(*(steps or [dialect.good(is_translated=is_translated)] * 3), **(fields or {}))
    harness.provider.endpoints = dialect.endpoints(is_translated=is_translated)
    harness.gateway.base_url = BASE
    harness.gateway.max_body_bytes = 1_000_000
    harness.configuration.known = principal(**(key or {}))
    prepare(harness)
    extra = {"stream": True} if is_stream and dialect.name != "gemini" else {}
    asked.setdefault("body", dialect.body(model, **extra, **(more or {})))
    asked.setdefault("path", dialect.path(model, is_stream=is_stream))
    if is_stream and dialect.name == "gemini":
        asked["query"] = "alt=sse"
    return await harness.ask(asked.pop("body"), **asked)


Asking = Callable[[Dialect], Awaitable[Answer]]


@dataclass(frozen=True)
class Row:
    """How to meet a row; missing it by a little gives an answer, and malice gives the row or one of `instead`."""

    hit: Asking
    hostile: Asking
    says: str
    miss: Asking = ask
    instead: tuple[str, ...] = ()
    dialects: tuple[str, ...] = tuple(DIALECTS)
    patches: dict[str, Any] = field(default_factory=dict)
    is_mid_stream: bool = False


def full(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def boom(tenant_id: str) -> None:
    raise ZeroDivisionError("secret detail")


def key_of(name: str, value: str) -> dict[str, str]:
    return {"authorization": "", name: value}


def said(message: str, code: str = "") -> bytes:
    """Return an upstream's error body that each of the formats can read."""
    return json.dumps({"type": "error", "error": {"type": code or INVALID, "code": code, "message": message}}).encode()


def breaking(dialect: Dialect, *last: bytes | Exception) -> Step:
    """Return a stream of the other format that begins well and ends so."""
    if dialect.other == "anthropic":
        return streamed(*claude.frames(claude.START, *claude.TEXT[:2]), *last)
    return streamed(chat_event("Hello"), *last)


def error_event(dialect: Dialect, kind: str, message: str) -> bytes:
    error = {"type": "error", "error": {"type": kind, "code": kind, "message": message}}
    return (
        (b"event: error\n" if dialect.other == "anthropic" else b"") + b"data: " + json.dumps(error).encode() + b"\n\n"
    )


async def resting(dialect: Dialect, message: bytes = said("slow")) -> Answer:
    """Ask again while the only credential rests."""
    harness = Harness(status(429, retry_after="30", body=message), dialect.good())
    harness.gateway.base_url = BASE
    await harness.ask(dialect.body(), path=dialect.path())
    return await harness.ask(dialect.body(), path=dialect.path())


def refused(code: int, message: str = "their words", word: str = "") -> Asking:
    steps = [status(code, body=said(message, word))] * 3
    return lambda d: ask(d, *steps, is_translated=True)


def form(body: bytes, kind: str = "multipart/form-data; boundary=b") -> Asking:
    path, heads = "/v1/audio/transcriptions", {"content-type": kind}
    return lambda d: ask(d, body=body, path=path, headers=heads, prepare=hears)


def hears(harness: Harness) -> None:
    harness.provider.endpoints = {"openai-transcription": "/it"}


FIELD = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
LARGE_FORM = FIELD + FILE + b"x" * 300_000 + b"\r\n--b--\r\n"
OTHER_KINDS = {"openai-chat": "input", "openai-responses": "messages", "anthropic": "contents", "gemini": "messages"}
LOSSY = {
    "openai-chat": {"seed": 7},
    "openai-responses": {"truncation": "auto"},
    "anthropic": {"top_k": 5},
    "gemini": {"generationConfig": {"topK": 5}},
}
UNSUPPORTED = {"openai-chat": {"n": 2}, "openai-responses": {"previous_response_id": "resp_1"}}
PICTURE = {
    "openai-chat": {"type": "image_url", "image_url": {"url": "ftp://user:pass@host/a.png"}},
    "anthropic": {"type": "image", "source": {"type": "url", "url": "ftp://user:pass@host/a.png"}},
}


def pictured(dialect: Dialect, url: str) -> list[dict[str, Any]]:
    part = json.loads(json.dumps(PICTURE[dialect.name]).replace("ftp://user:pass@host/a.png", url))
    return [{"role": "user", "content": [part]}]


def picture(url: str) -> Asking:
    return lambda d: ask(d, is_translated=True, more={"messages": pictured(d, url)}, prepare=inline_only)


def inline_only(harness: Harness) -> None:
    only = Capabilities(image_urls=False)
    harness.provider.capabilities = dict.fromkeys(("anthropic", "openai-chat"), only)


STRICT = {"x-routex-strict": "1"}
LIMITED = {"networks": read_networks(["10.0.0.0/8", "2001:db8::/32"])}
#: What proxies tell of the client, and anybody can write.
SPOOFED = dict.fromkeys(
    ("x-forwarded-for", "x-real-ip", "x-client-ip", "cf-connecting-ip", "true-client-ip", "forwarded"), "10.0.0.1"
) | {"forwarded": "for=10.0.0.1;by=10.0.0.2"}
DISABLED = {"channels": [channel("a", is_enabled=False), channel("b", is_enabled=False)]}
ROWS: dict[str, Row] = {
    "missing_api_key": Row(
        lambda d: ask(d, headers={"authorization": ""}),
        lambda d: ask(d, headers={"authorization": "Bearer \t "}),
        f"Create one at {BASE}/keys/.",
    ),
    "invalid_api_key": Row(
        lambda d: ask(d, headers=key_of("x-api-key", keys.mint())),
        lambda d: ask(d, headers={"authorization": "Basic QTpC", "x-goog-api-key": keys.mint()}),
        "Unknown API key `rtx_…",
    ),
    "malformed_api_key": Row(
        lambda d: ask(d, headers={"authorization": f"Bearer {keys.mint()[:-3]}"}),
        lambda d: ask(d, headers={"authorization": f"Bearer rtx_{UGLY}{HUGE}"}),
        "not a complete Routex key",
    ),
    "foreign_api_key": Row(
        lambda d: ask(d, headers={"authorization": "Bearer sk-ant-api03-abc"}),
        lambda d: ask(d, headers={"authorization": f"Bearer sk-{UGLY}{HUGE}"}),
        "This looks like an Anthropic key",
    ),
    "api_key_expired": Row(
        lambda d: ask(d, key={"expires_at_s": 0.0}),
        lambda d: ask(d, key={"expires_at_s": time.time()}),
        f"Key `ci` expired on 1970-01-01 00:00 UTC. Rotate it at {BASE}/keys/.",
        miss=lambda d: ask(d, key={"expires_at_s": time.time() + 60}),
    ),
    "api_key_disabled": Row(
        lambda d: ask(d, key={"state": "disabled"}), lambda d: ask(d, key={"state": "frozen"}), "Key `ci` is disabled"
    ),
    "api_key_revoked": Row(
        lambda d: ask(d, key={"state": "revoked"}),
        lambda d: ask(d, key={"state": "revoked"}, model=HUGE),
        "Key `ci` is revoked",
    ),
    "model_not_allowed": Row(
        lambda d: ask(d, key={"models": ("gpt-*",)}),
        lambda d: ask(d, key={"models": ("gpt-*",)}, model="m" * 100_000),
        "Key `ci` may not use `m`. Allowed: gpt-*.",
        miss=lambda d: ask(d, key={"models": ("gpt-*", "m")}),
    ),
    "channel_not_allowed": Row(
        lambda d: ask(d, key={"channels": ("b",)}, headers={"x-routex-channel": "a"}),
        lambda d: ask(d, key={"channels": ("b",)}, headers={"x-routex-channel": UGLY + HUGE}),
        "Key `ci` may not use channel `a`. Allowed: b.",
        miss=lambda d: ask(d, key={"channels": ("a",)}, headers={"x-routex-channel": "a"}),
    ),
    "ip_not_allowed": Row(
        lambda d: ask(d, key=LIMITED, client=("203.0.113.9", 1)),
        lambda d: ask(d, key=LIMITED, client=("203.0.113.9", 1), headers=SPOOFED),
        "Key `ci` is limited to 10.0.0.0/8, 2001:db8::/32; request came from 203.0.113.9. Send it from there, or ask",
        miss=lambda d: ask(d, key=LIMITED, client=("10.255.255.255", 1)),
    ),
    "tenant_suspended": Row(
        lambda d: ask(d, fields={"is_suspended": True, "suspended_reason": "unpaid."}),
        lambda d: ask(d, fields={"is_suspended": True}, model=HUGE),
        "Tenant `acme` is suspended: unpaid. Contact",
    ),
    "invalid_json": Row(
        lambda d: ask(d, body=b'{\n "model": "m" "x"}'),
        lambda d: ask(d, body=NESTED),
        "line 2",
    ),
    "invalid_value": Row(
        lambda d: ask(d, body=b'["m"]'),
        lambda d: ask(d, body=json.dumps(HUGE).encode()),
        "Body must be a JSON object, not a list",
    ),
    "wrong_endpoint": Row(
        lambda d: ask(d, body={"model": "m", OTHER_KINDS[d.name]: []}),
        lambda d: ask(d, body={"model": HUGE, OTHER_KINDS[d.name]: HUGE, UGLY: 1}),
        "Use /v1",
    ),
    "unsupported_parameter": Row(
        lambda d: ask(d, is_translated=True, more=UNSUPPORTED[d.name]),
        lambda d: ask(d, is_translated=True, more={**UNSUPPORTED[d.name], "user": UGLY + HUGE}),
        "Leave `",
        miss=lambda d: ask(d, is_translated=True),
        dialects=tuple(UNSUPPORTED),
    ),
    "lossy_translation": Row(
        lambda d: ask(d, is_translated=True, more=LOSSY[d.name], headers=STRICT),
        lambda d: ask(
            d, is_translated=True, more={**LOSSY[d.name], **dict.fromkeys(map(str, range(5000)), 1)}, headers=STRICT
        ),
        "would be lost",
        miss=lambda d: ask(d, is_translated=True, more=LOSSY[d.name]),
    ),
    "media_unavailable": Row(
        picture("ftp://user:pass@host/a.png"),
        picture("ftp://user:pass@" + "h" * 50_000),
        "neither http nor https",
        dialects=tuple(PICTURE),
    ),
    "context_length_exceeded": Row(
        refused(400, "Prompt is too long: 214000 tokens > 128000"),
        refused(400, f"prompt is too long {HUGE} {UGLY}"),
        "214000 tokens",
    ),
    "content_filter": Row(
        refused(400, "Output blocked by content filtering policy"),
        refused(400, f"content filtering policy {HUGE} {UGLY}"),
        "content filtering policy",
    ),
    "invalid_form": Row(
        form(b"{}", "application/json"),
        form(b"--b\r\n" * 20_000),
        "multipart/form-data",
        dialects=("openai-chat",),
    ),
    "invalid_encoding": Row(
        lambda d: ask(d, body=b"no gzip at all", headers={"content-encoding": "gzip"}),
        lambda d: ask(d, body=gzip.compress(HUGE.encode())[:-9], headers={"content-encoding": "gzip"}),
        "not gzip",
        miss=lambda d: ask(d, body=gzip.compress(json.dumps(d.body()).encode()), headers={"content-encoding": "gzip"}),
    ),
    "unsupported_encoding": Row(
        lambda d: ask(d, headers={"content-encoding": "br"}),
        lambda d: ask(d, headers={"content-encoding": UGLY + HUGE}),
        "`br` is not understood",
    ),
    "request_timeout": Row(
        lambda d: ask(d, is_body_whole=False),
        lambda d: ask(d, body=NESTED, is_body_whole=False),
        "Send it again.",
        patches={"routing.engine.asgi.BODY_SILENCE_S": 0.0},
    ),
    "request_too_large": Row(
        lambda d: ask(d, body=b"x" * 1_000_001),
        lambda d: ask(d, body=gzip.compress(b" " * 2_000_000), headers={"content-encoding": "gzip"}),
        "the limit is 1 MB",
    ),
    "model_not_found": Row(
        lambda d: ask(d, model="gpt-5.6-lunna", fields={"channels": [channel("a", models=["gpt-5.6-luna"])]}),
        lambda d: ask(d, model="m" * 100_000),
        "Model `gpt-5.6-lunna` is not served here. Did you mean `gpt-5.6-luna`? List: GET /v1/models.",
    ),
    "unknown_route": Row(
        lambda d: ask(d, path=f"{d.path()[:-1]}", headers=d.headers),
        lambda d: ask(d, path=f"/v1/{UGLY}{HUGE}", headers=d.headers),
        "Did you mean /v1",
    ),
    "method_not_allowed": Row(
        lambda d: ask(d, method="DELETE"), lambda d: ask(d, method=f"X{UGLY}{HUGE}"), "takes POST, not DELETE"
    ),
    "rate_limit_exceeded": Row(
        lambda d: ask_often(d, 2, limits=counted(1)),
        lambda d: ask_often(d, limits=counted(9, kind="tokens"), text=UGLY + HUGE),
        "Limit of 1 requests/min for tenant `acme` reached (1/1). Try again in 60 s.",
        miss=lambda d: ask_often(d, 2, limits=counted(2)),
    ),
    "concurrency_limit_exceeded": Row(
        lambda d: ask_often(d, 2, limits=counted(1, kind="concurrency"), is_at_once=True),
        lambda d: ask_often(d, 2, limits=counted(1, kind="concurrency"), is_at_once=True, text=UGLY + HUGE),
        "1 of 1 parallel requests of tenant `acme` in use. Try again in 1 s.",
        miss=lambda d: ask_often(d, 2, limits=counted(2, kind="concurrency"), is_at_once=True),
    ),
    "insufficient_quota": Row(
        lambda d: ask_often(d, 2, quotas=budget(1, kind="requests")),
        lambda d: ask_often(d, quotas=budget(1), text=UGLY + HUGE),
        "for tenant `acme` is used up (1 requests). Resets Dec 1 00:00 UTC. Raise it: ",
        miss=lambda d: ask_often(d, 2, quotas=budget(2, kind="requests")),
    ),
    "quota_reserved": Row(
        lambda d: ask_often(d, quotas=budget(), prepare=all_reserved),
        lambda d: ask_often(d, quotas=budget(), prepare=all_reserved, text=UGLY + HUGE),
        "for tenant `acme` is reserved by requests under way. Try again in a second.",
        miss=lambda d: ask_often(d, quotas=budget()),
    ),
    "limits_unavailable": Row(
        lambda d: ask_often(d, limits=counted(options={"on_outage": "closed"}), prepare=store_away),
        lambda d: ask_often(d, limits=counted(options={"on_outage": "closed"}), prepare=store_away, text=UGLY + HUGE),
        "Requests of tenant `acme` cannot be counted right now",
        miss=lambda d: ask_often(d, limits=counted(options={"on_outage": "local"}), prepare=store_away),
    ),
    "ledger_away": Row(
        lambda d: ask_often(d, quotas=budget(), prepare=ledger_away),
        lambda d: ask_often(d, quotas=budget(), prepare=ledger_away, text=UGLY + HUGE),
        "The ledger of quotas cannot be reached",
        miss=lambda d: ask_often(d, prepare=ledger_away),
    ),
    "unpriced_model": Row(
        lambda d: ask_often(d, quotas=budget(), prices={}),
        lambda d: ask_often(d, quotas=budget(), prices={}, model=UGLY + HUGE),
        "Nobody knows what `m` costs, and the monthly budget of $1.00 counts it. Set `prices` for it on channel `a`",
        miss=lambda d: ask_often(d, quotas=budget(9, kind="requests"), prices={}),
    ),
    "no_available_channel": Row(
        lambda d: ask(d, fields=DISABLED),
        lambda d: ask(d, model=HUGE, fields={"channels": [channel("a", models=["x*"], is_enabled=False)]}),
        "2 channels serve `m`, all switched off (a: by an admin; b: by an admin).",
    ),
    "server_is_overloaded": Row(
        resting,
        lambda d: resting(d, PAGE),
        "The only channel for `m` is cooling down after errors; next try in 30 s.",
        instead=("upstream_error",),
    ),
    "overloaded": Row(refused(529), refused(529, UGLY + HUGE), "is limited by its provider (529)"),
    "upstream_error": Row(
        refused(500),
        lambda d: ask(d, *[status(502, body=PAGE)] * 3, is_translated=True),
        "`m` failed on all 3 tries: a HTTP 500, a HTTP 500, a HTTP 500.",
    ),
    "upstream_auth_error": Row(
        refused(401), refused(403, UGLY + HUGE), "Channel `a` rejected its own credentials (401)"
    ),
    "upstream_blocked": Row(
        lambda d: ask(d, *[Step(error=UpstreamBlocked("The address is private."))] * 3),
        lambda d: ask(d, *[Step(error=UpstreamBlocked("The address is private."))] * 3, model="m"),
        "The address is private.",
    ),
    "upstream_refused": Row(refused(400), refused(422, UGLY + HUGE), "their words", instead=("invalid_value",)),
    "upstream_timeout": Row(
        lambda d: ask(d, *[Step(error=UpstreamTimeout("first_byte", 60))] * 3),
        lambda d: ask(
            d,
            breaking(d, UpstreamTimeout("idle", 1)),
            is_translated=True,
            is_stream=True,
        ),
        "no first byte within 60 s",
    ),
    "timeout": Row(
        lambda d: ask(
            d, breaking(d, error_event(d, TIMEOUT_WORDS[d.other], "too slow")), is_translated=True, is_stream=True
        ),
        lambda d: ask(
            d, breaking(d, error_event(d, TIMEOUT_WORDS[d.other], UGLY + HUGE)), is_translated=True, is_stream=True
        ),
        "too slow",
        is_mid_stream=True,
    ),
    "starting_up": Row(
        lambda d: ask(d, prepare=lambda harness: setattr(harness.configuration, "is_ready", False)),
        lambda d: ask(d, model=HUGE, prepare=lambda harness: setattr(harness.configuration, "is_ready", False)),
        "Routex is starting",
    ),
    "shutting_down": Row(
        lambda d: ask(d, prepare=lambda harness: setattr(harness.gateway, "is_draining", True)),
        lambda d: ask(
            d,
            path="/v1/models",
            method=UGLY,
            prepare=lambda harness: setattr(harness.gateway, "is_draining", True),
            headers=d.headers,
        ),
        "restarting",
    ),
    "no_room": Row(
        form(LARGE_FORM),
        form(LARGE_FORM),
        "no room",
        dialects=("openai-chat",),
        patches={"routing.engine.upload._write_at": full},
    ),
    "internal_error": Row(
        lambda d: ask(d, prepare=lambda harness: setattr(harness.configuration, "snapshot", boom)),
        lambda d: ask(d, model=HUGE, prepare=lambda harness: setattr(harness.configuration, "snapshot", boom)),
        "Routex failed. Give this id to your admin: req_",
    ),
}
TIMEOUT_WORDS = {"anthropic": "timeout_error", "openai-chat": "timeout"}
EACH = [pytest.param(code, DIALECTS[name], id=f"{code}-{name}") for code, row in ROWS.items() for name in row.dialects]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)


async def test_no_row_is_left_out():
    assert set(ROWS) == set(WORDS) == set(CATALOGUE)


def patched(monkeypatch, row: Row) -> None:
    for target, value in row.patches.items():
        monkeypatch.setattr(target, value)


@pytest.mark.parametrize(("code", "dialect"), EACH)
async def test_a_row_is_told_with_its_status_word_code_and_headers(monkeypatch, code, dialect):
    row, facts = ROWS[code], CATALOGUE[code]
    patched(monkeypatch, row)
    answer = await row.hit(dialect)
    told = dialect.told_last(answer) if row.is_mid_stream else dialect.told(answer)
    assert row.says in told.message
    assert told.request_id == answer.headers["x-request-id"] != ""
    assert told.code == ("" if dialect.name == "anthropic" else code)
    by_format = dict(zip(("openai", "anthropic", "gemini"), WORDS[code], strict=True))
    expected, word = by_format[dialect.name.partition("-")[0]]
    assert told.word == word
    if row.is_mid_stream:
        return
    assert told.docs == ("" if dialect.name == "anthropic" else f"{BASE}/errors/{code}")
    assert told.status == expected
    assert answer.headers["x-should-retry"] == ("true" if facts.should_retry else "false")
    assert ("retry-after" in answer.headers) == (facts.retry_after_s is not None)
    assert ("retry-after-ms" in answer.headers) == (facts.retry_after_s is not None)
    assert ("www-authenticate" in answer.headers) == (expected == 401)
    assert ("allow" in answer.headers) == (expected == 405)


@pytest.mark.parametrize(("code", "dialect"), EACH)
async def test_a_request_that_just_misses_a_row_is_answered(code, dialect):
    assert (await ROWS[code].miss(dialect)).status == 200


@pytest.mark.parametrize(("code", "dialect"), EACH)
async def test_malice_gets_a_short_printable_answer(monkeypatch, code, dialect):
    row = ROWS[code]
    patched(monkeypatch, row)
    answer = await row.hostile(dialect)
    told = dialect.told_last(answer) if answer.status == 200 else dialect.told(answer)
    assert told.code in {"", code, *row.instead}
    assert len(told.message) < 1500
    assert told.message.replace("\r", "").replace("\n", "").isprintable(), told.message
    assert not any(mark in value for value in answer.headers.values() for mark in "\r\n\0\x1b")
    assert "<html" not in told.message and "secret detail" not in told.message


@pytest.mark.parametrize(
    ("status_code", "code", "says"),
    [
        (429, "rate_limit_exceeded", "Channel `a` is limited by its provider (429) for `m`: their words"),
        (402, "insufficient_quota", "their words"),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_an_upstreams_own_limit_is_told_as_its_own(dialect, status_code, code, says):
    answer = await refused(status_code)(dialect)
    told = dialect.told(answer)
    openai = "rate_limit_error" if status_code == 429 else "insufficient_quota"
    _, anthropic, gemini = WORDS[code]
    expected = {"anthropic": anthropic, "gemini": gemini}.get(dialect.name, (429, openai))
    assert ((told.status, told.word), told.code) == (expected, "" if dialect.name == "anthropic" else code)
    assert told.message == says
    assert upstream_in(answer.json["error"]) == ("a", status_code)
    assert answer.headers["x-routex-channel"] == "a"


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_an_upstreams_400_says_whose_it_is_unless_its_bytes_pass(dialect):
    assert upstream_in((await refused(400)(dialect)).json["error"]) == ("a", 400)
    body = said("their words")
    answer = await ask(dialect, status(400, body=body))
    assert (answer.body, answer.headers["x-routex-channel"]) == (body, "a")


def upstream_in(error: dict[str, Any]) -> tuple[str, int]:
    if "details" in error:
        told = error["details"][0]["metadata"]
        return told["channel"], int(told["status"])
    return error["upstream"]["channel"], error["upstream"]["status"]


ROLES = {"openai-responses": "input", "gemini": "contents"}


@pytest.mark.parametrize(
    ("role", "says"),
    [("usr", "is `usr`; expected one of"), (UGLY + HUGE, "…`; expected one of"), ("", "is missing")],
)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_a_word_that_is_none_is_told_with_those_that_are(dialect, role, says):
    member = ROLES.get(dialect.name, "messages")
    content = {"parts": [{"text": "x"}]} if dialect.name == "gemini" else {"content": "x"}
    answer = await ask(dialect, is_translated=True, more={member: [{"role": role, **content}]})
    if dialect.name == "gemini" and not role:
        assert answer.status == 200  # the role may be left out there
        return
    told = dialect.told(answer)
    assert (told.status, told.word) == (400, {"gemini": "INVALID_ARGUMENT"}.get(dialect.name, INVALID))
    assert told.message.startswith(f"`{member}[0].role` is ") and says in told.message
    assert ("Did you mean `user`?" in told.message) == (role == "usr")
    assert len(told.message) < 400 and told.message.isprintable()


@pytest.mark.parametrize(
    ("last", "code", "says"),
    [
        ((), "upstream_error", "The answer is not complete."),
        ((UpstreamTimeout("idle", 60),), "upstream_timeout", "nothing more within 60 s."),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
async def test_a_stream_that_breaks_ends_with_the_row(dialect, last, code, says):
    answer = await ask(dialect, breaking(dialect, *last), is_translated=True, is_stream=True)
    told = dialect.told_last(answer)
    assert answer.status == 200 and answer.is_ended
    assert told.message.startswith("Channel `a` ") and told.message.endswith(says)
    assert told.request_id == answer.headers["x-request-id"]
    assert (told.code, told.docs) == (("", "") if dialect.name == "anthropic" else (code, f"{BASE}/errors/{code}"))
    assert b"[DONE]" not in answer.body
