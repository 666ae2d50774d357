"""Streams as upstreams send them, from tests/wire/<format>/<case>/stream.sse."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from routing.engine.format import Asked, StreamReader
from routing.engine.formats import FORMATS

WIRE = Path(__file__).parents[3] / "wire"
OPERATIONS = {"gemini": "gemini:streamGenerateContent"}

CASES = sorted((path.parent.parent.name, path.parent.name) for path in WIRE.glob("*/*/stream.sse"))


def stream(name: str, case: str) -> bytes:
    return (WIRE / name / case / "stream.sse").read_bytes()


def reader(name: str, **asked) -> StreamReader:
    return FORMATS[name].stream_reader(OPERATIONS.get(name, name), Asked("asked-model", is_stream=True, **asked))


def run(reading: StreamReader, body: bytes, cuts: tuple[int, ...] = ()) -> bytes:
    """Feed a whole stream, cut at the given places, and return what was passed on."""
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    passed = [reading.feed(body[start:end]) for start, end in pairwise(places)]
    return b"".join([*passed, reading.finish()])


def facts(reading: StreamReader) -> tuple:
    return (
        reading.usage,
        reading.model,
        reading.has_content,
        reading.is_complete,
        reading.failure,
        reading.failure_status,
    )
