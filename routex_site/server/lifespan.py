"""Run the application's start-up and shut-down code on the server's loop, the same under both servers."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from routex_site.server.options import Application, CannotStart, Message

logger = logging.getLogger(__name__)

#: A shut-down that takes longer is left to the end of the process.
SHUTDOWN_WAIT_S = 10
#: For cancelled requests to clean up after themselves.
CANCEL_WAIT_S = 2


class Lifespan:
    """The ASGI lifespan protocol as a context: started when entered, shut down when left.

    Daphne has none, and uvicorn's ends the process with messages and codes of its own.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Wait until the application is ready.

        Raises:
            CannotStart: It says that it failed, raised, or does not know lifespan.
        """
        self._task = asyncio.create_task(self._run())
        answer = await self._ask("lifespan.startup")
        if answer["type"] != "lifespan.startup.complete":
            raise CannotStart(f"The application did not start: {answer.get('message') or 'it gave no reason'}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the application close what it opened."""
        try:
            answer = await asyncio.wait_for(self._ask("lifespan.shutdown"), SHUTDOWN_WAIT_S)
        except TimeoutError:
            logger.error("The application did not shut down within %s s.", SHUTDOWN_WAIT_S)
            return
        if answer["type"] != "lifespan.shutdown.complete":
            logger.error("The application did not shut down cleanly: %s", answer.get("message", ""))

    async def _ask(self, kind: str) -> Message:
        """Send one event and return the answer; an application that ended instead is an answer too."""
        assert self._task is not None
        self._events.put_nowait({"type": kind})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        error = self._task.exception()
        if error is None:
            return {"type": f"{kind}.failed", "message": "it returned without an answer"}
        logger.error("Exception in the application's %s", kind, exc_info=error)
        return {"type": f"{kind}.failed", "message": repr(error)}

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        await self._application(scope, self._events.get, self._answer)

    async def _answer(self, message: Message) -> None:
        self._answers.put_nowait(message)


def settle_memory() -> None:
    """Take what the start made out of the collector's sight, and let it look less often.

    The imported modules and the application live as long as the process; walking them cost pauses of tens of
    milliseconds. Requests leave few cycles, so the young generation may grow further before it is looked at.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def on_stop_signal(callback: Callable[[], None]) -> None:
    """Call back on the running loop at each SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, callback)


async def cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel what still runs, and let it clean up before the application shuts down."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_WAIT_S)
