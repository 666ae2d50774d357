"""Mint, check and digest the keys and tokens that Routex hands out."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY_CHARS: Final = 32
CHECK_CHARS: Final = 6
GATEWAY_KEY: Final = "rtx_"
MANAGEMENT_TOKEN: Final = "rtxm_"  # noqa: S105 a prefix, not a secret
SETUP_TOKEN: Final = "rtxs_"  # noqa: S105 a prefix, not a secret

#: Keys of other services that people paste by mistake, longest prefix first: (prefix, whose it is).
FOREIGN_KEYS: Final = (
    ("sk-ant-", "an Anthropic key"),
    ("sk-or-", "an OpenRouter key"),
    ("sk-proj-", "an OpenAI key"),
    ("AIza", "a Google key"),
    ("sk-", "another service's key"),
    ("gsk_", "a Groq key"),
    ("hf_", "a Hugging Face token"),
)


def checksum(body: str) -> str:
    """Return the six check characters of a key body: CRC-32 (IEEE) in base 62, padded with zeros."""
    value = zlib.crc32(body.encode("ascii"))
    chars = ""
    for _ in range(CHECK_CHARS):
        value, place = divmod(value, 62)
        chars = ALPHABET[place] + chars
    return chars


def mint(prefix: str = GATEWAY_KEY) -> str:
    """Return a new key with 190 bits of randomness; it exists nowhere else until the caller stores its digest."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(BODY_CHARS))
    return f"{prefix}{body}{checksum(body)}"


def is_well_formed(key: str, prefix: str = GATEWAY_KEY) -> bool:
    """Whether a key has the right prefix, length, alphabet and checksum; asks no storage."""
    rest = key[len(prefix) :]
    if not key.startswith(prefix) or len(rest) != BODY_CHARS + CHECK_CHARS or not rest.isascii() or not rest.isalnum():
        return False
    return secrets.compare_digest(rest[BODY_CHARS:], checksum(rest[:BODY_CHARS]))


def digest(key: str) -> bytes:
    """Return what is stored instead of the key. SHA-256 suffices: the key is random, not a password."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def display_prefix(key: str) -> str:
    """Return the part that may be shown for recognition: the prefix and four characters."""
    return key[: key.index("_") + 5]


def foreign_owner(key: str) -> str | None:
    """Return whose key this looks like ("an OpenAI key"), or None when it is no known foreign form."""
    return next((owner for prefix, owner in FOREIGN_KEYS if key.startswith(prefix)), None)
