"""Embeddings that need no model: the same text always gives the same vector of length 1."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, ValidationError

DEFAULT_DIMENSIONS = 256
MAX_INPUTS = 2048
#: Echo computes inside the server's event loop, so the work of one request is bounded.
MAX_NUMBERS = 1_000_000

Dimensions = Annotated[int, Meta(ge=1, le=4096)]


def unit_vectors(texts: Sequence[str], dimensions: int | None) -> list[list[float]]:
    """Return one vector for each text.

    Raises:
        ValidationError: there is nothing to embed, or too much.
    """
    count = dimensions or DEFAULT_DIMENSIONS
    if not 1 <= len(texts) <= MAX_INPUTS:
        raise ValidationError(f"Expected 1 to {MAX_INPUTS} inputs, got {len(texts)}")
    if len(texts) * count > MAX_NUMBERS:
        raise ValidationError(f"Echo gives at most {MAX_NUMBERS} numbers at once; send fewer inputs or dimensions")
    return [_unit_vector(text, count) for text in texts]


def _unit_vector(text: str, count: int) -> list[float]:
    digest = hashlib.shake_256(text.encode()).digest(2 * count)
    # Odd numbers only: none is zero, so the length never is.
    values = [2 * number + 1 for number in struct.unpack(f"<{count}h", digest)]
    length = math.hypot(*values)
    return [value / length for value in values]
