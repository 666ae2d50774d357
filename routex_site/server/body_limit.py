"""Keep an application that has no limit of its own from reading a request body without end, under uvicorn."""

from __future__ import annotations

from routex_site.server.options import Application, Message, Receive, Scope, Send

TOO_LARGE = b"The request body is too large"


def limit_body(application: Application, max_body_bytes: int) -> Application:
    """Return the application behind a limit that acts as the tuned Daphne does.

    It may read one byte past the limit and answer 413 in a form of its own. When it asks for more instead, it is told
    that its client left, and the client gets a plain 413.
    """

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_small(scope, max_body_bytes):
            await application(scope, receive, send)
            return
        room = max_body_bytes + 1
        has_answered = False

        async def receive_limited() -> Message:
            nonlocal room
            if room <= 0:
                if not has_answered:
                    await _answer_too_large(send_once)
                return {"type": "http.disconnect"}
            message = await receive()
            if message["type"] == "http.request":
                body = message.get("body", b"")
                if len(body) >= room:
                    message = {"type": "http.request", "body": body[:room], "more_body": True}
                room -= len(body)
            return message

        async def send_once(message: Message) -> None:
            nonlocal has_answered
            has_answered = True
            await send(message)

        await application(scope, receive_limited, send_once)

    return limited


def _is_small(scope: Scope, max_body_bytes: int) -> bool:
    """Whether the head alone says that the body keeps the limit; without either header there is no body."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) <= max_body_bytes
        if name == b"transfer-encoding":
            return False
    return True


async def _answer_too_large(send: Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(TOO_LARGE))]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": TOO_LARGE})
