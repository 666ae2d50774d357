"""What a trial tells: where two bodies differ, and errors of what it was given."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_app.engine.capabilities import Capabilities
from routing.engine.errors import BadRequest
from routing.engine.transformers import chain_of
from routing.engine.trial import MAX_CHANGES, Trial, changes


def told(before, after):
    return [change.shown() for change in changes(before, after)]


def test_equal_values_do_not_differ():
    value = {"a": [1, None, {"b": "c"}]}
    assert told(value, json.loads(json.dumps(value))) == []


def test_each_kind_of_difference_is_told_with_its_place():
    before = {"gone": None, "kept": 1, "list": [1, 2, 3], "inner": {"x": "old"}}
    after = {"kept": 1, "list": [1, 5], "inner": {"x": "new"}, "new": False}
    assert told(before, after) == [
        {"path": "/gone", "what": "removed", "before": None},
        {"path": "/list/1", "what": "changed", "before": 2, "after": 5},
        {"path": "/list/2", "what": "removed", "before": 3},
        {"path": "/inner/x", "what": "changed", "before": "old", "after": "new"},
        {"path": "/new", "what": "added", "after": False},
    ]


@pytest.mark.parametrize(("before", "after"), [(1, True), (0, False), (1, 1.0), ("1", 1), ([], {}), (None, "")])
def test_values_of_another_type_differ(before, after):
    assert told({"x": before}, {"x": after}) == [{"path": "/x", "what": "changed", "before": before, "after": after}]


def test_names_are_escaped_in_their_pointer():
    assert [change.path for change in changes({}, {"a/b": 1, "c~d": 2, "": 3})] == ["/a~1b", "/c~0d", "/"]


def test_only_so_many_differences_are_told():
    assert len(changes(list(range(1000)), [])) == MAX_CHANGES


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_a_value_never_differs_from_itself(value):
    assert told(value, value) == []


def found(value, path):
    for step in path.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


@given(json_values, json_values)
def test_every_difference_is_where_it_says(before, after):
    for change in told(before, after):
        for side, value in (("before", before), ("after", after)):
            if side in change:
                assert found(value, change["path"]) == change[side]


# --- trials ----------------------------------------------------------------------------------------------------------

HI = {"model": "asked", "messages": [{"role": "user", "content": "hi"}]}


def trial(client="openai-chat", upstream="anthropic", *entries):
    return Trial(client, upstream, "real-m", "anthropic", Capabilities(), chain_of(entries))


def test_the_upstream_is_asked_for_its_own_model():
    tried = trial().request(json.dumps(HI).encode())
    assert tried.body["model"] == "real-m"


def test_what_was_lost_of_the_request_is_not_told_of_its_answer():
    asked = json.dumps(HI | {"seed": 1}).encode()
    said = json.dumps({"content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn"}).encode()
    assert trial().request(asked).warnings == ("dropped:seed",)
    assert trial().answer(said, asked).warnings == ()


def test_a_stream_may_come_in_any_pieces():
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "hé"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]
    raw = "".join(f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events).encode()
    pieces = [raw[place : place + 1] for place in range(len(raw))]
    contents = [
        [json.loads(line)["choices"] for line in tried.body.replace("data: ", "").split() if line[0] == "{"]
        for tried in (trial().stream([raw]), trial().stream(pieces))
    ]
    assert contents[0] == contents[1] and "hé" in str(contents[0])


@pytest.mark.parametrize("call", [lambda t: t.request(b"{}"), lambda t: t.answer(b"{}"), lambda t: t.stream([b""])])
def test_a_format_that_no_client_speaks_is_refused(call):
    with pytest.raises(BadRequest, match="No client speaks ollama") as refused:
        call(trial(client="ollama"))
    assert refused.value.param == "from"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"type":"error","error":{"message":"no"}}', b"\xff"])
def test_what_is_no_answer_is_refused_in_words(body):
    with pytest.raises(BadRequest, match="This is no answer of anthropic: "):
        trial().answer(body)
