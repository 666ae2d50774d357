"""LIMITERS: one line per limiter, and the check of a limit's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from channels_app.engine.registry import Registry
from routing.engine.limiter import Limiter, Options, Terms
from tenants.engine.limits import LimitSpec

LIMITERS: Registry[Limiter[Any]] = Registry(
    "routex.limiters",
    __name__,
    {
        "adaptive": ".adaptive:Adaptive",
        "concurrency": ".concurrency:Concurrency",
        "leaky_bucket": ".leaky_bucket:LeakyBucket",
        "sliding_window": ".sliding_window:SlidingWindow",
        "token_bucket": ".token_bucket:TokenBucket",
        "warm_up": ".warm_up:WarmUp",
    },
)


def limiter_of(kind: str, algorithm: str) -> Limiter[Any]:
    """Return the limiter of a limit: requests at once have only one.

    Raises:
        ValueError: there is none, or it does not count that.
    """
    name = "concurrency" if kind == "concurrency" else algorithm
    if name not in LIMITERS:
        raise ValueError(f"There is no limiter {algorithm!r}; there are: {', '.join(LIMITERS)}.")
    limiter = LIMITERS[name]
    if kind not in limiter.kinds:
        raise ValueError(f"The limiter {name} does not count {kind}, only: {', '.join(sorted(limiter.kinds))}.")
    return limiter


def terms_of(spec: LimitSpec, holder: str = "") -> Terms:
    """Return a limit's terms; raises ValueError when its options are not those of its limiter."""
    limiter = limiter_of(spec.kind, spec.algorithm)
    terms = Terms(spec.limit, spec.window_s, options_of(limiter, spec.options), holder)
    limiter.check(terms)
    return terms


def options_of(limiter: Limiter[Any], options: Mapping[str, Any]) -> Options:
    """Return typed options; raises ValueError with what is wrong."""
    try:
        return msgspec.convert(dict(options), limiter.options)
    except msgspec.ValidationError as error:
        known = ", ".join(limiter.options.__struct_fields__)
        raise ValueError(f"{str(error).replace('`', '')}. This limiter takes: {known}.") from error


def check(*, kind: str, algorithm: str, limit: int, window_s: int, options: Mapping[str, Any]) -> None:
    """Raise ValueError unless this makes a limit."""
    terms_of(LimitSpec(id="", kind=kind, algorithm=algorithm, limit=limit, window_s=window_s, options=dict(options)))  # type: ignore[arg-type]
