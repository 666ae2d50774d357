"""A real server process and a real browser; every page is watched for policy violations and foreign hosts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from django.db import connections
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

from routex_site import ROOT
from routex_site.server.listen import bind
from tests.conftest import PASSWORD
from tests.console.conftest import stored  # noqa: F401  the browser's pages show records too

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",  # tests also run as root, where Chromium refuses its sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
START_LIMIT_S = 30
R = TypeVar("R")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser: skip with a sentence on a laptop, fail where the tests must be complete."""
    if CHROMIUM is not None or os.environ.get("CI"):
        return
    reason = "No Chromium here; on Debian and Ubuntu: apt install chromium"
    for item in items:
        if "tests/browser" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason=reason))


class Server:
    """One web process of Routex on a socket that outlives it, so that it can die and come back on its port."""

    def __init__(self) -> None:
        self.socket: socket.socket = bind("127.0.0.1", 0)
        # While the process is away, whoever connects waits here for the next one.
        self.socket.listen(128)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process and wait until it answers."""
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "routex_site.settings.test",
            "ROUTEX_PORT": str(self.socket.getsockname()[1]),
            "ROUTEX_ROLE": "all",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "routex_site.server", "--fd", str(self.socket.fileno())],
            cwd=ROOT,
            env=environment,
            pass_fds=[self.socket.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with socket.create_connection(("127.0.0.1", self.socket.getsockname()[1]), timeout=START_LIMIT_S) as probe:
            probe.sendall(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            try:
                answer = probe.recv(100)
            except OSError:
                answer = b""
        if not answer.startswith(b"HTTP/1.1 200"):
            self.kill()
            assert self.process.stdout is not None
            pytest.fail(f"The server did not start: {self.process.stdout.read()[-2000:]}")

    def kill(self) -> None:
        """End the process as a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="session")
def server(cast: Any) -> Iterator[Server]:
    """A running server with the cast's tenants."""
    running = Server()
    try:
        running.start()
        yield running
    finally:
        running.kill()
        running.socket.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module: while it is there, its event loop runs in the thread of the tests, where Django
    refuses to query; so it must be gone before other modules' tests run.
    """
    if CHROMIUM is None:
        pytest.fail("Chromium is missing, and CI=true says that browser tests must run: apt install chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        launched.close()


class Watch:
    """What no page may do: break its policy, ask a foreign host, or throw."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.found: list[str] = []

    def on_console(self, message: ConsoleMessage) -> None:
        """Note what the browser says about policies; other errors are the network's, which tests take away."""
        if "Content Security Policy" in message.text:
            self.found.append(message.text)

    def on_request(self, request: Request) -> None:
        """Note whoever else is asked."""
        if urlsplit(request.url).netloc != self.host and not request.url.startswith("data:"):
            self.found.append(f"asked {request.url}")


@pytest.fixture
def open_page(server: Server, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages, each in a browser profile of its own; whatever they did wrong fails the test at its end."""
    watch = Watch(urlsplit(server.url).netloc)
    contexts: list[BrowserContext] = []

    def new(**options: Any) -> Page:
        context = browser.new_context(base_url=server.url, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", watch.on_console)
        page.on("request", watch.on_request)
        page.on("pageerror", lambda error: watch.found.append(str(error)))
        return page

    yield new
    for context in contexts:
        context.close()
    assert watch.found == []


@pytest.fixture(scope="module")
def sessions() -> dict[str, Any]:
    """Who signed in before, by address: the cookies are used again."""
    return {}


@pytest.fixture
def signed_in(open_page: Callable[..., Page], sessions: dict[str, Any]) -> Callable[..., Page]:
    """Open a page where somebody is signed in."""

    def new(email: str = "alice@example.com", path: str = "/t/acme/requests/", **options: Any) -> Page:
        page = open_page(storage_state=sessions.get(email), **options)
        page.goto(path)
        if "/login/" in page.url:
            page.fill("#id_login", email)
            page.fill("#id_password", PASSWORD)
            page.click("main button")
            page.wait_for_url(f"**{path}")
            sessions[email] = page.context.storage_state()
        return page

    return new


@pytest.fixture
def aside(django_db_blocker: Any) -> Iterator[Callable[..., Any]]:
    """Run something that queries, in another thread and for good: the browser has this one, and reads what is there."""
    with ThreadPoolExecutor(1) as pool:

        def guarded(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
            with django_db_blocker.unblock():
                try:
                    return function(*args, **kwargs)
                finally:
                    connections.close_all()

        def run(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
            return pool.submit(guarded, function, *args, **kwargs).result()

        yield run
