"""The model listings: whose names they show, in which pages, and whose card can be asked for."""

import pytest

from routing.engine.document import ModelSpec
from routing.engine.errors import BadRequest
from routing.engine.paging import page, read_size
from tests.routing.engine.cast import channel, principal
from tests.routing.engine.harness import Harness

pytestmark = pytest.mark.asyncio

ANTHROPIC = {"anthropic-version": "2023-06-01"}
MODELS = ["a", "labs/b", "c", "labs/d", "e"]
SORTED = sorted(MODELS)


def gateway(**fields) -> Harness:
    return Harness(channels=[channel("main", models=MODELS), channel("wide", models=["wild-*"])], **fields)


async def listed(harness, query="", path="/v1/models", **headers):
    answer = await harness.ask(path=path, method="GET", query=query, headers=headers)
    assert answer.status == 200, answer.body
    return answer.json


async def test_names_and_aliases_are_listed_once_and_sorted():
    told = await listed(gateway(aliases={"quick": "a", "lost": "nowhere", "pinned": "main/labs/b"}))
    assert [card["id"] for card in told["data"]] == sorted([*MODELS, "pinned", "quick"])


async def test_what_the_keys_channels_do_not_serve_is_not_listed():
    harness = Harness(channels=[channel("one", models=["a"]), channel("two", models=["b"], is_enabled=False)])
    assert [card["id"] for card in (await listed(harness))["data"]] == ["a"]
    harness.configuration.known = principal(channels=("two",))
    assert (await listed(harness))["data"] == []


async def test_anthropics_pages_follow_one_another_both_ways():
    harness = gateway()
    first = await listed(harness, "limit=2", **ANTHROPIC)
    assert ([card["id"] for card in first["data"]], first["has_more"]) == (SORTED[:2], True)
    assert (first["first_id"], first["last_id"]) == (SORTED[0], SORTED[1])
    second = await listed(harness, f"limit=9&after_id={first['last_id'].replace('/', '%2F')}", **ANTHROPIC)
    assert ([card["id"] for card in second["data"]], second["has_more"]) == (SORTED[2:], False)
    back = await listed(harness, f"limit=2&before_id={SORTED[3]}", **ANTHROPIC)
    assert ([card["id"] for card in back["data"]], back["has_more"]) == (SORTED[1:3], True)


async def test_each_model_of_anthropics_listing_tells_what_its_package_reads():
    harness = Harness(channels=[channel("main", models=["a"])])
    [card] = (await listed(harness, **ANTHROPIC))["data"]
    assert set(card) >= {"type", "id", "display_name", "created_at", "lifecycle"}
    assert (card["type"], card["lifecycle"]) == ("model", "active")
    assert await listed(harness, path="/v1/models/a", **ANTHROPIC) == card


async def test_googles_pages_follow_one_another():
    harness, seen, token = gateway(), [], ""
    while True:
        told = await listed(harness, f"pageSize=2&pageToken={token}", path="/v1beta/models")
        seen += [card["name"].removeprefix("models/") for card in told["models"]]
        token = told.get("nextPageToken", "")
        if not token:
            break
    assert seen == SORTED


async def test_openais_listing_has_no_pages():
    assert len((await listed(gateway(), "limit=2&after=a"))["data"]) == len(MODELS)


@pytest.mark.parametrize("size", ["x", "-1", "1.5", "9999999"])
async def test_a_page_of_no_size_is_a_bad_request(size):
    answer = await gateway().ask(path="/v1/models", method="GET", query=f"limit={size}", headers=ANTHROPIC)
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")
    with pytest.raises(BadRequest):
        read_size(size, "pageSize")


@pytest.mark.parametrize("size", [None, "0"])
async def test_without_a_size_all_are_on_one_page(size):
    assert page(SORTED, read_size(size, "limit")) == (SORTED, False)


async def test_a_page_begins_where_a_name_stood_that_is_gone():
    assert page(["a", "c", "d"], 1, after="b") == (["c"], True)
    assert page([], 3, after="b") == ([], False)


@pytest.mark.parametrize("name", ["labs/b", "quick", "wild-1", "main/labs/b", "main,a", "wide/wild-2"])
@pytest.mark.parametrize("path", ["/v1/models", "/v1beta/models"])
async def test_whatever_can_be_asked_has_a_card(name, path):
    told = await listed(gateway(aliases={"quick": "a"}), path=f"{path}/{name}")
    assert name in {told.get("id"), told.get("name", "").removeprefix("models/")}


@pytest.mark.parametrize("name", ["nobody", "wide/a", "main/wild-1", "other/a"])
async def test_what_cannot_be_asked_has_none(name):
    answer = await gateway().ask(path=f"/v1/models/{name}", method="GET")
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")


async def test_an_upstreams_own_name_is_not_told():
    harness = Harness(channels=[channel("main", models=[ModelSpec("fast", "their-fast")])])
    assert "their-fast" not in str(await listed(harness))
