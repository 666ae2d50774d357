"""Real processes for journeys: gateways and a fake upstream, a raw HTTP client, and looking until something is so."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import psutil

from routex_site.server.listen import bind

ROOT = Path(__file__).parents[2]
#: Which server the gateways run under: `make test-uvicorn` sets the other one.
SERVER = os.environ.get("ROUTEX_TEST_SERVER", "daphne")
#: How long anything that must come may take on a busy machine. Nothing is ever timed, only waited for.
WAIT_S = 15.0
MB = 1024 * 1024

T = TypeVar("T")


def eventually(look: Callable[[], T], what: str, wait_s: float = WAIT_S) -> T:
    """Return the first true value of `look`; fail when none comes."""
    give_up_s = time.monotonic() + wait_s
    while True:
        if found := look():
            return found
        if time.monotonic() > give_up_s:
            raise AssertionError(f"not within {wait_s:g} s: {what} (last look: {found!r})")
        time.sleep(0.02)


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int, path: str, body: bytes | dict[str, Any] | None = None, *, method: str = "", **headers: str
) -> Answer:
    """Ask once, over a connection of its own; header names are given with underscores."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S * 2)
    try:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if data is None else "POST"), path, data, named)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def open_raw(port: int, path: str, body: bytes, key: str, *, receive_buffer: int = 0) -> socket.socket:
    """Send a request and return the socket, of which nothing has been read."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(WAIT_S)
    sock.connect(("127.0.0.1", port))
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    sock.sendall(head.encode() + body)
    return sock


class Upstream:
    """The fake upstream's process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.upstream"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def seen(self, model: str) -> list[dict[str, Any]]:
        """Return a line for each request for this model, oldest first."""
        found: list[dict[str, Any]] = ask(self.port, f"/__seen?model={quote(model)}").json
        return found

    def seen_all(self) -> list[dict[str, Any]]:
        """Return a line for each request."""
        found: list[dict[str, Any]] = ask(self.port, "/__seen").json
        return found

    def received(self, model: str) -> bytes:
        """Return the body of the last request for this model."""
        return ask(self.port, f"/__received?model={quote(model)}").body

    def sent(self, model: str) -> bytes:
        """Return the body of the last answer for this model."""
        return ask(self.port, f"/__sent?model={quote(model)}").body

    @property
    def held(self) -> int:
        """How many answers wait to be released."""
        return int(ask(self.port, "/__held").body)

    def release(self) -> None:
        """Let held answers go on."""
        ask(self.port, "/__release", b"{}")

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Gateway:
    """One gateway process (`ROUTEX_ROLE=gateway`) with its log in a file."""

    def __init__(self, folder: Path, name: str = "gateway", server: str = SERVER, **environ: str) -> None:
        self.server = server
        listener = bind("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        self.log_path = folder / f"{name}-{self.port}.log"
        own = {
            "ROUTEX_ROLE": "gateway",
            "ROUTEX_SERVER": server,
            "ROUTEX_PORT": str(self.port),
            "ROUTEX_DATA_DIR": str(folder / f"{name}-data"),
        }
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "routex_site.server", "--fd", str(listener.fileno())],
                cwd=ROOT,
                env={**os.environ, **own, **environ},
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
            )
        listener.close()
        eventually(self._is_ready, "the gateway is ready", 30)

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode}: {self.log}")
        try:
            return ask(self.port, "/readyz").status == 200
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def rss_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @property
    def nameless_files(self) -> list[str]:
        """What the process holds open of files that are in no folder any more."""
        found = []
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since
                found.append(str(entry.readlink()))
        return [name for name in found if name.endswith(" (deleted)")]

    @property
    def health(self) -> Any:
        return ask(self.port, "/health").json

    def ask(self, path: str, body: bytes | dict[str, Any] | None = None, *, key: str = "", **headers: str) -> Answer:
        """Ask as the tenant of the key."""
        if key:
            headers["authorization"] = f"Bearer {key}"
        return ask(self.port, path, body, content_type="application/json", **headers)

    def stop(self) -> None:
        """Stop it as an operator would, and see that it goes."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the gateway did not stop: {self.log}") from None
