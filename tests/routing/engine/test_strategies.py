"""The order in which strategies try channels."""

import math
import random

import pytest

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.provider import Provider
from routing.engine.messages import ChatRequest, Message, Text, Tool
from routing.engine.snapshot import Candidate
from routing.engine.states import TenantStates
from routing.engine.strategies import STRATEGIES
from routing.engine.strategy import Situation
from tests.routing.engine.cast import channel, snapshot


class Cast:
    """Channels, and a situation that the test changes."""

    def __init__(self, *channels, provider=None):
        self.channels = snapshot(*channels, provider=provider).channels
        self.candidates = [Candidate(c, "m", "m") for c in self.channels.values()]
        self.states = TenantStates()
        self.chance = random.Random(3).random

    def state(self, slug):
        return self.states[self.channels[slug].spec.id]

    def order(self, name, without=(), **fields):
        fields = {"chance": self.chance, "states": self.states, "model": "m", "operations": ("openai-chat",)} | fields
        given = [c for c in self.candidates if c.channel.spec.slug not in without]
        return [each.candidate.channel.spec.slug for each in STRATEGIES[name].order(given, Situation(**fields))]

    def firsts(self, name, count, **fields):
        return [self.order(name, **fields)[0] for _ in range(count)]


def test_priority_puts_the_highest_first_whatever_weight_and_name():
    cast = Cast(channel("low", weight=1000), channel("high", priority=2), channel("middle", priority=1))
    assert cast.order("priority") == ["high", "middle", "low"]
    cast.candidates = [Candidate(c, "m", "m", is_named=c.spec.slug != "high") for c in cast.channels.values()]
    assert cast.order("priority")[0] == "high"


def test_priority_shares_a_lower_level_by_weight_too():
    cast = Cast(channel("high", priority=2), channel("b"), channel("c"))
    assert {cast.order("priority")[1] for _ in range(50)} == {"b", "c"}


def test_round_robin_takes_turns_whatever_the_weights():
    cast = Cast(channel("a", weight=5), channel("b"), channel("c"))
    assert cast.firsts("round_robin", 6) == ["a", "b", "c", "a", "b", "c"]


def test_turns_are_counted_for_each_model_apart():
    cast = Cast(channel("a"), channel("b"))
    assert cast.firsts("round_robin", 1) + cast.firsts("round_robin", 1, model="other") == ["a", "a"]


def test_weighted_is_smooth():
    """The heavy one is never first more often in a row than it must."""
    cast = Cast(channel("a", weight=5), channel("b"), channel("c"))
    assert "".join(cast.firsts("weighted", 7)) == "aabacaa"


def test_weighted_goes_on_when_a_channel_leaves_and_comes_back():
    cast = Cast(channel("a"), channel("b"), channel("c"))
    firsts = cast.firsts("weighted", 30) + cast.firsts("weighted", 30, without=["c"]) + cast.firsts("weighted", 30)
    assert [firsts.count(slug) for slug in "abc"] == [35, 35, 20]


def test_least_used_prefers_the_one_with_fewest_tries_for_its_weight():
    cast = Cast(channel("a", weight=2), channel("b"))
    cast.order("least_used")
    cast.state("a").used, cast.state("b").used = 5.0, 3.0
    assert cast.order("least_used") == ["a", "b"]


def test_a_new_channel_is_not_flooded_until_it_has_caught_up():
    cast = Cast(channel("a"), channel("b"), channel("new"))
    cast.order("least_used", without=["new"])
    cast.state("a").used = cast.state("b").used = 1000.0
    firsts = []
    for _ in range(30):
        firsts.append(cast.order("least_used")[0])
        cast.state(firsts[-1]).begin("")
    assert firsts.count("new") == 10


def test_least_connections_counts_what_is_in_flight_for_its_weight():
    cast = Cast(channel("a", weight=4), channel("b"))
    for _ in range(3):
        cast.state("a").begin("")
    cast.state("b").begin("")
    assert cast.order("least_connections") == ["a", "b"]
    for _ in range(3):
        cast.state("a").begin("")
    assert cast.order("least_connections") == ["b", "a"]


@pytest.mark.parametrize("name", ["ip_hash", "consistent_hash"])
def test_a_name_always_has_the_same_order(name):
    cast = Cast(*(channel(slug) for slug in "abcde"))
    said = {"client_address": "203.0.113.9", "session": "s", "key_id": "key_1"}
    assert len({tuple(cast.order(name, **said)) for _ in range(20)}) == 1


def test_consistent_hash_goes_by_key_where_there_is_no_session():
    cast = Cast(*(channel(slug) for slug in "abcde"))
    orders = {tuple(cast.order("consistent_hash", key_id=f"key_{number}")) for number in range(50)}
    assert len(orders) > 10


@pytest.mark.parametrize("name", ["ip_hash", "consistent_hash"])
def test_only_those_of_a_channel_that_leaves_move(name):
    cast = Cast(*(channel(slug, weight=1 + place) for place, slug in enumerate("abcde")))
    moved_from = set()
    for number in range(2000):
        said = {"client_address": f"c{number}", "session": f"c{number}"}
        before = cast.order(name, **said)
        after = cast.order(name, without=["c"], **said)
        assert after == [slug for slug in before if slug != "c"]
        if before[0] != after[0]:
            moved_from.add(before[0])
    assert moved_from == {"c"}


def test_latency_prefers_the_fast_and_explores_a_small_share():
    cast = Cast(channel("slow"), channel("fast"))
    cast.state("slow").measured("m", False, 900.0)
    cast.state("fast").measured("m", False, 100.0)
    firsts = cast.firsts("latency", 10_000)
    # Half of the explored twentieth goes to the slow one.
    assert abs(firsts.count("slow") - 250) <= 4 * math.sqrt(10_000 * 0.025 * 0.975)


def test_latency_tries_the_unknown_one_request_at_a_time():
    cast = Cast(channel("known"), channel("unknown"))
    cast.state("known").measured("m", False, 100.0)
    even = {"chance": lambda: 0.5}
    assert cast.order("latency", **even)[0] == "unknown"
    cast.state("unknown").begin("")
    assert cast.order("latency", **even)[0] == "known"


def test_latency_of_streams_and_whole_answers_is_kept_apart():
    cast = Cast(channel("a"), channel("b"))
    for slug, streamed, whole in (("a", 100.0, 9000.0), ("b", 200.0, 8000.0)):
        cast.state(slug).measured("m", True, streamed)
        cast.state(slug).measured("m", False, whole)
    even = {"chance": lambda: 0.5}
    assert cast.order("latency", is_stream=True, **even)[0] == "a"
    assert cast.order("latency", is_stream=False, **even)[0] == "b"


def test_cost_prefers_the_cheap_and_puts_the_unpriced_last():
    cast = Cast(channel("dear"), channel("unknown"), channel("cheap"))
    prices = {"dear": 900, "unknown": None, "cheap": 100}
    assert cast.order("cost", cost=lambda c: prices[c.channel.spec.slug]) == ["cheap", "dear", "unknown"]


class Bilingual(Provider):
    name = label = "bilingual"
    base_url = "https://anything.example"
    endpoints = {"openai-chat": "/chat", "anthropic": "/messages"}
    capabilities = {"openai-chat": Capabilities(top_k=False), "anthropic": Capabilities(top_k=True)}


def test_capability_prefers_the_clients_own_format():
    cast = Cast(channel("other", format="anthropic"), channel("own", format="openai-chat"), provider=Bilingual())
    assert cast.order("capability", operations=("openai-chat", "anthropic")) == ["own", "other"]


def test_capability_counts_what_would_be_lost():
    cast = Cast(channel("less", format="openai-chat"), channel("more", format="anthropic"), provider=Bilingual())
    asked = ChatRequest(
        format="gemini", model="m", messages=(Message("user", (Text("hi"),)),), top_k=3, tools=(Tool("f"),)
    )
    said = {"operations": ("gemini:generateContent", "openai-chat", "anthropic"), "conversation": lambda: asked}
    assert cast.order("capability", **said) == ["more", "less"]


def test_capability_does_without_a_body_that_cannot_be_read():
    cast = Cast(channel("a", format="anthropic"), channel("b"), provider=Bilingual())
    assert cast.order("capability", conversation=lambda: None)[0] == "b"
