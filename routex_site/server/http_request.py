"""One HTTP request under Daphne: from Twisted's parsed head and body to ASGI and back."""

from __future__ import annotations

import asyncio
import logging
import re
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import unquote

from daphne.http_protocol import WebRequest
from twisted.python.failure import Failure
from twisted.web.http import NO_BODY_CODES, RESPONSES
from twisted.web.http import Request as TwistedRequest

from routex_site.server.inflow import Inflow
from routex_site.server.options import DISCARD_BYTES, Message, is_shadow
from routex_site.server.running import RunsApplication

if TYPE_CHECKING:
    from routex_site.server.http_channel import Channel

logger = logging.getLogger(__name__)

_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
#: Daphne's list (daphne.utils): bytes that later readers of a header may take for the end of a line.
_BAD_RECEIVED_VALUE = re.compile(rb"[\x0b\x0c\x1c\x1d\x1e\x85]")
_BAD_SENT_VALUE = re.compile(rb"[\r\n\x00]")
_STATUS = {code: b" %d %b\r\n" % (code, reason) for code, reason in RESPONSES.items()}


@lru_cache(maxsize=1024)
def _checked_name(name: bytes) -> bytes:
    """Return the name in lower case; the same few dozen names are sent with every answer."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    return name.lower()


class Request(RunsApplication, WebRequest):
    """Daphne's request with a shorter way through: one pass over the headers, no temporary file, no polling."""

    channel: Channel | None = None  # None again once the answer is complete or the client left
    content: BytesIO | None = None
    query_string = b""

    #: The body is longer than the limit. One that says so at once is not kept, any other up to a byte past the limit.
    is_too_large = False
    startedWriting: int  # noqa: N815 Twisted's name
    _discarded = 0
    _unread: bytes | None = None  # the body, until the application takes it
    _inflow: Inflow | None = None  # a form's body, which the application takes while it arrives
    _arrived = 0
    _is_taken = False  # the application has all of it
    _is_answered = False  # while the rest of a form is still to come
    _over: asyncio.Event | None = None  # made when the application waits for the end

    _start: Message | None = None
    _is_chunked = False
    _has_body = True
    _missing: int | None = None  # bytes of the promised content-length not sent yet

    def __init__(self, channel: Channel, queued: int = 0) -> None:
        # Not Daphne's: it enters each request in a table that a timer walks once a second, to find those that
        # ended. Ours are told by their task and their connection.
        TwistedRequest.__init__(self, channel, queued)
        self.server = channel.factory.server

    # From Twisted, while the request arrives

    def parseCookies(self) -> None:  # noqa: N802 Twisted's name
        """Leave cookies to the application."""

    def gotLength(self, length: int | None) -> None:  # noqa: N802 Twisted's name
        """Keep the body in memory: Twisted writes from 100 kB on, or an unknown length, to a temporary file."""
        assert self.channel is not None
        self.content = BytesIO()
        # What is refused anyway is thrown away as it comes: a client must not fill the memory by announcing too much.
        self.is_too_large = length is not None and length > self.channel.factory.options.max_body_bytes

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 Twisted's name
        """Keep up to one byte more than the limit, so that the application sees that there is more."""
        assert self.channel is not None
        limit = self.channel.factory.options.max_body_bytes
        room = 0 if self.is_too_large or self._is_answered else limit + 1 - self._arrived
        kept = data if len(data) <= room else data[:room]
        self._arrived += len(kept)
        if self._inflow is not None:
            self._inflow.put(kept)
        elif self.content is not None:
            self.content.write(kept)
        if len(data) >= room:
            self.is_too_large = self.is_too_large or not self._is_answered
            self._discarded += len(data) - room
            if self._discarded > DISCARD_BYTES:
                self.channel.refuse_endless_body(is_answered=self._is_answered)

    def begin_early(self, command: bytes, path: bytes, version: bytes) -> None:
        """Start the application before the body of a form is here: a file is passed on and not held."""
        content_type = self.requestHeaders.getRawHeaders(b"Content-Type", [b""])[0]
        if not content_type.lower().startswith(b"multipart/form-data") or self.requestHeaders.hasHeader(b"Upgrade"):
            return
        assert self.channel is not None
        self._inflow = Inflow(self.channel.pause_body, self.channel.resume_body)
        self.content = None
        self._name(command, path, version)
        self.process()

    def _name(self, command: bytes, path: bytes, version: bytes) -> None:
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, self.query_string = path.partition(b"?")

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802 Twisted's name
        """Start the application. Twisted parses query and forms here, with the e-mail package, for nobody."""
        if self._inflow is not None:
            self._inflow.end()
            if self._is_answered:
                self.finish()
            return
        self._name(command, path, version)
        if self.requestHeaders.hasHeader(b"Upgrade"):
            upgrade = self.requestHeaders.getRawHeaders(b"Upgrade")[0]
            if upgrade.lower() == b"websocket":
                self._become_websocket()
                return
        self.process()

    def _become_websocket(self) -> None:
        assert self.content is not None and self.channel is not None
        channel = self.channel
        self.content.seek(0)
        WebRequest.process(self)
        if self.transport is None:  # Daphne handed it to a websocket protocol
            channel.leave()

    # To the application

    def process(self) -> None:
        """Make the scope and run the application."""
        assert self.channel is not None
        headers = []
        for name, values in self.requestHeaders.getAllRawHeaders():
            if b"_" in name and is_shadow(name, self.path):
                continue
            name = name.lower()
            for value in values:
                if _BAD_RECEIVED_VALUE.search(value):
                    self.answer(400, "Invalid header value")
                    return
                headers.append((name, value))
        if not self.uri.isascii():
            self.answer(400, "Invalid characters in the URL")
            return
        path = self.path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1" if self.clientproto == b"HTTP/1.1" else "1.0",
            "method": self.method.decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": self.path,
            # Daphne takes it from a request header, which any client could send.
            "root_path": "",
            "scheme": "http",
            "query_string": self.query_string,
            "headers": headers,
            "client": self.channel.client_addr,
            "server": self.channel.server_addr,
        }
        if self.content is not None:
            self._unread, self.content = self.content.getvalue(), None
        self.run_application(scope, self.receive, self.send)

    async def receive(self) -> Message:
        """Return the whole body as one message, a form's piece by piece, then wait for the end of the request."""
        if self._unread is not None:
            body, self._unread = self._unread, None
            return {"type": "http.request", "body": body, "more_body": self.is_too_large}
        if self._inflow is not None and not self._is_taken:
            return await self._receive_piece(self._inflow)
        if self.is_too_large and self._start is None:
            # An application that asks for more has no limit of its own, and must not take a part for the whole.
            self.answer(413, "The request body is too large")
        if self.channel is not None:
            if self._over is None:
                self._over = asyncio.Event()
            await self._over.wait()
        return {"type": "http.disconnect"}

    async def _receive_piece(self, inflow: Inflow) -> Message:
        if self.is_too_large and inflow.is_empty and self._start is None:
            self.answer(413, "The request body is too large")
        piece = await inflow.take()
        if piece is None:
            return {"type": "http.disconnect"}
        self._is_taken = inflow.is_whole and not self.is_too_large
        return {"type": "http.request", "body": piece, "more_body": not self._is_taken}

    async def send(self, message: Message) -> None:
        """Write a part of the answer, once the client has taken what was written before.

        Raises:
            ValueError: The message is not allowed at this place, or holds a header that must not be sent.
        """
        if self.channel is not None and self.channel.room is not None:
            await self.channel.drained()
        if self.channel is None or self._is_answered:
            return  # complete, or the client left: the application learns it from receive()
        kind = message["type"]
        if kind == "http.response.body":
            self._write(message.get("body", b""), more_body=message.get("more_body", False))
        elif kind == "http.response.start" and self._start is None:
            self._start = message  # written together with the first part of the body
        else:
            raise ValueError(f"{kind} is not allowed here")

    def application_ended(self, *, is_failed: bool) -> None:
        """Complete or cut an answer that its application left unfinished."""
        if self.channel is None or self._is_answered:
            return
        if not self.startedWriting:
            if not is_failed:
                logger.error("The application returned without an answer to %s", self.path)
            self.answer(500, "Internal Server Error")
        elif self._is_chunked or self._missing is not None:
            self.channel.loseConnection()  # the client misses the end, and knows it
        else:
            self.channel.transport.abortConnection()  # only an error tells this end from a good one

    # To the client

    def answer(self, status: int, text: str) -> None:
        """Answer in the application's place, unless its own answer has begun."""
        if self.channel is None or self.startedWriting:
            return
        body = text.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
        self._start = {"type": "http.response.start", "status": status, "headers": headers}
        self._write(body, more_body=False)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer where Daphne's own code has an error to tell."""
        self.answer(status, body)

    def _write(self, body: bytes, *, more_body: bool) -> None:
        assert self.channel is not None
        parts: list[bytes] = [] if self.startedWriting else self._head()
        if self._missing is not None:
            self._missing -= len(body)
            if self._missing < 0:
                raise ValueError("The body is longer than its content-length")
        if body and self._has_body:
            parts.append(b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked else body)
        if self._is_chunked and not more_body:
            parts.append(b"0\r\n\r\n")
        if parts:
            self.channel.transport.write(b"".join(parts))
            self.startedWriting = 1
        if not more_body:
            if self._missing:
                raise ValueError("The body is shorter than its content-length")
            self.finish()

    def _head(self) -> list[bytes]:
        """Return the status line and the headers; where the body ends and the connection goes on is ours to say."""
        assert self.channel is not None
        if self._start is None:
            raise ValueError("The body came before http.response.start")
        status, length = self._start["status"], None
        lines = [self.clientproto, _STATUS.get(status) or b" %d \r\n" % status]
        for name, value in self._start.get("headers", ()):
            lower = _checked_name(name)
            if _BAD_SENT_VALUE.search(value):
                raise ValueError(f"The value of {name!r} holds a line end")
            if lower == b"connection":
                self.channel.persistent = self.channel.persistent and b"close" not in value.lower()
                continue
            if lower == b"transfer-encoding":
                continue
            if lower == b"content-length":
                length = int(value)
            lines += (name, b": ", value, b"\r\n")
        lines.append(self._framing(status, length))
        return lines

    def _framing(self, status: int, length: int | None) -> bytes:
        assert self.channel is not None
        self._has_body = self.method != b"HEAD" and status not in NO_BODY_CODES
        if self._has_body:
            self._missing = length
            self._is_chunked = length is None and self.clientproto == b"HTTP/1.1"
        lines = b"transfer-encoding: chunked\r\n" if self._is_chunked else b""
        return lines + (b"\r\n" if self.channel.persistent else b"connection: close\r\n\r\n")

    # Its end

    def finish(self) -> None:
        """End the answer: Twisted goes on with the connection, the application's receive() returns."""
        if self._inflow is not None and not self._inflow.is_whole:
            # The client sends on and reads its answer afterwards: the rest is thrown away as it comes.
            self._is_answered = True
        else:
            TwistedRequest.finish(self)
        self._let_go()

    def _let_go(self) -> None:
        """Forget a body that nobody took: this object may live until the next garbage collection."""
        self._unread = None
        if self._inflow is not None:
            self._inflow.close()
        if self._over is not None:
            self._over.set()

    def connectionLost(self, reason: Failure) -> None:  # noqa: N802 Twisted's name
        """Tell the application at once that its client left, and give it a while to end."""
        TwistedRequest.connectionLost(self, reason)
        self._let_go()
        self.client_left()

    def __repr__(self) -> str:
        return f"<Request {self.method!r} {self.path!r}>"
