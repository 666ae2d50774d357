import struct
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.engine import eventstream
from routing.engine.eventstream import FrameSplitter, read_refusal, status_of
from tests.routing.engine.frames import event, frame, headers_of

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.uuids(),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
FRAMES = st.lists(st.tuples(st.dictionaries(NAMES, VALUES, max_size=4), st.binary(max_size=200)), max_size=6)


def split(body: bytes, cuts: list[int]) -> tuple[list, str]:
    splitter, frames = FrameSplitter(), []
    for cut in cuts:
        frames += splitter.feed(body[:cut])
        body = body[cut:]
    frames += splitter.feed(body)
    return [(dict(each.headers), each.payload) for each in frames], splitter.fault


@given(FRAMES, st.lists(st.integers(0, 60), max_size=20))
@settings(max_examples=200, deadline=None)
def test_frames_come_out_as_they_went_in_however_they_are_cut(frames, cuts):
    body = b"".join(frame(headers, payload) for headers, payload in frames)
    assert split(body, cuts) == (frames, "")


def test_numbers_of_all_sizes_and_times_are_read():
    raw = b"\x01a\x02\xff\x01b\x03\x01\x00\x01c\x04\xff\xff\xff\xfe\x01t\x08" + (1700).to_bytes(8, "big")
    assert split(frame(raw), []) == ([({"a": -1, "b": 256, "c": -2, "t": 1700}, b"")], "")


def test_frames_may_be_matched_with_another_reader():
    reader = pytest.importorskip("botocore.eventstream")
    buffer = reader.EventStreamBuffer()
    body = event("chunk", {"a": "é"}) + frame({"u": uuid.UUID(int=7), "yes": True, "n": 5}, b"\x00\xff")
    buffer.add_data(body)
    read = [(message.headers, message.payload) for message in buffer]
    ours, _ = split(body, [])
    assert [payload for _, payload in ours] == [payload for _, payload in read]
    assert ours[0][0] == read[0][0]


GOOD = event("good", {})


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (GOOD[:8] + b"\x00\x00\x00\x00" + GOOD[12:], "prelude"),
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), "checksum"),
        (GOOD[:20] + b"X" + GOOD[21:], "checksum"),
        (b"HTTP/1.1 500 Oops", "prelude"),
        (frame(b"\x01a\x63"), "headers"),
        (frame(b"\x01a\x07\xff\xff"), "headers"),
        (frame(b"\x09ab"), "headers"),
        (frame(b"\x01a\x09\x00"), "headers"),
        (frame(b"\x01a\x04\x00"), "headers"),
        (frame(b"\x01\xff\x00"), "headers"),
    ],
)
def test_what_is_broken_ends_the_reading_after_the_last_good_frame(bad, fault, size):
    body = GOOD + bad + GOOD
    splitter, frames = FrameSplitter(), []
    for start in range(0, len(body), size):
        frames += splitter.feed(body[start : start + size])
    assert [each.text(":event-type") for each in frames] == ["good"]
    assert fault in splitter.fault


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (20, 5), (eventstream.MAX_FRAME_BYTES + 1, 0)])
def test_lengths_that_cannot_be_are_not_waited_for(total, headers):
    lengths = struct.pack(">II", total, headers)
    splitter = FrameSplitter()
    assert splitter.feed(lengths + eventstream.crc32(lengths).to_bytes(4, "big")) == []
    assert f"claims {total} bytes" in splitter.fault


def test_between_frames_nothing_is_held():
    splitter = FrameSplitter()
    assert splitter.is_between_frames
    splitter.feed(GOOD + GOOD[:5])
    assert not splitter.is_between_frames
    splitter.feed(GOOD[5:])
    assert splitter.is_between_frames


def test_a_byte_at_a_time_is_looked_at_once():
    body = frame({"a": "b"}, b"x" * 200_000)
    splitter = FrameSplitter()
    frames = [each for place in range(len(body)) for each in splitter.feed(body[place : place + 1])]
    assert len(frames[0].payload) == 200_000


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("throttlingException", 429),
        ("ThrottlingException", 429),
        ("validationException", 400),
        ("AccessDeniedException", 403),
        ("ModelNotReadyException", 503),
        ("modelTimeoutException", 504),
        ("internalServerException", 0),
        ("", 0),
    ],
)
def test_exceptions_stand_for_statuses(name, status):
    assert status_of(name) == status


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (
            b'{"message":"Too many requests"}',
            {b"x-amzn-errortype": b"ThrottlingException:http://internal.amazon.com/x/", b"retry-after": b"2"},
            ("Too many requests", "ThrottlingException", 2.0),
        ),
        (b'{"__type":"com.amazon.coral#AccessDenied","Message":"No."}', {}, ("No.", "AccessDenied", None)),
        (b"<html>", {b"retry-after": b"soon"}, ("", "", None)),
        (b"", {b"retry-after": b"nan"}, ("", "", None)),
    ],
)
def test_error_answers_name_their_exception(body, headers, said):
    refusal = read_refusal(body, headers)
    assert (refusal.message, refusal.code, refusal.retry_after_s) == said


def test_header_names_may_be_any_text():
    assert headers_of({"é": "ü"}) == b"\x02\xc3\xa9\x07\x00\x02\xc3\xbc"
