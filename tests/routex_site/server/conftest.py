"""Real server processes on loopback, and a client that sees the bytes."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from routex_site.server.listen import bind

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
WAIT_S = 10


def environment(**extra: str) -> dict[str, str]:
    unset = ("ROUTEX_", "PORT", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
    return {**kept, "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}", **extra}


class Wire:
    """One raw connection."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(("127.0.0.1", port))
        self.buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> Wire:
        self.sock.sendall(data)
        return self

    def get(self, path: str, *headers: str) -> Wire:
        lines = [f"GET {path} HTTP/1.1", "host: test", *headers, "", ""]
        return self.send("\r\n".join(lines).encode())

    def post(self, path: str, body: bytes, *headers: str) -> Wire:
        lines = [f"POST {path} HTTP/1.1", "host: test", f"content-length: {len(body)}", *headers, "", ""]
        return self.send("\r\n".join(lines).encode() + body)

    def until(self, mark: bytes) -> bytes:
        """Return what came up to and with the mark."""
        while mark not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError(f"closed before {mark!r}: {self.buffer!r}")
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(mark)
        return found + mark

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError(f"closed after {self.buffer!r}")
            self.buffer += data
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def rest(self) -> bytes:
        """Return what comes until the server closes; a reset is an end too."""
        try:
            while data := self.sock.recv(65536):
                self.buffer += data
        except ConnectionResetError:
            pass
        found, self.buffer = self.buffer, b""
        return found

    def response(self, *, has_body: bool = True) -> Response:
        head = self.until(b"\r\n\r\n").decode("latin1").split("\r\n")
        headers = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        status = int(head[0].split()[1])
        if not has_body or status in (100, 204):
            return Response(status, headers)
        if headers.get("transfer-encoding") == "chunked":
            return Response(status, headers, b"".join(self.chunks()))
        if "content-length" in headers:
            return Response(status, headers, self.exactly(int(headers["content-length"])))
        return Response(status, headers, self.rest())

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.until(b"\r\n"), 16):
            yield self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        assert self.exactly(2) == b"\r\n"


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def json(self) -> object:
        return json.loads(self.body)


@dataclass
class RunningServer:
    """A server process and the port it serves."""

    kind: str
    port: int
    process: subprocess.Popen[bytes]
    listener: socket.socket
    errors: Path

    def wire(self, **options: int) -> Wire:
        return Wire(self.port, **options)

    def ask(self, path: str) -> object:
        with self.wire() as wire:
            return wire.get(path).response().json

    def stat(self, name: str) -> int:
        return self.ask("/stats").get(name, 0)

    def await_stat(self, name: str, at_least: int) -> int:
        """Wait until a counter of the application got there."""
        for _ in range(WAIT_S * 20):
            if (value := self.stat(name)) >= at_least:
                return value
            time.sleep(0.05)
        raise AssertionError(f"{name} stayed below {at_least}: {self.ask('/stats')}")

    def await_standstill(self, name: str, above: int) -> int:
        """Wait until a counter grew and then stands still; fail when it never does."""
        last = self.await_stat(name, above + 1)
        for _ in range(WAIT_S * 4):
            time.sleep(0.25)
            if (value := self.stat(name)) == last:
                return value
            last = value
        raise AssertionError(f"{name} grows on and on: {last}")

    def memory_kib(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def open_files(self) -> list[str]:
        found = []
        for entry in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since
                found.append(str(entry.readlink()))
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        return self.process.wait(30)


def await_open(process: subprocess.Popen[bytes], port: int, errors: Path) -> None:
    for _ in range(WAIT_S * 50):
        if process.poll() is not None:
            raise AssertionError(f"the server ended with {process.returncode}: {errors.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the server did not open its port")


def few_descriptors() -> None:
    """Start as on a system that allows a process 512 open files unless it asks."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


class Launcher:
    """Starts server processes and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: list[RunningServer] = []

    def __call__(
        self, kind: str, bounds: dict[str, float] | None = None, sock: socket.socket | None = None, **env: str
    ) -> RunningServer:
        listener = sock or bind("127.0.0.1", 0)
        port = listener.getsockname()[1]
        errors = self.folder / f"{kind}-{port}-{len(self.servers)}.txt"
        if bounds is None:
            command = ["-m", "routex_site.server", "--app", "asgi_apps:application", "--fd", str(listener.fileno())]
        else:
            command = [str(HERE / "run_server.py"), kind, str(listener.fileno()), json.dumps(bounds)]
        with errors.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                env=environment(ROUTEX_SERVER=kind, **env),
                pass_fds=[listener.fileno()],
                cwd=self.folder,
                preexec_fn=few_descriptors,
                stdout=file,
                stderr=file,
            )
        server = RunningServer(kind, port, process, listener, errors)
        self.servers.append(server)
        await_open(process, port, errors)
        return server

    def stop_all(self) -> None:
        for server in self.servers:
            server.listener.close()
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGTERM)
                server.process.send_signal(signal.SIGINT)  # two of a kind may come as one
        for server in self.servers:
            try:
                server.process.wait(5)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launcher]:
    """Start a server of one's own."""
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.stop_all()


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a Python process to its end, in the servers' environment."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment(**env), capture_output=True, text=True, timeout=30)

    return run


@pytest.fixture
def run_to_the_end(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a server that does not get far."""
    return partial(run_python, "-m", "routex_site.server", "--app", "asgi_apps:application")


@pytest.fixture(scope="session")
def launch_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Start servers that several tests use."""
    launcher = Launcher(tmp_path_factory.mktemp("servers"))
    yield launcher
    launcher.stop_all()


@pytest.fixture(scope="session")
def shared_servers(launch_for_all: Launcher) -> dict[str, RunningServer]:
    """One server of each kind, with a body limit of 4 MiB."""
    return {kind: launch_for_all(kind, ROUTEX_MAX_BODY_MB="4") for kind in ("daphne", "uvicorn")}


@pytest.fixture(scope="session")
def hasty_servers(launch_for_all: Launcher) -> dict[str, RunningServer]:
    """One server of each kind that waits for nothing long, but for a next request."""
    bounds = {"head_wait_s": 0.3, "body_wait_s": 0.3, "leave_wait_s": 0.3}
    servers = {}
    for kind in ("daphne", "uvicorn"):
        sock = bind("127.0.0.1", 0)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
        servers[kind] = launch_for_all(kind, bounds, sock)
    return servers


@pytest.fixture(params=["daphne", "uvicorn"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each of the two servers."""
    return str(request.param)


@pytest.fixture
def server(kind: str, shared_servers: dict[str, RunningServer]) -> RunningServer:
    """The shared server of each kind."""
    return shared_servers[kind]


@pytest.fixture
def hasty(kind: str, hasty_servers: dict[str, RunningServer]) -> RunningServer:
    """The hasty server of each kind."""
    return hasty_servers[kind]


@pytest.fixture
def daphne(shared_servers: dict[str, RunningServer]) -> RunningServer:
    """The shared tuned Daphne, for what uvicorn does in its own way."""
    return shared_servers["daphne"]


@pytest.fixture
def hasty_daphne(hasty_servers: dict[str, RunningServer]) -> RunningServer:
    """The hasty tuned Daphne."""
    return hasty_servers["daphne"]
