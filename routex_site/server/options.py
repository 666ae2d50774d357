"""What both servers are told, and the one error that ends a start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Connections that may wait to be accepted. Twisted's 50 makes a burst stall for a second; the kernel caps it.
BACKLOG = 4096
#: The request line and all headers together.
HEAD_BYTES = 32 * 1024
#: How much of a body past the limit is read and thrown away, so that a client that only reads once it has sent
#: everything still reads its 413.
DISCARD_BYTES = 256 * 1024 * 1024
#: A websocket message, in and out of the browser.
WEBSOCKET_BYTES = 1024 * 1024
#: The only names with an underscore that are let through, and to which paths: older Codex tells its conversation by
#: them. Any other is dropped, for a reader that cannot tell it from a dash could take it for another header.
UNDERSCORED = frozenset({b"session_id", b"conversation_id"})
UNDERSCORED_PATHS = (b"/v1/", b"/v1beta/")


def is_shadow(name: bytes, path: bytes) -> bool:
    """Whether a header's name has an underscore that nobody asked for (CVE-2015-0219)."""
    return b"_" in name and not (path.startswith(UNDERSCORED_PATHS) and name.lower() in UNDERSCORED)


class CannotStart(Exception):
    """The server cannot start; the message is one sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Bounds of one server process."""

    max_body_bytes: int = 32 * 1024 * 1024
    #: From the first byte of a request to the end of its headers; a new connection gets the same for its first.
    head_wait_s: float = 20
    #: Between two pieces of a request's body.
    body_wait_s: float = 60
    #: Between two requests of a connection.
    idle_wait_s: float = 75
    #: For running requests after SIGTERM; a second signal ends the wait.
    stop_wait_s: float = 10
    #: For the application after its client left; then its task is cancelled.
    leave_wait_s: float = 10
