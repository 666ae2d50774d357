"""What can go wrong with an upstream, and whether another attempt may help.

UpstreamError
├── UpstreamBlocked        the address is not allowed for this tenant, or the URL cannot be used
├── UpstreamRefused        no connection could be made
├── UpstreamTimeout        a wait passed its limit: connect, first_byte, idle or total
├── UpstreamStatus         it answered with an error status
└── UpstreamBroken         it answered, and the answer was cut, malformed or carried an error inside
"""

from __future__ import annotations

from collections.abc import Mapping


class UpstreamError(Exception):
    """Base of the tree. `reason` is a short stable word for records; the text is safe to show to a key holder."""

    reason = "upstream_error"
    is_retryable = True


class UpstreamBlocked(UpstreamError):
    """The network policy forbids this address; another attempt at the same channel cannot help."""

    reason = "blocked"


class UpstreamRefused(UpstreamError):
    """No connection: refused, unreachable, name not found or TLS failed."""

    reason = "refused"


#: Wait → what did not come in time.
_MISSED = {"connect": "no connection", "first_byte": "no first byte", "idle": "nothing more", "total": "no end"}


class UpstreamTimeout(UpstreamError):
    """A wait passed its limit; `wait` says which one."""

    reason = "timeout"

    def __init__(self, wait: str, limit_s: float) -> None:
        super().__init__(f"{_MISSED[wait]} within {limit_s:g} s")
        self.wait = wait
        self.limit_s = limit_s


class UpstreamStatus(UpstreamError):
    """An error status, with its body (bounded) and the seconds it asked to wait."""

    reason = "status"

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: bytes = b"",
        retry_after_s: float | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body
        self.content_type = content_type
        self.retry_after_s = retry_after_s
        self.headers = headers or {}

    @property
    def is_about_credential(self) -> bool:
        """Whether another credential of the same channel may do better."""
        return self.status in {401, 402, 403, 429}

    @property
    def is_retryable(self) -> bool:  # type: ignore[override]
        """Whether another attempt may help. A plain 4xx says that the request itself is at fault."""
        return self.status in {401, 402, 403, 404, 408, 409, 425, 429} or self.status >= 500


class UpstreamBroken(UpstreamError):
    """The answer ended before its terminal marker, was not what the format promises, or said error inside."""

    reason = "broken"
