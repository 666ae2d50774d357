"""Starts PostgreSQL, Valkey, the web server and the worker, keeps them running and stops them in order."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from routex_site.embedded import postgres, valkey
from routex_site.embedded.data_folder import RUN_MARK, DataFolder
from routex_site.embedded.keeper import Keeper, Service, say
from routex_site.embedded.process import (
    Cancelled,
    Process,
    StartError,
    describe_end,
    explained,
    has_ended,
    port_holder,
    port_problem,
    returncode,
    spawn,
    stop,
    tail,
)
from routex_site.embedded.secrets import secrets_complete
from routex_site.settings.env import Environment

LOOP_PAUSE_S = 0.1
READY_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Child:
    """A program to run."""

    name: str  # names the log file and the lines about it
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)  # on top of what every child gets
    ready_url: str = ""  # answers 200 once it is ready; empty = not waited for
    grace_s: float = 15.0  # between SIGTERM and SIGKILL


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to tell once everything runs."""

    url: str
    data_dir: Path
    logs: Path
    pids: Mapping[str, int]
    has_own_database: bool
    has_own_valkey: bool
    is_first_start: bool  # the embedded database was made now
    prepared: str = field(repr=False)  # what the prepare step wrote on standard output; may hold a key, never logged
    took_s: float


def supervise(
    settings: Environment,
    *,
    children: Sequence[Child],
    on_ready: Callable[[Facts], None],
    prepare: Child | None = None,
    is_verbose: bool = False,
) -> None:
    """Run Routex until Ctrl-C or SIGTERM; nothing runs any more when this returns or raises.

    Call it from the main thread: it takes over the signals, and children die with the thread that started them.

    Args:
        settings: the checked environment.
        children: what to keep running, in the order of stopping (web first, then worker).
        on_ready: called once, when every `ready_url` has answered 200.
        prepare: run to completion after the databases and before the children, such as migrations.
        is_verbose: show what the children write, besides their log files.

    Raises:
        StartError: it does not come up; the message says why and what to do.
    """
    folder = DataFolder(settings.data_dir.resolve())
    with folder.held():
        leftovers = folder.stop_leftovers()
        if leftovers:
            say(f"stopped what an earlier run had left behind: {', '.join(leftovers)}")
        check_port(settings.host, settings.port)
        supervisor = Supervisor(settings, folder, is_verbose=is_verbose)
        supervisor.keeper.note()
        with supervisor.signals_taken():
            try:
                supervisor.run(children=children, prepare=prepare, on_ready=on_ready)
            except Cancelled:
                say("stopping; Ctrl-C again to hurry")
            finally:
                supervisor.keeper.stop_all()
                supervisor.show_logs()
                folder.run_file.unlink(missing_ok=True)


def check_port(host: str, port: int) -> None:
    """Raise StartError when the web server could not listen there."""
    problem = port_problem(host, port)
    if problem is None:
        return
    if problem.errno != errno.EADDRINUSE:
        raise StartError(
            f"Routex cannot listen on {host}, port {port}: {problem.strerror}. "
            "ROUTEX_HOST takes an address of this machine, ROUTEX_PORT a port that this user may open."
        )
    holder = port_holder(port)
    raise StartError(
        f"Port {port} on {host} is taken{f' by {holder}' if holder else ''}. "
        f"Stop that program or choose another port: ROUTEX_PORT={port + 1 if port < 65535 else 8080}."
    )


class Supervisor:
    """One run: bring everything up, look after it in a plain loop."""

    def __init__(self, settings: Environment, folder: DataFolder, *, is_verbose: bool = False) -> None:
        self.settings = settings
        self.folder = folder
        self.is_verbose = is_verbose
        self.keeper = Keeper(folder, settings.public_url)
        self.environment: dict[str, str] = {}
        self.shown: dict[Path, int] = {}  # log file → bytes copied to the terminal so far
        self.stop_requests = 0
        self.is_first_start = False

    def run(self, *, children: Sequence[Child], prepare: Child | None, on_ready: Callable[[Facts], None]) -> None:
        """Bring everything up and keep it up until somebody asks to stop.

        Raises:
            Cancelled: the user asked to stop.
            StartError: it does not come up.
        """
        began = time.monotonic()
        self.environment = self.shared_environment()
        if self.settings.is_embedded_database:
            self.start_postgres()
        if self.settings.is_embedded_valkey:
            self.start_valkey()
        prepared = self.run_to_end(prepare) if prepare else ""
        self.start_children(children)
        on_ready(
            Facts(
                url=self.settings.public_url,
                data_dir=self.folder.path,
                logs=self.folder.logs,
                pids={kept.name: kept.process.pid for kept in self.keeper.services if kept.process},
                has_own_database=self.settings.is_embedded_database,
                has_own_valkey=self.settings.is_embedded_valkey,
                is_first_start=self.is_first_start,
                prepared=prepared,
                took_s=time.monotonic() - began,
            )
        )
        while True:
            self.keeper.look_after()
            self.pause()

    def shared_environment(self) -> dict[str, str]:
        """Return what every child finds in its environment, but for the embedded servers' addresses."""
        settings, path = self.settings, self.folder.path
        secrets = secrets_complete(settings=settings, has_database=postgres.cluster_folder(path).exists())
        environment = dict(os.environ) | {"ROUTEX_DATA_DIR": str(path), RUN_MARK: self.folder.run}
        if not settings.secret_key:
            environment["ROUTEX_SECRET_KEY"] = secrets.secret_key
        if not settings.encryption_keys:
            environment["ROUTEX_ENCRYPTION_KEYS"] = ",".join(secrets.encryption_keys)
        return environment

    def start_postgres(self) -> None:
        """Start the embedded PostgreSQL, the last to stop, and tell the children where it is."""
        path, log = self.folder.path, self.fresh_log("postgresql")
        server = postgres.start(path, cancelled=self.is_stopping)
        self.is_first_start = server.is_new
        # PGSSLMODE and its like are meant for some other server of the user's.
        self.environment = {name: value for name, value in self.environment.items() if not name.startswith("PG")}
        self.environment |= {"DATABASE_URL": server.url, "ROUTEX_LOCAL_INSTALL": "true"}
        service = Service(
            name="postgresql",
            start=lambda: postgres.start(path, port=server.port, cancelled=self.is_stopping).process,
            log=log,
            stop_signal=postgres.STOP_SIGNAL,
            grace_s=postgres.STOP_GRACE_S,
        )
        self.keeper.services.insert(0, service)
        self.keeper.register(service, server.process)

    def start_valkey(self) -> None:
        """Start the embedded Valkey, to stop before PostgreSQL, and tell the children where it is."""
        path, log = self.folder.path, self.fresh_log("valkey")
        server = valkey.start(path, cancelled=self.is_stopping)
        self.environment["REDIS_URL"] = server.url
        service = Service(
            name="valkey",
            start=lambda: valkey.start(path, port=server.port, cancelled=self.is_stopping).process,
            log=log,
            stop_signal=valkey.STOP_SIGNAL,
            grace_s=valkey.STOP_GRACE_S,
        )
        self.keeper.services.insert(0, service)
        self.keeper.register(service, server.process)

    def run_to_end(self, step: Child) -> str:
        """Run a command to completion and return what it wrote on standard output; its errors go to its log.

        Raises:
            StartError: it failed.
            Cancelled: the user asked to stop.
        """
        log = self.fresh_log(step.name)
        process = spawn(step.argv, output=log, env=self.environment | dict(step.env), is_captured=True)
        try:
            printed = self.wait_for_output(process)
        finally:
            stop(process, grace_s=step.grace_s, hurried=self.is_hurried)
        if process.returncode != 0:
            raise StartError(
                refusal(log) or f"The step {step.name} {describe_end(process.returncode)}.{last_words(log)}"
            )
        return printed.decode(errors="replace")

    def wait_for_output(self, process: subprocess.Popen[bytes]) -> bytes:
        """Return all that a command writes on standard output.

        Raises:
            Cancelled: the user asked to stop.
        """
        while True:
            try:
                return process.communicate(timeout=LOOP_PAUSE_S)[0]
            except subprocess.TimeoutExpired:
                self.pause()

    def start_children(self, children: Sequence[Child]) -> None:
        """Start the children and wait until every `ready_url` has answered 200.

        Raises:
            StartError: a child cannot be started, or one that is waited for died or took too long.
            Cancelled: the user asked to stop.
        """
        services = [self.service_of(child) for child in children]
        self.keeper.services[:0] = services
        for service in services:
            self.keeper.begin(service)
        deadline = time.monotonic() + READY_TIMEOUT_S
        waiting = [(child, service) for child, service in zip(children, services, strict=True) if child.ready_url]
        while waiting:
            for child, service in waiting:
                if service.process is None or has_ended(service.process):
                    raise StartError(
                        f"{child.name} {ended(service.process)} before it was ready.{last_words(service.log)}"
                    )
                if time.monotonic() > deadline:
                    raise StartError(
                        f"{child.name} did not answer at {child.ready_url} within {READY_TIMEOUT_S:.0f} s."
                        f"{last_words(service.log)}"
                    )
            waiting = [(child, service) for child, service in waiting if not answers(child.ready_url)]
            self.keeper.look_after(but={child.name for child, _ in waiting})
            self.pause()

    def service_of(self, child: Child) -> Service:
        """Return the service that keeps a child running."""
        log, environment = self.fresh_log(child.name), self.environment | dict(child.env)
        return Service(
            name=child.name,
            start=lambda: spawn(child.argv, output=log, env=environment),
            log=log,
            stop_signal=signal.SIGTERM,
            grace_s=child.grace_s,
            is_hurried=self.is_hurried,
        )

    # --- waiting and stopping

    def pause(self) -> None:
        """Let a moment pass.

        Raises:
            Cancelled: the user asked to stop.
        """
        self.show_logs()
        if self.is_stopping():
            raise Cancelled
        time.sleep(LOOP_PAUSE_S)

    def is_stopping(self) -> bool:
        """Return whether the user asked to stop."""
        return self.stop_requests > 0

    def is_hurried(self) -> bool:
        """Return whether the user asked twice."""
        return self.stop_requests > 1

    @contextlib.contextmanager
    def signals_taken(self) -> Iterator[None]:
        """Turn Ctrl-C, SIGTERM and a closed terminal into a request to stop."""

        def ask(number: int, frame: FrameType | None) -> None:
            self.stop_requests += 1

        taken = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it stays ignored
            taken.append(signal.SIGHUP)
        before = {number: signal.signal(number, ask) for number in taken}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # --- logs

    def fresh_log(self, name: str) -> Path:
        """Return an empty log file for a child."""
        with explained(self.folder.path):
            log = self.folder.fresh_log(name)
        self.shown[log] = 0
        return log

    def show_logs(self) -> None:
        """Copy what the children wrote since the last time to the terminal, whole lines only, when asked to."""
        for log, shown in self.shown.items() if self.is_verbose else ():
            with contextlib.suppress(OSError), log.open("rb") as file:
                file.seek(shown)
                lines = file.read(65536).rpartition(b"\n")[:2]
                for line in lines[0].splitlines():
                    print(f"{log.stem} | {line.decode(errors='replace')}", file=sys.stderr)  # noqa: T201
                self.shown[log] = shown + len(b"".join(lines))


def ended(process: Process | None) -> str:
    """Return how a child ended, in words."""
    return describe_end(returncode(process) if process else None)


def refusal(log: Path) -> str:
    """Return the sentence with which a step of ours refused, the last thing in its log, or an empty string."""
    _, mark, words = f"\n{tail(log, lines=100)}".rpartition("\nroutex: ")
    return words if mark else ""


def last_words(log: Path) -> str:
    """Return the end of a log file for an error message."""
    words = tail(log)
    return f" The end of {log}:\n{words}" if words else f" It wrote nothing to {log}."


def answers(url: str) -> bool:
    """Return whether a GET of an http URL is answered with 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=2)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
