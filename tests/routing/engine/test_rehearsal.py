"""A dry run tells what would become of a request, and does nothing of it."""

from __future__ import annotations

import pytest

from routing.engine.document import PolicySpec
from tenants.engine.limits import LimitSpec
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import PATHS, Harness, status

pytestmark = pytest.mark.asyncio
DRY = {"x-routex-dry-run": "1"}
TWO = [channel("low", priority=1), channel("high", priority=9)]


async def test_a_dry_run_names_the_first_try_and_asks_nobody():
    harness = Harness(channels=TWO)
    answer = await harness.ask(headers=DRY)
    assert (answer.status, answer.headers["x-routex-dry-run"]) == (200, "1")
    told = answer.json
    assert (told["channel"], told["model"], told["upstream_format"]) == ("high", "m", "openai-chat")
    assert [each["channel"] for each in told["decision"]["candidates"]] == ["high", "low"]
    assert harness.provider.sent == []
    assert harness.records == []


@pytest.mark.parametrize("path", [path for path in PATHS.values() if "transcription" not in path])
async def test_every_path_can_be_asked_so(path):
    body = {"model": "m", "input": "x", "query": "q", "documents": ["d"], "prompt": "p", "voice": "v"}
    conversation = {"messages": [{"role": "user", "content": "x"}], "contents": [{"parts": [{"text": "x"}]}]}
    harness = Harness()
    answer = await harness.ask(body | conversation, path=path, headers=DRY)
    assert answer.json["object"] == "routing.decision"
    assert harness.provider.sent == []


async def test_a_request_that_would_be_refused_is_told_so_and_why():
    answer = await Harness(channels=TWO).ask(headers=DRY, model="n")
    assert answer.status == 200
    assert answer.json["error"]["code"] == "model_not_found"
    assert answer.json["channel"] == ""


@pytest.mark.parametrize(("headers", "status"), [({"authorization": "Bearer nonsense"}, 401)])
async def test_who_may_not_ask_may_not_ask_this_either(headers, status):
    assert (await Harness().ask(headers=DRY | headers)).status == status


async def test_a_body_that_is_none_is_told_as_ever():
    answer = await Harness().ask(b"{", headers=DRY)
    assert answer.status == 400
    assert answer.json["error"]["code"] == "invalid_json"


@pytest.mark.parametrize("value", ["0", "false", ""])
async def test_the_header_can_say_no(value):
    answer = await Harness().ask(headers={"x-routex-dry-run": value})
    assert answer.json.get("object") != "routing.decision"


async def test_channels_that_are_left_out_say_why():
    three = [*TWO, channel("off", is_enabled=False, priority=99)]
    answer = await Harness(channels=three).ask(headers=DRY)
    assert {each["channel"]: each.get("dropped", "") for each in answer.json["decision"]["candidates"]} == {
        "off": "is switched off",
        "high": "",
        "low": "",
    }
    assert [each["rank"] for each in answer.json["decision"]["candidates"] if "dropped" not in each] == [1, 2]


async def test_a_channel_whose_breaker_is_open_is_passed_over_in_a_dry_run_as_well():
    harness = Harness(status(500), channels=TWO, policy=PolicySpec(breaker_failures=1))
    assert (await harness.ask()).status == 200
    told = (await harness.ask(headers=DRY)).json
    assert told["channel"] == "low"
    dropped = {each["channel"]: each.get("dropped", "") for each in told["decision"]["candidates"]}
    assert "breaker is open" in dropped["high"] and not dropped["low"]


@pytest.mark.parametrize("fault", ["no credential", "cooling down"])
async def test_where_no_channel_can_be_tried_a_dry_run_tells_what_a_request_is_told(fault):
    bare = {"channels": [channel("a", credentials=())], "policy": PolicySpec()}
    broken = {"channels": [channel("a")], "policy": PolicySpec(breaker_failures=1)}
    harness = Harness(status(500), **(bare if fault == "no credential" else broken))
    if fault == "cooling down":
        assert (await harness.ask()).status >= 500
    told = (await harness.ask(headers=DRY)).json["error"]
    answer = await harness.ask()
    error = answer.json["error"]
    assert (told["status"], told["code"], told["message"]) == (answer.status, error["code"], error["message"])
    assert told["code"] == ("no_available_channel" if fault == "no credential" else "server_is_overloaded")


async def test_limits_are_looked_at_and_not_used_up():
    limit = LimitSpec(id="lim_1", limit=1, window_s=60)
    harness = Harness(limits=(limit,))
    for _ in range(3):
        told = (await harness.ask(headers=DRY)).json
        assert told["decision"]["spends"][0]["left"] == 1
    assert (await harness.ask()).status == 200
    told = (await harness.ask(headers=DRY)).json
    assert (told["error"]["status"], told["error"]["code"]) == (429, "rate_limit_exceeded")
