"""Child processes and what goes with them: ports, death signals, identities, orderly stops."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

Process = subprocess.Popen[bytes] | psutil.Process

PR_SET_PDEATHSIG = 1  # linux/prctl.h
#: How far two readings of one process's start time may lie apart: it is derived from the clock, which gets adjusted.
SAME_START_S = 2.0

PORT_GRACE_S = 2.0


class StartError(Exception):
    """The start cannot go on; the message says what happened, why, and what to do."""


class Cancelled(Exception):
    """Somebody asked to stop while we were waiting."""


def never() -> bool:
    """Say that nobody asked to stop; the default of every wait."""
    return False


def wait_until(
    is_done: Callable[[], bool], *, timeout_s: float, cancelled: Callable[[], bool] = never, pause_s: float = 0.02
) -> bool:
    """Return whether `is_done` came true within the time.

    Raises:
        Cancelled: somebody asked to stop first.
    """
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if cancelled():
            raise Cancelled
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause_s)
    return True


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the everyday refusals of a file system into a StartError about the folder."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StartError(disk_full(folder)) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise StartError(
                f"{error.filename or folder} cannot be used: {error.strerror}. Routex needs to write in {folder}: "
                "give it to the user who starts Routex, or set ROUTEX_DATA_DIR to another folder."
            ) from error
        if error.errno in {errno.EEXIST, errno.ENOTDIR}:
            raise StartError(f"{error.filename} is not a folder. Set ROUTEX_DATA_DIR to one.") from error
        raise


def disk_full(folder: Path) -> str:
    """Return the sentence for a full disk."""
    return (
        f"The disk that holds {folder} is full. PostgreSQL needs about 60 MB to begin with and room to grow: "
        "free some space, or set ROUTEX_DATA_DIR to a folder on another disk."
    )


# --- starting and stopping


def spawn(
    argv: Sequence[str],
    *,
    output: Path,
    env: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    is_captured: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, with what it prints appended to the `output` file.

    On Linux the child gets `death_signal` when the calling thread ends, however it ends, so call this from the main
    thread. A session of its own keeps the terminal's Ctrl-C from it: the caller decides who stops when.

    Args:
        argv: program and arguments.
        output: the log file; with `is_captured` only for standard error, and standard output becomes a pipe.
        env: the whole environment; None inherits ours.
        death_signal: what the child gets when we die.
        is_captured: whether to read the child's standard output.

    Raises:
        StartError: the program cannot be run.
    """
    with output.open("ab") as log:
        try:
            return subprocess.Popen(  # noqa: S603 our own command line, no shell
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_captured else log,
                stderr=log,
                env=env,
                start_new_session=True,
                preexec_fn=_dies_with_us(death_signal),
            )
        except OSError as error:
            raise StartError(f"{argv[0]} cannot be started: {error.strerror}.") from error


def server_environment() -> dict[str, str]:
    """Return our environment for a database server: nothing that would change its ways, and none of our secrets."""
    foreign = ("PG", "LC_", "ROUTEX_", "DATABASE_URL", "REDIS_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _dies_with_us(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return what a forked child does before it becomes the program; macOS has nothing like it."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask_for_death_signal() -> None:
        prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # we died before the call above: the signal will never come
            os._exit(1)

    return ask_for_death_signal


def has_ended(process: Process) -> bool:
    """Return whether the process is gone; one that only waits to be reaped by a lazy parent counts as gone."""
    if isinstance(process, subprocess.Popen):
        return process.poll() is not None
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stop(
    process: Process,
    *,
    first: signal.Signals = signal.SIGTERM,
    grace_s: float = 10.0,
    hurried: Callable[[], bool] = never,
) -> None:
    """Ask a process of ours to stop, wait, and kill it with its whole group when it takes too long."""
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        process.send_signal(first)
    with contextlib.suppress(Cancelled):
        wait_until(lambda: has_ended(process), timeout_s=grace_s, cancelled=hurried)
    if not has_ended(process):
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            process.kill()
        wait_until(lambda: has_ended(process), timeout_s=5.0)
    kill_group(process.pid)


def kill_group(pid: int) -> None:
    """Kill what a child of ours left behind in the session that `spawn` gave it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS says EPERM when only zombies are left
        os.killpg(pid, signal.SIGKILL)


def returncode(process: Process) -> int | None:
    """Return the exit code of an ended child; None when it runs or was not started by this process."""
    return process.poll() if isinstance(process, subprocess.Popen) else None


def describe_end(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is None:
        return "ended"
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


# --- recognising a process again


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can be told from a later one with the same number."""

    pid: int
    created: float


def identify(pid: int) -> Identity:
    """Return the identity of a live process."""
    return Identity(pid, psutil.Process(pid).create_time())


def find(identity: Identity) -> psutil.Process | None:
    """Return the process when it still runs and is the same one."""
    process = find_pid(identity.pid)
    if process and abs(process.create_time() - identity.created) <= SAME_START_S:
        return process
    return None


def find_pid(pid: int) -> psutil.Process | None:
    """Return whatever runs under this number."""
    try:
        process = psutil.Process(pid)
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return None
    return None if has_ended(process) else process


def find_server(pid_file: Path, *, program: str, path: Path) -> psutil.Process | None:
    """Return the process a pid file names, when it is `program` and was started on `path`; None for a stale file."""
    try:
        pid = int(pid_file.read_text(encoding="utf-8", errors="replace").splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    process = find_pid(pid)
    if process is None:
        return None
    try:
        argv = process.cmdline()
        is_ours = bool(argv) and Path(argv[0]).name == program and str(path) in argv
    except psutil.Error:
        return None
    return process if is_ours else None


# --- ports


def port_problem(host: str, port: int) -> OSError | None:
    """Return what keeps a server from listening there now, or None."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As servers do: connections that are closing do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return error
    return None


def port_holder(port: int) -> str:
    """Return who listens on a port, such as `nginx (process 812)`, or an empty string when we may not know."""
    try:
        for connection in psutil.net_connections("tcp"):
            address, pid = connection.laddr, connection.pid
            if connection.status == psutil.CONN_LISTEN and address and address.port == port and pid:
                return f"{psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        return ""  # macOS tells only root
    return ""


def require_port(port: int, *, server: str) -> None:
    """Make sure that a loopback port, which others know already, can be had again.

    Raises:
        StartError: another program took it.
    """
    # A server that was just killed lets go of it a moment later.
    if not wait_until(lambda: port_problem("127.0.0.1", port) is None, timeout_s=PORT_GRACE_S):
        holder = port_holder(port)
        raise StartError(f"{server}'s port {port} was taken{f' by {holder}' if holder else ''} meanwhile.")


def kept_port(path: Path) -> int:
    """Return the loopback port noted in a file, or another free one (noted there) when it is taken or unknown."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        port = int(path.read_text(encoding="utf-8"))
        if 0 < port < 65536 and port_problem("127.0.0.1", port) is None:
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
    path.write_text(f"{free}\n", encoding="utf-8")
    return free


def tail(path: Path, *, start: int = 0, lines: int = 12) -> str:
    """Return the last lines of a log file, looking no further back than byte `start`."""
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(start, size - 16384))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])
