"""Event-stream frames as AWS writes them, for tests."""

from __future__ import annotations

import json
import struct
import uuid
from typing import Any
from zlib import crc32


def _value(value: Any) -> bytes:
    match value:
        case bool():
            return bytes([0 if value else 1])
        case int():
            return b"\x05" + value.to_bytes(8, "big", signed=True)
        case bytes():
            return b"\x06" + len(value).to_bytes(2, "big") + value
        case uuid.UUID():
            return b"\x09" + value.bytes
        case _:
            return b"\x07" + len(value.encode()).to_bytes(2, "big") + value.encode()


def headers_of(headers: dict[str, Any]) -> bytes:
    return b"".join(bytes([len(name.encode())]) + name.encode() + _value(value) for name, value in headers.items())


def frame(headers: dict[str, Any] | bytes, payload: bytes = b"") -> bytes:
    raw = headers if isinstance(headers, bytes) else headers_of(headers)
    lengths = struct.pack(">II", 16 + len(raw) + len(payload), len(raw))
    checked = lengths + crc32(lengths).to_bytes(4, "big") + raw + payload
    return checked + crc32(checked).to_bytes(4, "big")


def event(name: str, payload: Any) -> bytes:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return frame({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, body)


def exception(name: str, message: str) -> bytes:
    return frame({":exception-type": name, ":message-type": "exception"}, json.dumps({"message": message}).encode())
