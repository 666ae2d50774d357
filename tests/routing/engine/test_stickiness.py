"""Conversations that stay on their channel, through the gateway: when, how long, and when not."""

import msgspec
import pytest

from channels_app.engine.errors import UpstreamRefused
from routing.engine.document import PolicySpec
from routing.engine.gateway import Gateway
from routing.engine.stores.memory import MemoryStore
from tests.routing.engine.cast import channel, snapshot
from tests.routing.engine.harness import PATHS, Harness, Memory, Step, status

CHANNELS = [channel("a"), channel("b"), channel("c")]
SESSION = {"x-routex-session-id": "s"}
#: Turns go round, so that staying is the session's doing.
POLICY = PolicySpec(strategy="round_robin", breaker_failures=2, breaker_open_s=60, attempts=3)


def policy(**fields):
    return msgspec.structs.replace(POLICY, **fields)


def harness(*steps, channels=CHANNELS, **fields):
    return Harness(*steps, channels=channels, policy=policy(**fields))


async def ask(made, headers=SESSION, **fields):
    """Ask once and return who answered and what the decision says of the session."""
    answer = await made.ask(headers=headers, **fields)
    record = made.records.pop()
    assert answer.status == 200, answer.body
    return answer.headers["x-routex-channel"], record.decision.stickiness


def change(made, *channels, **fields):
    """Give the gateway another snapshot."""
    built = made.configuration.built
    made.configuration.built = snapshot(
        *(channels or CHANNELS), provider=made.provider, policy=fields.get("policy", built.document.policy)
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["session_id", "conversation_id"])
async def test_older_codex_stays_by_the_names_it_has(name):
    made, headers = harness(), {"user-agent": "codex_cli_rs/0.20", name: "older"}
    first, said = await ask(made, headers)
    assert [said, *[await ask(made, headers) for _ in range(3)]] == ["new", *[(first, "kept")] * 3]


@pytest.mark.asyncio
async def test_a_conversation_stays_and_others_go_round():
    made = harness()
    first, said = await ask(made)
    assert said == "new"
    assert [await ask(made) for _ in range(4)] == [(first, "kept")] * 4
    assert len({(await ask(made, {"x-routex-session-id": f"t{n}"}))[0] for n in range(6)}) == 3


@pytest.mark.asyncio
async def test_a_conversation_without_an_id_is_known_by_its_beginning():
    made = harness()
    first, _ = await ask(made, {})
    assert await ask(made, {}) == (first, "kept")
    begun = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "x"},
    ]
    assert await ask(made, {}, messages=begun) == (first, "kept")
    assert (await ask(made, {}, messages=[{"role": "user", "content": "else"}]))[1] == "new"


@pytest.mark.asyncio
async def test_where_there_is_no_choice_no_session_is_looked_for():
    made = harness(channels=[channel("a")])
    assert await ask(made) == ("a", "")
    assert len(made.gateway.sessions) == 0


@pytest.mark.asyncio
async def test_a_pool_of_one_channel_is_a_choice_and_the_credential_is_kept():
    made = harness(channels=[channel("a", credentials=("one", "two", "three"))])
    for _ in range(5):
        await made.ask(headers=SESSION)
    assert len({record.attempts[-1].credential for record in made.records}) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("fields", [{"is_session_enabled": False}, {"is_session_sticky": False}])
async def test_it_can_be_switched_off(fields):
    made = harness(**fields)
    assert {(await ask(made))[0] for _ in range(3)} == {"a", "b", "c"}


@pytest.mark.asyncio
async def test_it_ends_with_its_time(monkeypatch):
    made = harness(session_ttl_s=100)
    now_s = [5000.0]
    monkeypatch.setattr(made.gateway.sessions, "_wall", lambda: now_s[0])
    first, _ = await ask(made)
    now_s[0] += 99
    assert await ask(made) == (first, "kept")
    now_s[0] += 100
    assert (await ask(made))[1] == "new"


@pytest.mark.asyncio
async def test_a_second_process_and_a_restart_of_one_know_it():
    made = harness()
    made.gateway.store = MemoryStore(is_shared=True)
    made.gateway.__post_init__()
    first, _ = await ask(made)
    await made.gateway.sessions.told()
    second = harness()
    second.gateway.store = made.gateway.store
    second.gateway.__post_init__()
    for _ in range(2):
        assert await ask(second) == (first, "kept")


@pytest.mark.asyncio
async def test_an_open_breaker_unpins_and_the_session_stays_where_it_went():
    made = harness(session_ttl_s=10_000)
    first, _ = await ask(made)
    made.provider.steps = [Step(error=UpstreamRefused("no"))]
    moved, said = await ask(made)
    assert moved != first and said == "moved"
    assert await ask(made) == (moved, "kept")

    made = harness(status(500), status(500), channels=[channel("a"), channel("b", weight=0)])
    made.gateway.sessions.pin("ten_1", ("s", "m"), "chn_a", "main", 100)
    state = made.gateway.states.tenant("ten_1")["chn_a"]
    for _ in range(2):
        state.breaker.failed(POLICY, made.now_s)
    made.provider.steps = []
    assert await ask(made) == ("b", "unpinned:breaker_open")
    made.now_s += 61
    assert await ask(made) == ("b", "kept")


@pytest.mark.asyncio
async def test_a_disabled_channel_unpins():
    made = harness()
    first, _ = await ask(made)
    change(made, *(channel(slug, is_enabled=slug != first) for slug in "abc"))
    moved, said = await ask(made)
    assert moved != first and said == "unpinned:channel_disabled"
    assert await ask(made) == (moved, "kept")


@pytest.mark.asyncio
async def test_a_channel_that_is_gone_unpins():
    made = harness()
    first, _ = await ask(made)
    change(made, *(channel(slug) for slug in "abc" if slug != first))
    assert (await ask(made))[1] == "unpinned:channel_gone"


@pytest.mark.asyncio
async def test_a_channel_that_the_key_may_no_longer_use_unpins():
    made = harness()
    first, _ = await ask(made)
    made.configuration = Memory(made.configuration.built, channels=tuple(slug for slug in "abc" if slug != first))
    made.gateway.configuration = made.configuration
    assert (await ask(made))[1] == "unpinned:not_permitted"


@pytest.mark.asyncio
async def test_a_long_rest_of_its_credential_unpins_and_a_short_one_is_a_detour():
    made = harness()
    first, _ = await ask(made)
    state = made.gateway.states.tenant("ten_1")[f"chn_{first}"]
    state.rest("main", made.now_s + 3)
    elsewhere, said = await ask(made)
    assert elsewhere != first and said == "kept"
    made.now_s += 4
    assert await ask(made) == (first, "kept")
    state.rest("main", made.now_s + 60)
    moved, said = await ask(made)
    assert moved != first and said == "unpinned:credential_resting"
    made.now_s += 100
    assert await ask(made) == (moved, "kept")


@pytest.mark.asyncio
async def test_a_request_for_a_certain_channel_takes_the_session_along():
    made = harness()
    first, _ = await ask(made)
    other = next(slug for slug in "abc" if slug != first)
    await ask(made, SESSION | {"x-routex-channel": other})


@pytest.mark.asyncio
async def test_other_operations_have_no_sessions():
    made = harness()
    await made.ask({"model": "m", "input": "text"}, path=PATHS["openai-embeddings"], headers=SESSION)
    assert len(made.gateway.sessions) == 0


@pytest.mark.asyncio
async def test_a_dry_run_tells_the_pin_and_changes_nothing():
    made = harness()
    first, _ = await ask(made)
    before = len(made.gateway.sessions), made.gateway.states.tenant("ten_1")["chn_a"].tries
    for _ in range(3):
        told = (await made.ask(headers=SESSION | {"x-routex-dry-run": "1"})).json
        assert told["channel"] == first and told["decision"]["stickiness"] == "kept"
    told = (await made.ask(headers={"x-routex-session-id": "new", "x-routex-dry-run": "1"})).json
    again = (await made.ask(headers={"x-routex-session-id": "new", "x-routex-dry-run": "1"})).json
    assert told["channel"] == again["channel"]
    assert (len(made.gateway.sessions), made.gateway.states.tenant("ten_1")["chn_a"].tries) == before


@pytest.mark.asyncio
async def test_what_is_in_flight_is_over_when_the_answer_is():
    made = harness(status(500), Step())
    await ask(made)
    states = made.gateway.states.tenant("ten_1")
    assert [states[f"chn_{slug}"].in_flight for slug in "abc"] == [0, 0, 0]
    assert sum(states[f"chn_{slug}"].tries for slug in "abc") == 2


def test_a_gateway_without_a_store_shares_nothing():
    assert not Gateway(configuration=None, upstreams=None, records=None).store.is_shared
