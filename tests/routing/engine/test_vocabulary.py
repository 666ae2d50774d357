"""Exact counts: by the vendored vocabularies, never by the network, and of any text in bounded steps."""

from __future__ import annotations

import hashlib
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.engine import vocabulary
from routing.engine.choosing import prepare
from routing.engine.counters import COUNTERS
from routing.engine.document import RuleSpec
from routing.engine.rules import RULES
from routing.engine.vocabulary import NEWEST, OLDER, PIECE_CHARS, count, vocabulary_of
from tests.routing.engine.cast import channel, snapshot
from tests.routing.engine.harness import Harness
from tests.routing.engine.rulecases import finding, traits

FOLDER = Path(vocabulary.__file__).parent / "vocabularies"
EXACT = {"tokenThreshold": {"tokens": 1000, "counter": "exact"}}


def test_the_vocabularies_are_the_published_ones():
    table = (FOLDER / "README.md").read_text()
    for path in FOLDER.iterdir():
        if path.suffix != ".md":
            assert f"| `{path.name}` |" in table
            assert f"| `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" in table


@pytest.mark.parametrize(("text", "older", "newest"), [
    ("", 0, 0),
    ("tiktoken is great!", 6, 6),
    ("2 + 2 = 4", 7, 7),
    ("antidisestablishmentarianism", 6, 6),
    ("お誕生日おめでとう", 9, 8),
    ("<|endoftext|>", 7, 7),
])  # fmt: skip
def test_texts_have_the_tokens_that_are_documented(monkeypatch, text, older, newest):
    vocabulary._encoding.cache_clear()
    monkeypatch.setattr(socket, "socket", None)  # whoever would fetch a vocabulary fails
    assert (count(text, OLDER), count(text, NEWEST)) == (older, newest)


@pytest.mark.parametrize(("model", "found"), [
    ("gpt-5.6", NEWEST), ("o3", NEWEST), ("gpt-oss-20b", NEWEST), ("gpt-4o-mini", NEWEST), ("claude-opus-5", NEWEST),
    ("gpt-4", OLDER), ("gpt-3.5-turbo-0125", OLDER), ("davinci", OLDER),
])  # fmt: skip
def test_models_are_counted_by_the_nearest_vocabulary(model, found):
    assert vocabulary_of(model) == found


@given(st.lists(st.sampled_from(["word", "naïve", "中文", "3.14", "x" * 50]), min_size=1, max_size=300), st.data())
def test_a_long_text_is_counted_in_pieces_like_in_one(pieces_of, words, data):
    text = " ".join(words)
    pieces_of(PIECE_CHARS)
    whole = count(text, NEWEST)
    pieces_of(data.draw(st.integers(60, 400)))
    assert count(text, NEWEST) == whole


@pytest.fixture(scope="module")
def pieces_of():
    def set_to(chars):
        vocabulary.PIECE_CHARS = chars

    yield set_to
    vocabulary.PIECE_CHARS = PIECE_CHARS


@pytest.mark.parametrize("unit", [" ", "a", "\n ", "\u3000", "!", "🏳️‍🌈"])
def test_no_text_is_too_odd_to_be_counted(unit):
    assert count(unit * (1_000_000 // len(unit)), NEWEST) > 0


def test_messages_are_framed_and_pictures_have_their_price():
    asked = traits(model="gpt-5.6", text="tiktoken is great!")
    assert asked.tokens("exact") == 3 + 3 + 6
    image = {"type": "image_url", "image_url": {"url": "https://x/a.png"}}
    assert traits(model="gpt-5.6", text=[image]).tokens("exact") == 3 + 3 + 765


def test_a_rule_that_asks_counts_exactly_and_says_so():
    found = finding("custom", {"tokenThreshold": {"tokens": 12, "counter": "exact"}}, traits(text="tiktoken is great!"))
    assert (found.holds, found.measured) == (True, "12 of 12 tokens")


@pytest.fixture
def counted(monkeypatch):
    """The threads in which something was counted exactly."""
    threads = []
    counter = COUNTERS["exact"]

    def count_here(request):
        threads.append(threading.current_thread() is threading.main_thread())
        return counter(request)

    monkeypatch.setitem(COUNTERS, "exact", count_here)
    return threads


@pytest.mark.asyncio
@pytest.mark.parametrize(("text", "model", "threads"), [
    ("long " * 1000, "m", [False]),
    ("short", "m", []),  # no body so short has a thousand tokens
    ("long " * 1000, "a,m", []),  # the name says outright where it goes
])  # fmt: skip
async def test_exact_counts_are_made_once_beside_the_event_loop_where_they_matter(counted, text, model, threads):
    rules = tuple(RuleSpec(slug=f"r{at}", condition=EXACT, targets=({"channel": "a"},)) for at in range(3))
    harness = Harness(channels=[channel("a")], rules=rules)
    answer = await harness.ask(model=model, messages=[{"role": "user", "content": text}])
    assert answer.status == 200
    assert counted == threads
    assert harness.record.decision.rule == ("r0" if threads else "")


@pytest.mark.asyncio
async def test_rules_without_exact_counts_have_nothing_done_beforehand(counted):
    asked = traits(text="long " * 1000)
    asked.call.snapshot = snapshot(channel("a"), rules=(RuleSpec(slug="r", condition={"tokenThreshold": 9}),))
    await prepare(asked.call)
    assert RULES["tokenThreshold"].errand([9]) is None
    assert counted == [] and asked.call.conversation is None
