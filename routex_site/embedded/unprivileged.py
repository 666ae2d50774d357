"""How PostgreSQL, which refuses to run as root, is run when Routex is started by root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from routex_site.embedded.process import StartError

NOBODY = 65534
#: In a user namespace of its own the process sees itself as nobody, while its files stay root's on disk: nothing has
#: to be opened up to another user.
AS_NOBODY_INSIDE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")


@dataclass(frozen=True, slots=True)
class RunAs:
    """What to put before a command line, and who then owns the files."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None

    def give(self, *paths: Path) -> None:
        """Hand files or folders over to whoever the command runs as."""
        if self.uid is not None:
            for path in paths:
                os.chown(path, self.uid, self.uid)

    def give_tree(self, top: Path) -> None:
        """Hand a folder over with all it holds, unless it belongs to them already."""
        if self.uid is not None and top.stat().st_uid != self.uid:
            self.give(*top.rglob("*"), top)


def run_as(folder: Path, *, program: Path, owner: int, death_signal: signal.Signals) -> RunAs:
    """Return how to run PostgreSQL within `folder`.

    Args:
        folder: an existing folder that the server must be able to enter.
        program: the binary that must be reachable.
        owner: whose the database files are; when an ordinary user's, the server runs as that user.
        death_signal: asked for again after a change of user, because Linux forgets it then (prctl(2)).

    Raises:
        StartError: we are root and there is no way to be somebody else.
    """
    if os.geteuid() != 0:
        return RunAs()
    if owner == 0 and user_namespace_allowed():
        return RunAs(prefix=AS_NOBODY_INSIDE)
    uid = owner or NOBODY
    signal_word = death_signal.name.removeprefix("SIG")
    prefix = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", f"--pdeathsig={signal_word}", "--")
    closed = _closed_to(prefix, program, folder)
    if closed:
        raise StartError(
            f"PostgreSQL refuses to run as root, and running it as user {uid} fails at {closed}. Start Routex as an "
            "ordinary user, or set ROUTEX_DATA_DIR to a folder that every user may enter, or allow user namespaces, "
            "or set DATABASE_URL to a PostgreSQL of your own."
        )
    return RunAs(prefix=prefix, uid=uid)


def user_namespace_allowed() -> bool:
    """Return whether root may make a user namespace; containers often forbid it."""
    return _succeeds((*AS_NOBODY_INSIDE, "true"))


def _closed_to(prefix: tuple[str, ...], program: Path, folder: Path) -> str:
    """Return what a command with this prefix cannot reach: `setpriv` itself, the program, the folder, or nothing."""
    if not _succeeds((*prefix, "true")):
        return "setpriv (it is missing or not allowed)"
    if not _succeeds((*prefix, str(program), "--version")):
        return str(program)
    return "" if _succeeds((*prefix, "test", "-x", str(folder))) else str(folder)


def _succeeds(argv: tuple[str, ...]) -> bool:
    if shutil.which(argv[0]) is None:
        return False
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 fixed words
    return done.returncode == 0
