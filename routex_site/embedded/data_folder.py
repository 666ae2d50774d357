"""The data folder: who holds it, what runs from it, and where the logs lie."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from routex_site.embedded.process import Identity, StartError, explained, find, identify, stop
from routex_site.embedded.secrets import read_secret, write_private

#: Every process of one run carries this mark, so that grandchildren are recognised after their parent is gone.
RUN_MARK = "ROUTEX_RUN"


@dataclass(frozen=True, slots=True)
class ChildNote:
    """One child as run.json remembers it."""

    name: str
    identity: Identity
    stop_signal: int
    grace_s: float


@dataclass(slots=True)
class DataFolder:
    """One folder, held by one supervisor at a time."""

    path: Path
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def logs(self) -> Path:
        """Where each child's output goes."""
        return self.path / "logs"

    @property
    def run_file(self) -> Path:
        """What runs now, for the next start and for other programs; gone after an orderly stop."""
        return self.path / "run.json"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this process; the kernel lets go of it however we end.

        Raises:
            StartError: another Routex holds it, or it cannot be written.
        """
        with explained(self.path):
            # Root may have to run PostgreSQL as another user, who must pass through; what lies inside is closed itself.
            self.path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            lock = (self.path / "run.lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in {errno.EAGAIN, errno.EACCES}:
                    raise
                raise StartError(self._held_by_another()) from error
            yield

    def _held_by_another(self) -> str:
        note = self.read_run()
        supervisor = _identity(note.get("supervisor"))
        pid = supervisor.pid if supervisor and find(supervisor) else None  # a run that only begins has no note yet
        who = f" (process {pid}, {note.get('url')})" if pid else ""
        how = f" or `kill {pid}`" if pid else ""
        return (
            f"Routex already runs on {self.path}{who}. Stop it with Ctrl-C in its terminal{how}, or set "
            "ROUTEX_DATA_DIR and ROUTEX_PORT to run a second one."
        )

    def read_run(self) -> dict[str, Any]:
        """Return what run.json says, or nothing when it is absent or unreadable."""
        try:
            note = json.loads(read_secret(self.run_file) or "{}")
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def write_run(self, *, url: str, children: list[ChildNote]) -> None:
        """Note what runs now."""
        note = {
            "run": self.run,
            "url": url,
            "supervisor": asdict(identify(os.getpid())),
            "children": [
                {
                    "name": child.name,
                    **asdict(child.identity),
                    "stop_signal": child.stop_signal,
                    "grace_s": child.grace_s,
                }
                for child in children
            ],
        }
        write_private(self.run_file, json.dumps(note, indent=1) + "\n")

    def stop_leftovers(self) -> list[str]:
        """Stop what a supervisor that was killed left running, and return the names; call it while holding the folder.

        A child is stopped only when its number and its start time agree, anything else only by the mark of that run.
        """
        note, stopped = self.read_run(), []
        for child in note.get("children", []):
            identity = _identity(child)
            process = find(identity) if identity else None
            if process:
                first = signal.Signals(child.get("stop_signal", signal.SIGTERM))  # another version may have written it
                stop(process, first=first, grace_s=child.get("grace_s", 10.0))
                stopped.append(str(child.get("name", process.name())))
        if note.get("run"):
            for process in _marked(str(note["run"])):
                stopped.append(process.name())
                stop(process, grace_s=1.0)
        return stopped

    def fresh_log(self, name: str) -> Path:
        """Return the log file of a child; what the last run wrote is kept beside it as `.1`."""
        log = self.logs / f"{name}.log"
        with contextlib.suppress(FileNotFoundError):
            log.replace(log.with_suffix(".log.1"))
        log.touch(mode=0o600)
        return log


def _identity(note: object) -> Identity | None:
    """Return the identity that a part of run.json holds, or None when it does not look like one."""
    match note:
        case {"pid": int(pid), "created": float(created)}:
            return Identity(pid, created)
    return None


def _marked(run: str) -> list[psutil.Process]:
    """Return the live processes that carry the mark of a run, but for ourselves."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(RUN_MARK) == run:
                found.append(process)
    return found
