"""Keeps services running: notices a death, says so, starts it again, and stops all of them in order."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

import psutil

from routex_site.embedded.data_folder import ChildNote, DataFolder
from routex_site.embedded.process import (
    Identity,
    Process,
    StartError,
    describe_end,
    has_ended,
    identify,
    kill_group,
    never,
    returncode,
    stop,
)

#: A service that lived this long starts with the shortest pause again.
STEADY_S = 60.0


@dataclass(slots=True)
class Service:
    """One thing that is kept running, and how often it died."""

    name: str
    start: Callable[[], Process]
    log: Path
    stop_signal: Signals
    grace_s: float  # between the stop signal and SIGKILL
    is_hurried: Callable[[], bool] = never  # asked while stopping; true cuts the grace short
    process: Process | None = None
    identity: Identity | None = None
    deaths: int = 0  # since it was last steady
    started_at: float = 0.0  # monotonic
    start_at: float = 0.0  # monotonic; not before this


def backoff_s(deaths: int) -> float:
    """Return how long to wait before the next start: 0.5 s after the first death, doubling up to 30 s."""
    return float(min(30.0, 0.5 * 2 ** min(deaths - 1, 10)))


def say(line: str) -> None:
    """Tell the person at the terminal; when the terminal is gone, carry on."""
    with contextlib.suppress(OSError):
        print(f"routex: {line}", file=sys.stderr, flush=True)  # noqa: T201 the supervisor's way to speak


@dataclass(slots=True)
class Keeper:
    """The services of one run, in the order of stopping."""

    folder: DataFolder
    url: str
    services: list[Service] = field(default_factory=list)

    def begin(self, service: Service) -> None:
        """Start a service that does not run.

        Raises:
            StartError: it cannot be started.
        """
        self.register(service, service.start())

    def register(self, service: Service, process: Process) -> None:
        """Note a process that was just started, here and in run.json."""
        service.process, service.started_at = process, time.monotonic()
        with contextlib.suppress(psutil.NoSuchProcess):  # died at once: the next look finds it
            service.identity = identify(process.pid)
        self.note()

    def note(self) -> None:
        """Write run.json."""
        notes = [
            ChildNote(kept.name, kept.identity, kept.stop_signal, kept.grace_s)
            for kept in self.services
            if kept.identity
        ]
        try:
            self.folder.write_run(url=self.url, children=notes)
        except OSError as error:  # a full disk does not end the run
            say(f"{self.folder.run_file} cannot be written: {error.strerror}")

    def look_after(self, *, but: Collection[str] = ()) -> None:
        """Bury what died and start again what has waited long enough, leaving alone the services named in `but`."""
        for service in self.services:
            if service.name in but:
                continue
            if service.process is None:
                if time.monotonic() >= service.start_at:
                    self._revive(service)
            elif has_ended(service.process):
                self._bury(service, service.process)

    def stop_all(self) -> None:
        """Stop everything, one after the other, each within its grace."""
        for service in self.services:
            if service.process:
                stop(
                    service.process,
                    first=service.stop_signal,
                    grace_s=service.grace_s,
                    hurried=service.is_hurried,
                )

    def _bury(self, service: Service, process: Process) -> None:
        """Say that a service died, end what it left behind, and set when it starts again."""
        kill_group(process.pid)
        has_been_steady = time.monotonic() - service.started_at >= STEADY_S
        service.deaths = 1 if has_been_steady else service.deaths + 1
        service.process = service.identity = None
        self._postpone(service, describe_end(returncode(process)))

    def _revive(self, service: Service) -> None:
        """Start a dead service again, later when it does not work now."""
        try:
            self.begin(service)
        except (StartError, OSError) as error:
            service.deaths += 1
            self._postpone(service, f"does not start: {error}")

    def _postpone(self, service: Service, what_happened: str) -> None:
        pause_s = backoff_s(service.deaths)
        service.start_at = time.monotonic() + pause_s
        say(f"{service.name} {what_happened}; starting it again in {pause_s:g} s. Its log: {service.log}")
