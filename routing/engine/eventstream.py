"""AWS event streams (`application/vnd.amazon.eventstream`): cut bytes into checked frames, tell their exceptions.

A frame is a prelude (its length, its headers' length, a CRC32 of both), headers, a payload and a CRC32 of all that.
"""

from __future__ import annotations

import struct
import uuid
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from routing.engine.codec import Exchange, StreamDecoder, UpstreamFailure
from routing.engine.failures import asked_wait_s, said_in
from routing.engine.messages import Ended, Failed, StreamEvent
from routing.engine.sse import MAX_EVENT_BYTES, EventTooLarge

HeaderValue = bool | int | bytes | str | uuid.UUID

#: The longest frame that is believed in; services end at 16 MB of payload and 128 KB of headers.
MAX_FRAME_BYTES = 24 * 1024 * 1024

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
#: Header types 2 to 5, 8: byte, short, int, long, timestamp in milliseconds.
_INTEGERS = {kind: struct.Struct(f">{code}") for kind, code in ((2, "b"), (3, "h"), (4, "i"), (5, "q"), (8, "q"))}
_TRUE, _FALSE, _BYTES, _STRING, _UUID = 0, 1, 6, 7, 9
_LEAST_BYTES = _PRELUDE.size + _CRC.size

#: What exceptions stand for, by the beginning of their names in lower case.
_STATUSES = {
    "throttling": 429,
    "toomanyrequests": 429,
    "servicequotaexceeded": 429,
    "validation": 400,
    "unrecognizedclient": 401,
    "accessdenied": 403,
    "resourcenotfound": 404,
    "modelnotready": 503,
    "serviceunavailable": 503,
    "modeltimeout": 504,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of a stream. Frames with the same headers may share them: look, don't touch."""

    headers: Mapping[str, HeaderValue]
    payload: bytes

    def text(self, name: str) -> str:
        """Return a header's text, "" for one that is not there or no text."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class FrameSplitter:
    """Cuts bytes into frames; any cut of the bytes gives the same ones.

    `fault` says what is wrong with the bytes after the last good frame; nothing after it can be read.
    """

    __slots__ = ("_headers", "_held", "_needed", "_raw_headers", "fault")

    def __init__(self) -> None:
        self._held = bytearray()
        self._needed = _PRELUDE.size
        # The frames of a stream have the same few headers, most often those of the frame before.
        self._raw_headers = b""
        self._headers: Mapping[str, HeaderValue] = {}
        self.fault = ""

    @property
    def is_between_frames(self) -> bool:
        """Whether all bytes so far belong to whole frames."""
        return not self._held

    def feed(self, chunk: bytes) -> list[Frame]:
        """Return the frames that this chunk completes."""
        frames: list[Frame] = []
        if self.fault:
            return frames
        held, data = self._held, chunk
        if held or len(chunk) < self._needed:
            held += chunk
            if len(held) < self._needed:
                return frames
            data = bytes(held)
            held.clear()
        start = 0
        while not self.fault and len(data) - start >= self._needed:
            total, headers = self._prelude(data, start)
            self._needed = total
            if not self.fault and len(data) - start >= total:
                self._add(data[start : start + total], headers, frames)
                start += total
                self._needed = _PRELUDE.size
        held += data[start:]
        return frames

    def _prelude(self, data: bytes, start: int) -> tuple[int, int]:
        """Return a frame's length and its headers', in bytes."""
        total, headers, checksum = _PRELUDE.unpack_from(data, start)
        if crc32(data[start : start + 8]) != checksum:
            self.fault = "a frame's prelude does not match its checksum"
        elif total < _LEAST_BYTES + headers or total > MAX_FRAME_BYTES:
            self.fault = f"a frame claims {total} bytes, {headers} of them headers"
        return total, headers

    def _add(self, frame: bytes, headers: int, frames: list[Frame]) -> None:
        if crc32(frame[: -_CRC.size]) != _CRC.unpack(frame[-_CRC.size :])[0]:
            self.fault = "a frame does not match its checksum"
            return
        end = _PRELUDE.size + headers
        raw = frame[_PRELUDE.size : end]
        if raw != self._raw_headers:
            self._raw_headers = raw
            try:
                self._headers = dict(_read_headers(raw))
            except (struct.error, ValueError, IndexError):
                self.fault = "a frame's headers cannot be read"
                return
        frames.append(Frame(self._headers, frame[end : -_CRC.size]))


def _read_headers(raw: bytes) -> list[tuple[str, HeaderValue]]:
    """Return the headers of a frame.

    Raises:
        ValueError, struct.error, IndexError: they end too early, or have a type that there is not.
    """
    headers: list[tuple[str, HeaderValue]] = []
    place = 0
    while place < len(raw):
        after_name = place + 1 + raw[place]
        name = raw[place + 1 : after_name].decode()
        value, place = _read_value(raw, raw[after_name], after_name + 1)
        headers.append((name, value))
    return headers


def _read_value(raw: bytes, kind: int, place: int) -> tuple[HeaderValue, int]:
    """Return a header's value and where the next one begins."""
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, place
    if (integer := _INTEGERS.get(kind)) is not None:
        value: int = integer.unpack_from(raw, place)[0]
        return value, place + integer.size
    if kind == _UUID:
        return uuid.UUID(bytes=raw[place : place + 16]), place + 16
    if kind not in {_BYTES, _STRING}:
        raise ValueError(f"there is no header type {kind}")
    begin = place + _LENGTH.size
    end = begin + _LENGTH.unpack_from(raw, place)[0]
    if end > len(raw):
        raise ValueError("a header is longer than the headers")
    return (raw[begin:end].decode() if kind == _STRING else raw[begin:end]), end


class FrameDecoder(StreamDecoder):
    """A decoder of event streams: checks the frames, hands each event to `read`; exceptions become `Failed`.

    A JSON body where a stream was promised is handed to `read_whole` at its end. After `Failed` or `Ended` nothing
    more is read.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._splitter = FrameSplitter()
        self._whole: bytearray | None = None
        self._has_begun = False
        self._is_over = False

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Return the events that this chunk completes; see the contract."""
        events: list[StreamEvent] = []
        if self._is_over or not chunk:
            return events
        if not self._has_begun:
            self._has_begun = True
            # A frame begins with its length, of which the first byte is 0 or 1: nothing that a text begins with.
            self._whole = bytearray() if chunk[0] > MAX_FRAME_BYTES >> 24 else None
        if self._whole is not None:
            self._whole += chunk
            if len(self._whole) > MAX_EVENT_BYTES:
                raise EventTooLarge(f"the answer is longer than {MAX_EVENT_BYTES >> 20} MB")
            return events
        for frame in self._splitter.feed(chunk):
            self._read_frame(frame, events)
            if self._is_over:
                return events
        if self._splitter.fault:
            events.append(Failed(f"The upstream's stream is broken: {self._splitter.fault}.", 502))
            self._is_over = True
        return events

    def _read_frame(self, frame: Frame, events: list[StreamEvent]) -> None:
        if frame.text(":message-type") in {"exception", "error"}:
            events.append(_failed(frame))
        else:
            self.read(frame.text(":event-type"), frame.payload, events)
        self._is_over = bool(events) and isinstance(events[-1], Failed | Ended)

    def finish(self) -> list[StreamEvent]:
        """Return what the end of the bytes means; see the contract."""
        events: list[StreamEvent] = []
        if not self._is_over:
            self._is_over = True
            if self._whole is not None:
                self.read_whole(bytes(self._whole), events)
            else:
                self.close(events)
        return events

    @abstractmethod
    def read(self, name: str, payload: bytes, events: list[StreamEvent]) -> None:
        """Append the events of one frame; must not raise, whatever the payload is."""

    @abstractmethod
    def read_whole(self, body: bytes, events: list[StreamEvent]) -> None:
        """Append the events of a body that is no event stream; must not raise."""

    @abstractmethod
    def close(self, events: list[StreamEvent]) -> None:
        """Append what the end of the bytes means: `Ended` when the stream was whole, nothing otherwise."""


def _failed(frame: Frame) -> Failed:
    """Return the failure that an exception frame tells: a modelled exception, or an error with code and message."""
    name = frame.text(":exception-type") or frame.text(":error-code")
    message, _, status = said_in(frame.payload)
    message = message or frame.text(":error-message") or f"The upstream broke off: {name or 'no reason given'}."
    return Failed(message, status_of(name) or status or 500, name)


def status_of(exception: str) -> int:
    """Return the status that an exception's name stands for, 0 when it is not known."""
    name = exception.lower()
    return next((status for word, status in _STATUSES.items() if name.startswith(word)), 0)


def read_refusal(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
    """Return what an error answer of such a service says. Never raises.

    The exception's name stands in `x-amzn-errortype` (`Name:address`) or in the body's `__type` (`namespace#Name`).
    """
    message, code, _ = said_in(body)
    named = headers.get(b"x-amzn-errortype", b"").decode("latin-1").partition(":")[0].rpartition("#")[2]
    return UpstreamFailure(message, named.strip() or code, retry_after_s=asked_wait_s(headers))
