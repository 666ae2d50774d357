"""Server-sent events: cut a byte stream into whole events, read one event's name and data."""

from __future__ import annotations

import re

#: Longest event that is kept in memory; a picture in base64 fits, a stream without blank lines does not.
MAX_EVENT_BYTES = 32 * 1024 * 1024

# Two line ends in a row. A CR that is the last byte so far may be half of a CRLF: it counts once the next byte is here.
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?=[^\n])){2}")
_LONGEST_END = len(b"\r\n\r\n")


class EventTooLarge(ValueError):
    """An event passes the limit; the stream is not worth following."""


class EventSplitter:
    """Cuts bytes into blocks, each one event with the blank line that ends it (WHATWG HTML, §9.2.6).

    The blocks do not depend on how the bytes were cut into chunks, and joined they are the bytes that came in.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def rest(self) -> bytes:
        """Return the bytes of the event that has begun and not ended."""
        return bytes(self._held)

    @property
    def is_between_events(self) -> bool:
        """Whether all bytes so far belong to whole events."""
        return not self._held

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the blocks that this chunk completes.

        Raises:
            EventTooLarge: more than `MAX_EVENT_BYTES` came without a blank line.
        """
        held = self._held
        if not held:
            ends = _ends(chunk, 0)
            if ends and ends[-1] == len(chunk):
                return [chunk] if len(ends) == 1 else _cut(chunk, ends)
            whole = ends[-1] if ends else 0
            held += chunk[whole:]
            blocks = _cut(chunk, ends)
        else:
            seen = max(len(held) - _LONGEST_END, 0)
            held += chunk
            ends = _ends(held, seen)
            whole = ends[-1] if ends else 0
            blocks = _cut(bytes(held[:whole]), ends)
            del held[:whole]
        if len(held) > MAX_EVENT_BYTES:
            raise EventTooLarge(f"an event of the stream is longer than {MAX_EVENT_BYTES >> 20} MB")
        return blocks


def _ends(data: bytes | bytearray, start: int) -> list[int]:
    """Return where events end, looking from `start`."""
    end = b"\n\n"
    if data.find(b"\r", start) >= 0:
        if not data.count(b"\r", start) == data.count(b"\n", start) == data.count(b"\r\n", start):
            return [match.end() for match in _EVENT_END.finditer(data, start)]
        end = b"\r\n\r\n"
    # One kind of line end only, as nearly always: finding is much faster than matching.
    ends = []
    while (found := data.find(end, start)) >= 0:
        start = found + len(end)
        ends.append(start)
    return ends


def _cut(data: bytes, ends: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def parse_event(block: bytes) -> tuple[bytes, bytes]:
    """Return an event's name and data, both empty where it has none; comments, ids and retry times are passed over."""
    # Nearly every event is one of these two; the general way below gives the same result.
    if block.startswith(b"data: "):
        data = block[6 : -4 if block.endswith(b"\r\n\r\n") else -2]
        if b"\n" not in data and b"\r" not in data:
            return b"", data
    elif block.startswith(b"event: "):
        name, _, line = block[7:-2].partition(b"\n")
        if line.startswith(b"data: ") and b"\n" not in line and b"\r" not in block:
            return name, line[6:]
    name = b""
    lines = []
    # bytes.splitlines knows \r\n, \n and \r only; str.splitlines would also cut at U+2028 inside JSON.
    for line in block.removeprefix(b"\xef\xbb\xbf").splitlines():
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value
    return name, b"\n".join(lines)
