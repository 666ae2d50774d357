"""What a limit may be told; which limiters there are is known above, and says so here when it is ready."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError

#: Each is called with kind, algorithm, limit, window_s and options, and raises ValueError with what is wrong.
LIMIT_CHECKS: list[Callable[..., object]] = []


def check_limit(*, kind: str, algorithm: str, limit: int, window_s: int, options: dict[str, Any]) -> None:
    """Raise ValidationError unless a limiter takes this."""
    for check in LIMIT_CHECKS:
        try:
            check(kind=kind, algorithm=algorithm, limit=limit, window_s=window_s, options=options)
        except ValueError as error:
            raise ValidationError({"options": ValidationError(str(error), code="invalid")}) from None
