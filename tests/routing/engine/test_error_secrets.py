"""What an upstream gives away in an error reaches neither client nor record nor log."""

from __future__ import annotations

import json
import logging

import pytest

from tests.routing.engine import claude
from tests.routing.engine.cast import channel
from tests.routing.engine.dialects import DIALECTS, GOOD, Dialect
from tests.routing.engine.harness import KEY, Harness, Step, chat_event, streamed
from tests.routing.engine.test_error_rows import ROWS, patched

pytestmark = pytest.mark.asyncio
#: What the channel's credential is once it is unsealed: of no shape that a pattern knows.
CREDENTIAL = "secret Canary-7f3a9c11"
ADDRESS = "http://10.20.30.40:9999/v1"
LEAK = f"Key {CREDENTIAL} (Bearer sk-live-abcdef123456) was refused by {ADDRESS}. <b>no</b>"
JSON = [(b"content-type", b"application/json")]
EACH = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
BOTH = pytest.mark.parametrize("is_translated", [False, True], ids=["passed", "translated"])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)


def leaking(kind: str = "invalid_request_error") -> bytes:
    error = {"type": kind, "code": kind, "message": LEAK, "status": "X", "param": CREDENTIAL}
    return json.dumps({"type": "error", "error": error, "echo": {"authorization": CREDENTIAL}}).encode()


async def ask(dialect: Dialect, step: Step, *, is_translated: bool, is_stream: bool = False):
    harness = Harness(*[step] * 3, channels=[channel("a", credentials=["Canary-7f3a9c11"])])
    harness.provider.endpoints = dialect.endpoints(is_translated=is_translated)
    more = {"stream": True} if is_stream and dialect.name != "gemini" else {}
    path = dialect.path(is_stream=is_stream)
    answer = await harness.ask(dialect.body(**more), path=path, query="alt=sse" if is_stream else "")
    return harness, answer


def check(harness, answer, caplog):
    """Nothing secret is anywhere; the credential's name, which is no secret, is taken out of the record first."""
    assert answer.status >= 400 or answer.is_ended
    told = answer.body.decode() + str(answer.headers)
    record = str(harness.record).replace("credential='Canary-7f3a9c11'", "")
    for where in (told, record, caplog.text):
        assert CREDENTIAL not in where
        assert KEY not in where
    assert "Canary" not in record
    return told, record


@EACH
@BOTH
@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 529])
async def test_in_an_error_answer(caplog, dialect, is_translated, code):
    caplog.set_level(logging.DEBUG)
    harness, answer = await ask(dialect, Step(code, [leaking()], JSON), is_translated=is_translated)
    told, record = check(harness, answer, caplog)
    if is_translated:
        assert ADDRESS not in told and "sk-live" not in told + record


@EACH
@BOTH
@pytest.mark.parametrize("kind", ["invalid_request_error", "rate_limit_error", "server_error", "authentication_error"])
async def test_in_an_answer_of_status_200(caplog, dialect, is_translated, kind):
    harness, answer = await ask(dialect, Step(chunks=[leaking(kind)]), is_translated=is_translated)
    told, record = check(harness, answer, caplog)
    assert answer.status >= 400
    assert ADDRESS not in told and "sk-live" not in told + record


def events(name: str, *, has_content: bool) -> list[bytes]:
    """Return a stream of a format that ends with the upstream's error."""
    error = b"data: " + leaking("overloaded_error") + b"\n\n"
    if name == "anthropic":
        begun = claude.frames(claude.START, *claude.TEXT[:2]) if has_content else []
        return [*begun, b"event: error\n" + error]
    if name == "openai-responses":
        delta = {"type": "response.output_text.delta", "delta": "Hi", "item_id": "i", "output_index": 0}
        begun = [b"event: response.output_text.delta\ndata: " + json.dumps(delta).encode() + b"\n\n"]
        return [*(begun if has_content else []), b"event: error\n" + error]
    if name == "gemini":
        unfinished = json.loads(GOOD["gemini"])
        del unfinished["candidates"][0]["finishReason"]
        return [*([b"data: " + json.dumps(unfinished).encode() + b"\r\n\r\n"] if has_content else []), error]
    return [*([chat_event("Hi")] if has_content else []), error]


@EACH
@BOTH
@pytest.mark.parametrize("has_content", [False, True], ids=["early", "late"])
@pytest.mark.parametrize("is_one_piece", [False, True], ids=["pieces", "one piece"])
async def test_in_a_stream(caplog, dialect, is_translated, has_content, is_one_piece):
    spoken = dialect.other if is_translated else dialect.name
    pieces = events(spoken, has_content=has_content)
    step = streamed(*([b"".join(pieces)] if is_one_piece else pieces))
    harness, answer = await ask(dialect, step, is_translated=is_translated, is_stream=True)
    told, record = check(harness, answer, caplog)
    assert (answer.status == 200) == has_content
    if is_translated:
        assert ADDRESS not in told and "sk-live" not in told + record


@EACH
@pytest.mark.parametrize("code", ROWS)
async def test_no_row_repeats_the_callers_key(monkeypatch, caplog, dialect, code):
    row = ROWS[code]
    if dialect.name not in row.dialects:
        dialect = DIALECTS[row.dialects[0]]
    patched(monkeypatch, row)
    for answer in (await row.hit(dialect), await row.hostile(dialect)):
        assert KEY not in answer.body.decode() + str(answer.headers)
        assert "secret main" not in answer.body.decode() + str(answer.headers)
    assert KEY not in caplog.text and "secret main" not in caplog.text


@pytest.mark.parametrize(
    "secret", ["sk-ant-api03-Canary", "AIzaCanary", "rtx_Canary", "rtxm_Canary", "Canary", KEY + "x"]
)
@EACH
async def test_a_key_that_is_refused_is_not_repeated(caplog, dialect, secret):
    for headers in ({"authorization": f"Bearer {secret}"}, {"authorization": "", "x-api-key": secret}):
        answer = await Harness().ask(dialect.body(), path=dialect.path(), headers=headers)
        assert answer.status == 401 and "Canary" not in answer.body.decode() and secret not in answer.body.decode()
    answer = await Harness().ask(
        dialect.body(), path=dialect.path(), headers={"authorization": ""}, query=f"key={secret}"
    )
    assert answer.status == 401 and secret not in answer.body.decode() + caplog.text
