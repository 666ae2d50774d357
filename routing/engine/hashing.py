"""Weighted rendezvous hashing: every name has its own order of the channels, stable while channels come and go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked

_PRIME = (1 << 61) - 1
_LOG_PRIME = math.log(_PRIME)


@lru_cache(maxsize=10_000)
def _seed(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def scattered(candidates: Sequence[Candidate], name: str) -> list[Ranked]:
    """Return the candidates in the name's own order; each is first for a share of all names as its weight says.

    Every candidate draws a number that depends on it and the name alone, so a name moves only when its first channel
    leaves, or to a channel that has come. (A ring of virtual nodes does the same, with a table to keep.)
    A product modulo a prime scatters well enough for that, and is the same in every process.
    """
    of_name, log = _seed(name), math.log
    scores = [(_LOG_PRIME - log(of_name * c.channel.seed % _PRIME or 1)) * c.share for c in candidates]
    return [Ranked(candidates[at], scores[at]) for at in sorted(range(len(scores)), key=scores.__getitem__)]
