"""One of several processes that want to probe the same half-open channel; told what to do line by line."""

from __future__ import annotations

import asyncio
import sys

from routing.engine.document import PolicySpec
from routing.engine.probing import Probing
from routing.engine.snapshot import Channel
from routing.engine.states import ChannelState
from routing.engine.stores.valkey import ValkeyStore
from tests.routing.engine.cast import channel, snapshot

POLICY = PolicySpec(breaker_failures=5, breaker_open_s=60)


async def may_try(probing: Probing, tenant_id: str, known: Channel, state: ChannelState, now_s: float) -> bool:
    standing = state.breaker.standing(POLICY, now_s)
    if standing == "half_open":
        return await probing.take(tenant_id, known, state, POLICY, now_s)
    return standing == "closed"


async def main(url: str, tenant_id: str) -> None:
    store = ValkeyStore(url, answer_limit_s=5)
    probing, [known] = Probing(store), snapshot(channel("a")).channels.values()
    state, now_s = ChannelState(), 0.0
    for line in iter(sys.stdin.readline, ""):
        match line.split():
            case ["fail"]:
                for _ in range(5):
                    if state.breaker.failed(POLICY, now_s):
                        probing.opened(tenant_id, known, POLICY)
                await probing.settled()
            case ["look"]:
                await probing.look(tenant_id, known, state, POLICY, now_s)
            case ["expire"]:  # as if the open time were over, here and in the store
                state.breaker.open_until_s = now_s
                probing.given_up(tenant_id, known, POLICY)
                await probing.settled()
            case ["probe", count]:
                # Each as a request would: only while the breaker is half open.
                asking = (may_try(probing, tenant_id, known, state, now_s) for _ in range(int(count)))
                print(sum(await asyncio.gather(*asking)), flush=True)
                continue
            case ["succeed"]:
                if state.breaker.succeeded(POLICY):
                    probing.closed(tenant_id, known, POLICY)
                await probing.settled()
            case ["later", seconds]:
                now_s += float(seconds)
        print(state.breaker.standing(POLICY, now_s), flush=True)
    await store.close()


asyncio.run(main(*sys.argv[1:]))
