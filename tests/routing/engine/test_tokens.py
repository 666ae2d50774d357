"""Estimated counts: close to what two public vocabularies say of texts of every kind, by work that grows with the text.

The counts beside each text of `token_samples.json` were made once, by `gpt-tokenizer` 4.0.0 (o200k) and
`@anthropic-ai/tokenizer` 0.0.4 (an older Claude).
"""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.engine.messages import ChatRequest, Media, Message, Text, Tool, ToolCall, ToolResult
from routing.engine.tokens import count_request, count_text

SAMPLES = {each["kind"]: each for each in json.loads((Path(__file__).parent / "token_samples.json").read_text("utf-8"))}
VOCABULARIES = ("o200k", "claude")


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_text_of_every_kind_is_within_ten_percent(kind, vocabulary):
    sample = SAMPLES[kind]
    assert 0.9 <= count_text(sample["text"], vocabulary) / sample[vocabulary] <= 1.1


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_the_errors_of_all_kinds_together_nearly_cancel_out(vocabulary):
    counted = sum(count_text(sample["text"], vocabulary) for sample in SAMPLES.values())
    assert 0.97 <= counted / sum(sample[vocabulary] for sample in SAMPLES.values()) <= 1.03


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_twice_the_text_has_twice_the_tokens_by_the_same_number_of_steps(vocabulary):
    """Every step is one pass in C over the text; a loop over its characters would show here."""
    text = "\n".join(sample["text"] for sample in SAMPLES.values())

    def steps(counted):
        made = 0

        def note(frame, event, argument):
            nonlocal made
            made += event in {"call", "c_call"}

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            tokens = count_text(counted, vocabulary)
        finally:
            sys.setprofile(before)
        return tokens, made

    (once, work), (twice, more) = steps(text), steps(text + "\n" + text)
    assert abs(twice - 2 * once) <= 3
    assert more == work < 300


@given(st.text())
def test_any_text_has_a_count(text):
    for vocabulary in VOCABULARIES:
        tokens = count_text(text, vocabulary)
        assert (tokens > 0) == bool(text)
        assert tokens <= 4 * len(text.encode("utf-8", "replace"))


@given(st.text(), st.text())
def test_a_longer_text_has_no_fewer_tokens_but_for_a_word_that_grew(text, more):
    assert count_text(text + "\n" + more) >= count_text(text) - 1


def test_half_a_surrogate_pair_is_counted_as_something():
    assert count_text("\ud83d") == 1


HI = Message("user", (Text("How far is it from here to the harbour?"),))
TOOL = Tool("look_up", description="Look a place up.", schema={"type": "object", "properties": {"name": {}}})


def counted(*messages, vocabulary="o200k", **members):
    return count_request(ChatRequest("x", "m", (HI, *messages), **members), vocabulary)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize(
    "more",
    [
        {"system": (Text("Answer in one short sentence, please."),)},
        {"tools": (TOOL,)},
        {"messages": (Message("assistant", (Text("About two miles."),)),)},
        {"messages": (Message("assistant", (ToolCall("c", "look_up", '{"name":"harbour"}'),)),)},
        {"messages": (Message("user", (ToolResult("c", (Text("two miles"),)),)),)},
        {"messages": (Message("user", (Media("image", "image/png", data="iVBORw0KGgo="),)),)},
        {"messages": (Message("user", (Media("document", "application/pdf", data="JVBERi0="),)),)},
        {"messages": (Message("user", (Media("document", "text/plain", text="A short document."),)),)},
    ],
)
def test_every_part_of_a_request_counts(more, vocabulary):
    members = {name: value for name, value in more.items() if name != "messages"}
    assert counted(*more.get("messages", ()), vocabulary=vocabulary, **members) > counted(vocabulary=vocabulary) + 3


def test_a_picture_has_a_price_of_its_own_and_not_that_of_its_bytes():
    small, large = (Message("user", (Media("image", "image/png", data="A" * size),)) for size in (100, 1_000_000))
    assert counted(small) == counted(large)
