"""Weighted rendezvous hashing: every name has its own order of the channels, stable while channels come and go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked

_MASK = (1 << 61) - 1
_LOG_ONE = math.log(1 << 61)


@lru_cache(maxsize=10_000)
def _seed(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def scattered(candidates: Sequence[Candidate], name: str) -> list[Ranked]:
    """Return the candidates in the name's own order; each is first for a share of all names as its weight says.

    Every candidate draws a number that depends on it and the name alone, so a name moves only when its first channel
    leaves, or to a channel that has come. (A ring of virtual nodes does the same, with a table to keep.)
    Python's hash of two integers mixes well and is the same in every process; only that of text is salted.
    """
    of_name, log = _seed(name), math.log
    scores = [(_LOG_ONE - log(hash((of_name, c.channel.seed)) & _MASK | 1)) * c.share for c in candidates]
    return [Ranked(candidates[at], scores[at]) for at in sorted(range(len(scores)), key=scores.__getitem__)]
