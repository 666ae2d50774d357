"""A whole install, started as a user starts it: `up` with its own data folder, port and configuration document."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import psycopg

from routex_site.embedded import postgres, valkey
from routex_site.embedded.data_folder import RUN_MARK

ROOT = Path(__file__).parents[2]
#: How long anything that must come may take on a busy machine; nothing is timed, only waited for.
WAIT_S = 40.0
#: What `up` takes over from the environment of the tests; no variable of theirs may reach it.
KNOWN = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "ROUTEX_SERVER")

T = TypeVar("T")


def soon(look: Callable[[], T], what: str, wait_s: float = WAIT_S) -> T:
    """Return the first true value of `look`, to which a server that is not there counts as false."""
    give_up_s = time.monotonic() + wait_s
    while True:
        try:
            found = look()
        except (OSError, httpx.HTTPError, psycopg.Error) as error:
            found, why = None, repr(error)  # type: ignore[assignment]
        else:
            why = repr(found)
        if found:
            return found
        assert time.monotonic() < give_up_s, f"not within {wait_s:g} s: {what} (last look: {why})"
        time.sleep(0.05)


@dataclass
class Install:
    """A running `up`, and ways to look into it."""

    folder: Path
    document: dict[str, Any]
    tenant: str
    process: subprocess.Popen[bytes] = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        config = self.folder / "routex.json"
        config.write_text(json.dumps(self.document))
        own = {
            "ROUTEX_DATA_DIR": str(self.data_dir),
            "ROUTEX_PORT": str(self.port),
            "ROUTEX_CONFIG": str(config),
        }
        with self.said_path.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "routex_site.cli", "up"],
                cwd=ROOT,
                env={name: os.environ[name] for name in KNOWN if name in os.environ} | own,
                stdout=said,
                stderr=said,
            )
        try:
            soon(self._is_up, "the install is ready")
        except AssertionError:
            self.end()
            raise

    def _is_up(self) -> bool:
        assert self.process.poll() is None, f"up ended with {self.process.returncode}:\n{self.said}"
        return "Routex is ready" in self.said

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def said_path(self) -> Path:
        return self.folder / "up.log"

    @property
    def said(self) -> str:
        """What `up` printed so far."""
        return self.said_path.read_text(errors="replace")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def note(self) -> dict[str, Any]:
        """What run.json says."""
        return dict(json.loads((self.data_dir / "run.json").read_text()))

    def pid(self, name: str) -> int | None:
        """The process that run.json names now."""
        return next((child["pid"] for child in self.note["children"] if child["name"] == name), None)

    def marked(self) -> list[psutil.Process]:
        """Every process of this run but the two servers, who do not carry its mark."""
        run, found = self.note["run"], []
        for process in psutil.process_iter():
            try:
                if process.environ().get(RUN_MARK) == run:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def family(self) -> list[psutil.Process]:
        """Everything that was started, `up` itself included."""
        mine = psutil.Process(self.process.pid)
        return list({mine, *mine.children(recursive=True), *self.marked()})

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Ask the management API as the operator of this install does."""
        token = (self.data_dir / "local-token").read_text().strip()
        headers = {"authorization": f"Bearer {token}", "x-routex-tenant": self.tenant}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=WAIT_S, trust_env=False)
        answer.raise_for_status()
        return answer.json()

    def get(self, path: str) -> httpx.Response:
        """Ask the web process."""
        return httpx.get(self.url + path, timeout=WAIT_S, trust_env=False)

    def rows(self, query: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement in the embedded PostgreSQL, with the platform's scope."""
        server = postgres.running(self.data_dir)
        if server is None:
            raise ConnectionRefusedError
        with psycopg.connect(server.url, connect_timeout=5) as connection:
            connection.execute("SELECT set_config('app.tenant', '*', false)")
            cursor = connection.execute(query.encode(), tuple(parameters))
            return cursor.fetchall() if cursor.description else []

    def broker_url(self) -> str:
        """Where the embedded Valkey listens."""
        server = valkey.running(self.data_dir)
        if server is None:
            raise ConnectionRefusedError
        return server.url

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask `up` to stop and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)
