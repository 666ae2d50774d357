"""Three doors: gateway paths → routing.engine.asgi, websockets → Channels, the rest → Django."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from routex_site import health
from routex_site.settings.env import Environment, read_environment
from routex_site.wiring import Process, build_process
from routing.engine.asgi import PREFIXES
from routing.engine.gateway import SCOPE_KEY

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("routex.asgi")


class Application:
    """The whole web process: a gateway, a console, or both."""

    def __init__(self, environment: Environment) -> None:
        self.process: Process | None = build_process(environment) if environment.role != "console" else None
        self.console: App | None = None
        self.sockets: App | None = None
        if environment.role != "gateway":
            self.console, self.sockets = _console()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection to its door."""
        kind = scope["type"]
        if kind == "http":
            path: str = scope["path"]
            if path.startswith(PREFIXES) and self.process is not None:
                await self.process.app(scope, receive, send)
            elif path in health.PATHS:
                await _send_json(send, *health.answer(path, self.process))
            elif self.console is not None:
                scope[SCOPE_KEY] = self.process.gateway if self.process is not None else None
                await self.console(scope, receive, send)
            else:
                await _send_json(send, 404, b'{"error":"This process is a gateway; the console runs elsewhere."}')
        elif kind == "websocket" and self.sockets is not None:
            await self.sockets(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if self.process is not None:
                    await self.process.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self.process is not None:
                    await self.process.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _console() -> tuple[App, App]:
    """Return Django and the websocket router; imported here because a gateway process has no Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "routex_site.settings.base")
    from channels.security.websocket import AllowedHostsOriginValidator
    from django.core.asgi import get_asgi_application

    console = get_asgi_application()  # loads the apps; what follows needs them
    from channels.auth import AuthMiddlewareStack

    from routex_site.sockets import websockets

    return cast(App, console), AllowedHostsOriginValidator(AuthMiddlewareStack(websockets))


async def _send_json(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
application = Application(read_environment())
