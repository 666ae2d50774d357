"""Prefixed ULIDs: sortable by time, readable by kind, safe to make in any process."""

from __future__ import annotations

import os
import time

#: Crockford's base 32, the alphabet of ULIDs (https://github.com/ulid/spec).
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TIME_CHARS = 10
_RANDOM_CHARS = 16
LENGTH = _TIME_CHARS + _RANDOM_CHARS

#: What each prefix stands for; a new kind of object adds a line here.
PREFIXES = {
    "aud": "audit event",
    "bak": "configuration backup",
    "chn": "channel",
    "crd": "upstream credential",
    "dom": "domain",
    "hlt": "channel health check",
    "key": "gateway key",
    "lea": "lease of a quota",
    "lim": "limit",
    "mem": "membership",
    "pol": "routing policy",
    "prc": "gateway process",
    "quo": "quota",
    "req": "gateway request",
    "rul": "routing rule",
    "ten": "tenant",
    "tok": "management token",
    "usr": "person",
}


def _encode(value: int, length: int) -> str:
    chars = [""] * length
    for place in range(length - 1, -1, -1):
        chars[place] = _ALPHABET[value & 31]
        value >>= 5
    return "".join(chars)


_last_ms = -1
_last_time = ""


def new_id(prefix: str) -> str:
    """Return `<prefix>_<ULID>`; ids made in different milliseconds sort by the time they were made."""
    global _last_ms, _last_time
    now_ms = time.time_ns() // 1_000_000
    if now_ms != _last_ms:
        # Many ids are made within one millisecond under load; the time part is worth remembering.
        _last_ms, _last_time = now_ms, _encode(now_ms, _TIME_CHARS)
    return f"{prefix}_{_last_time}{_encode(int.from_bytes(os.urandom(10), 'big'), _RANDOM_CHARS)}"


def is_id(text: str, prefix: str) -> bool:
    """Whether the text has the form of an id of that kind."""
    head, _, tail = text.partition("_")
    return head == prefix and len(tail) == LENGTH and set(tail) <= set(_ALPHABET)
