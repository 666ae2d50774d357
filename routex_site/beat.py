"""The beat's memory of what ran when, in plain files, whichever Python runs it.

Celery keeps it with `shelve`, whose files are SQLite's from Python 3.13 on. In the beat's own process, beside a worker
with threads, these failed with "locking protocol", and then nothing was sent any more.
"""

from __future__ import annotations

import dbm.dumb
import shelve
from collections.abc import MutableMapping
from typing import Any, cast

from celery.beat import PersistentScheduler


class PlainFiles:
    """`shelve` over `dbm.dumb`."""

    @staticmethod
    def open(filename: str, writeback: bool = False) -> shelve.Shelf[Any]:
        """Return what is kept, made on first use."""
        files = cast("MutableMapping[bytes, bytes]", dbm.dumb.open(filename, "c"))  # noqa: SIM115 the caller closes it
        return shelve.Shelf(files, writeback=writeback)


class PlainScheduler(PersistentScheduler):
    """Celery's own scheduler, with its store in plain files."""

    persistence = PlainFiles
