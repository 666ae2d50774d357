"""The application's task for one request or websocket under Daphne."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from routex_site.server.options import Receive, Scope, Send
from routex_site.server.reactor import loop

if TYPE_CHECKING:
    from routex_site.server.tuned_daphne import TunedServer

logger = logging.getLogger(__name__)


class RunsApplication:
    """Starts the application and is told at once when it ends; Daphne looks once a second at every task it has."""

    server: TunedServer
    _task: asyncio.Task[None] | None = None
    _overdue: asyncio.TimerHandle | None = None

    def run_application(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the application on this scope."""
        self._task = task = loop.create_task(self.server.application(scope, receive, send))
        self.server.tasks.add(task)
        task.add_done_callback(self._application_done)

    def client_left(self) -> None:
        """Give an application whose client is gone a while to end, then cancel it."""
        if self._task is not None and not self._task.done():
            self._overdue = loop.call_later(self.server.options.leave_wait_s, self._task.cancel)

    def application_ended(self, *, is_failed: bool) -> None:
        """Give the client an end too, if it has none yet."""
        raise NotImplementedError

    def _application_done(self, task: asyncio.Task[None]) -> None:
        self.server.tasks.discard(task)
        self._task = None  # an exception's frames know this request: with its body, it would wait for the collector
        if self._overdue is not None:
            self._overdue.cancel()
        is_failed = task.cancelled() or task.exception() is not None
        if is_failed and not task.cancelled():
            logger.error("Exception in the application", exc_info=task.exception())
        self.application_ended(is_failed=is_failed)
