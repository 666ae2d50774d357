from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.engine import sse
from routing.engine.sse import EventSplitter, EventTooLarge, parse_event


def split(body: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    splitter = EventSplitter()
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    blocks = [block for start, end in pairwise(places) for block in splitter.feed(body[start:end])]
    return blocks, splitter.rest


def by_the_book(body: bytes) -> list[tuple[bytes, bytes]]:
    """Read whole events the slow and obvious way; a CR at the very end is left undecided, as the splitter does."""
    text = body[:-1] if body.endswith(b"\r") else body
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events, name, data = [], b"", None
    for line in lines[:-1]:
        if not line:
            if data is not None:
                events.append((name, b"\n".join(data)))
            name, data = b"", None
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            data = [*(data or []), value]
        elif field == b"event":
            name = value
    return events


PIECES = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b"data: a", b"data:b", b"event: n", b": c", b"id: 1", b"\xe2\x80\xa8", b" "]
)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES, max_size=14), cuts=st.lists(st.integers(0, 10_000), max_size=6))
def test_blocks_are_the_same_however_the_bytes_are_cut(pieces, cuts):
    body = b"".join(pieces)
    blocks, rest = split(body, cuts)
    assert (blocks, rest) == split(body, [])
    assert b"".join(blocks) + rest == body


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES, max_size=14))
def test_events_are_those_of_the_specification(pieces):
    body = b"".join(pieces)
    read = [parse_event(block) for block in split(body, [])[0]]
    assert [event for event in read if event[1]] == [event for event in by_the_book(body) if event[1]]


def test_one_whole_event_is_the_very_same_object():
    chunk = b"data: x\n\n"
    assert EventSplitter().feed(chunk)[0] is chunk


@pytest.mark.parametrize(
    ("block", "event"),
    [
        (b"data: x\n\n", (b"", b"x")),
        (b"data:x\n\n", (b"", b"x")),
        (b"data:  x \n\n", (b"", b" x ")),
        (b"event: n\ndata: x\n\n", (b"n", b"x")),
        (b"event: n\r\ndata: x\r\n\r\n", (b"n", b"x")),
        (b"data: x\r\n\r\n", (b"", b"x")),
        (b"data: x\r\r", (b"", b"x")),
        (b"data: a\ndata: b\n\n", (b"", b"a\nb")),
        (b"event: n\ndata: a\ndata: b\n\n", (b"n", b"a\nb")),
        (b"data: x\nevent: n\n\n", (b"n", b"x")),
        (b"id: 7\nretry: 10\ndata: x\n\n", (b"", b"x")),
        (b"\n: comment\ndata: x\n\n", (b"", b"x")),
        (b"\xef\xbb\xbfdata: x\n\n", (b"", b"x")),
        (b": comment\n\n", (b"", b"")),
        (b"event: n\n\n", (b"n", b"")),
        (b"data: a\xe2\x80\xa8b\xc2\x85c\x0bd\x0ce\n\n", (b"", b"a\xe2\x80\xa8b\xc2\x85c\x0bd\x0ce")),
    ],
)
def test_event_has_name_and_data(block, event):
    assert parse_event(block) == event


def test_half_a_line_end_waits_for_its_other_half():
    splitter = EventSplitter()
    assert splitter.feed(b"data: x\r\n\r") == []
    assert not splitter.is_between_events
    assert splitter.feed(b"\ndata: y") == [b"data: x\r\n\r\n"]
    assert splitter.rest == b"data: y"


def test_event_without_end_is_refused_at_the_limit(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    splitter = EventSplitter()
    splitter.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLarge):
        splitter.feed(b"x" * 10)
