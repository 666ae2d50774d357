"""HTTP in, HTTP out: read the body, pick the format by path, stream the answer, render errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from routing.engine import listing
from routing.engine.admission import limit_headers
from routing.engine.call import Call
from routing.engine.errors import (
    GatewayError,
    MethodNotAllowed,
    RequestTimedOut,
    RequestTooLarge,
    Unavailable,
    UnknownRoute,
    named,
)
from routing.engine.format import Route
from routing.engine.gateway import Gateway
from routing.engine.paths import Paths
from routing.engine.pipeline import serve, settle
from routing.engine.rehearsal import rehearse
from routing.engine.relay import AnswerCut, timing_headers
from routing.engine.upload import Upload
from tenants.engine.ids import new_id

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

logger = logging.getLogger("routex.gateway")

#: Paths that belong to the gateway; everything else is the console's.
PREFIXES = ("/v1/", "/v1beta/", "/v2/rerank", "/rerank")
#: What a request that no answer reached is recorded as (nginx's convention).
CLIENT_CLOSED_REQUEST = 499


#: How long a client may pause while it sends its body.
BODY_SILENCE_S = 60.0


class ClientGone(Exception):
    """The client hung up before its request was whole."""


class GatewayApp:
    """The gateway as an ASGI application."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._paths = Paths()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        path: str = scope["path"]
        found = self._paths.find(path)
        headers = dict(scope["headers"])
        reply = AsgiReply(send)
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}
        call = Call(
            id=new_id("req"),
            format=found[0] if found else listing.format_of(headers, path),
            route=found[1] if found else Route(""),
            headers=headers,
            query=query,
            client_address=scope["client"][0] if scope.get("client") else "",
        )
        self.gateway.in_flight += 1
        exchange = Exchange(call, self.gateway, receive, reply)
        try:
            await self._dispatch(call, scope["method"], path, exchange, reply)
        except GatewayError as error:
            await self._refuse(call, error, reply)
        except ClientGone:
            call.outcome, call.status = "gone", CLIENT_CLOSED_REQUEST
        except asyncio.CancelledError:
            if not exchange.absorb_cancellation():
                call.outcome, call.status = "gone", reply.status or CLIENT_CLOSED_REQUEST
                raise
            await self._end_early(call, exchange, reply)
        except AnswerCut:
            pass  # an answer that was not ended: the server cuts the connection, and nobody takes it for whole
        except Exception:
            logger.exception("request %s failed inside Routex", call.id)
            if reply.is_started:
                call.outcome, call.error = "failed", GatewayError("Routex failed while answering.")
                raise  # the server cuts the connection: never a clean end
            await self._refuse(call, GatewayError(f"Routex failed. Give this id to your admin: {call.id}"), reply)
        finally:
            exchange.stop()
            self.gateway.in_flight -= 1
            call.status = call.status or reply.status
            call.response_bytes = reply.sent_bytes
            if found is not None and not call.is_dry_run:
                settle(call, self.gateway)

    async def _end_early(self, call: Call, exchange: Exchange, reply: AsgiReply) -> None:
        """End a request whose client left, or whose upload turned out to be wrong while it was already forwarded."""
        if exchange.fault is None:
            call.outcome, call.status = "gone", reply.status or CLIENT_CLOSED_REQUEST
        elif not reply.is_started:
            await self._refuse(call, exchange.fault, reply)
        else:
            call.outcome, call.error = "failed", exchange.fault  # not ended: the server cuts the connection

    async def _dispatch(self, call: Call, method: str, path: str, exchange: Exchange, reply: AsgiReply) -> None:
        if self.gateway.is_draining:
            raise Unavailable("This server is restarting. Try again in a moment.", code="shutting_down")
        if not call.route.operation:
            await self._listing_or_nothing(call, method, path, reply)
        elif method != "POST":
            raise MethodNotAllowed(f"{named(path)} takes POST, not {named(method)}.", headers=((b"allow", b"POST"),))
        elif call.is_dry_run:
            await rehearse(call, self.gateway, exchange, reply)
        else:
            await serve(call, self.gateway, exchange, reply)

    async def _refuse(self, call: Call, error: GatewayError, reply: AsgiReply) -> None:
        """Answer with an error in the caller's format."""
        call.error = error
        call.outcome = "failed" if call.tries or type(error) is GatewayError else "refused"
        error.docs = self.gateway.docs_of(error.code)
        rendered = call.format.error_reply(error, call.id)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(rendered.body)).encode()),
            (b"x-request-id", call.id.encode()),
            (b"cache-control", b"no-store"),
            *timing_headers(call),
            *rendered.headers,
            *limit_headers(call),
        ]
        if call.decision.rule:
            headers.append((b"x-routex-rule", call.decision.rule.encode()))
        if call.attempts:
            headers.append((b"x-routex-attempts", str(call.tries).encode()))
            if call.tries:
                headers.append((b"x-routex-channel", call.attempts[-1].channel.encode()))
        await reply.start(rendered.status, headers)
        await reply.end(rendered.body)

    async def _listing_or_nothing(self, call: Call, method: str, path: str, reply: AsgiReply) -> None:
        if not listing.is_listing(path, method):
            close = listing.closest_path(path, list(self._paths))
            hint = f" Did you mean {close}?" if close else ""
            raise UnknownRoute(f"No route {named(method)} {named(path)}.{hint}")
        if method not in {"GET", "HEAD"}:
            allowed = ((b"allow", b"GET, HEAD"),)
            raise MethodNotAllowed(f"{named(path)} takes GET, not {named(method)}.", headers=allowed)
        body = await listing.answer(call, self.gateway, path)
        await reply.start(
            200,
            [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"x-request-id", call.id.encode()),
                (b"cache-control", b"no-store"),
            ],
        )
        await reply.end(b"" if method == "HEAD" else body)


class AsgiReply:
    """The way back to the client over ASGI; servers make `send` wait while the client does not read."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.sent_bytes = 0

    @property
    def is_started(self) -> bool:
        """Whether status and headers are out."""
        return self.status != 0

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send status and headers."""
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes) -> None:
        """Send a piece of the body and wait while the client is behind."""
        self.sent_bytes += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end(self, body: bytes = b"") -> None:
        """Send the last piece."""
        self.sent_bytes += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


class Exchange:
    """The incoming side of one request: its body, and the watch for the client's leaving."""

    def __init__(self, call: Call, gateway: Gateway, receive: Receive, reply: AsgiReply) -> None:
        self._call = call
        self._limit = gateway.max_body_bytes
        self._receive = receive
        self._task = asyncio.current_task()
        self._beside: asyncio.Future[Any] | None = None
        self._is_cancelled = False
        self._is_over = False
        #: Why the upload that goes on beside the request cannot be used.
        self.fault: GatewayError | None = None

    async def read_body(self) -> bytes:
        """Return the whole body, then watch for the client's leaving, which cancels the request.

        Raises:
            RequestTooLarge: it passes the limit; nothing beyond the limit is kept.
            RequestTimedOut: the client stopped sending in the middle.
            ClientGone: the client left while sending.
        """
        parts = [part async for part in self._parts()]
        self._beside = asyncio.ensure_future(self._receive())
        self._beside.add_done_callback(self._ended)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def open_upload(self) -> Upload:
        """Return the body as a form that arrives beside the request; should it fail, it cancels the request.

        Raises:
            BadRequest: the content type is that of another body.
        """
        declared = self._call.headers.get(b"content-length", b"")
        upload = Upload(self._call.headers.get(b"content-type", b""), int(declared) if declared.isdigit() else None)
        self._beside = asyncio.ensure_future(self._fill(upload))
        self._beside.add_done_callback(self._ended)
        return upload

    async def _fill(self, upload: Upload) -> None:
        """Take the form in, then watch for the client's leaving."""
        try:
            async for part in self._parts():
                await upload.take(part)
            upload.end()
            await self._receive()
        except GatewayError as error:
            self.fault = error
        except ClientGone:
            pass
        except OSError as error:
            logger.error("an upload cannot be kept: %s", error)
            self.fault = Unavailable("There is no room to keep this upload. Try again later.", code="no_room")

    async def _parts(self) -> AsyncIterator[bytes]:
        declared = self._call.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > self._limit:
            raise self._too_large(int(declared))
        size = 0
        while True:
            try:
                async with asyncio.timeout(BODY_SILENCE_S):
                    message = await self._receive()
            except TimeoutError:
                raise RequestTimedOut(
                    f"Nothing more of the body came for {BODY_SILENCE_S:.0f} s, after {size} bytes. Send it again."
                ) from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                raise self._too_large(size)
            yield part
            if not message.get("more_body", False):
                return

    def _too_large(self, size: int) -> RequestTooLarge:
        mb = 1024 * 1024
        return RequestTooLarge(f"Body is {size / mb:.1f} MB or more; the limit is {self._limit / mb:.0f} MB.")

    def _ended(self, beside: asyncio.Future[Any]) -> None:
        if not self._is_over and not beside.cancelled() and self._task is not None:
            self._is_cancelled = True
            self._task.cancel()

    def absorb_cancellation(self) -> bool:
        """Whether the cancellation was ours (see `open_upload` and `read_body`), in which case it ends here."""
        if self._is_cancelled and self._task is not None:
            self._task.uncancel()
        return self._is_cancelled

    def stop(self) -> None:
        """Take nothing more in, and forget what was."""
        self._is_over = True
        if self._beside is not None:
            self._beside.cancel()
        if self._call.upload is not None:
            self._call.upload.close()
