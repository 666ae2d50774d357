"""The Twisted reactor on a uvloop event loop; imported before anything that would install another one."""

from __future__ import annotations

import uvloop
from twisted.internet import asyncioreactor

#: uvloop's timers, callbacks and file descriptor watching are in C; Daphne would make asyncio's own loop.
loop = uvloop.new_event_loop()
asyncioreactor.install(loop)
