"""Starting, watching and ending processes in the tests of the embedded servers and the supervisor."""

from __future__ import annotations

import codecs
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from routex_site.embedded import unprivileged
from routex_site.embedded.process import has_ended, wait_until

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NOBODY = unprivileged.NOBODY
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")


def new_folder() -> Path:
    """A new folder that other users may enter, unlike pytest's own; in memory when there is plenty.

    PostgreSQL syncs to disk, and on a busy disk these tests would mostly wait for that.
    """
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 2 * 2**30
    folder = Path(tempfile.mkdtemp(prefix="routex-data-", dir=memory if has_room else None))
    folder.chmod(0o711)
    return folder


def eventually(is_true: Callable[[], Any], *, timeout_s: float = 20.0) -> None:
    """Wait until something comes true; the limit only ends a failing test."""
    assert wait_until(lambda: bool(is_true()), timeout_s=timeout_s), "it never came true"


def is_gone(pid: int) -> bool:
    """Whether a process number is free or only waits to be reaped."""
    try:
        return has_ended(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def is_listening(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def fork(task: Callable[[], str], *, is_nobody: bool = False) -> tuple[int, str]:
    """Run a task in a forked process, which then waits to be killed; return its number and what the task returned.

    A fork, because the interpreter itself may lie in a folder that the other user cannot enter.
    """
    codecs.lookup("idna")  # which sockets load on first use
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            if is_nobody:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer = task()
        except BaseException:  # noqa: BLE001 the parent shows it
            answer = f"failed: {traceback.format_exc()}"
        os.write(writing, answer.encode())
        os.close(writing)
        signal.pause()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    if answer.startswith("failed: "):
        kill(pid)
        pytest.fail(answer)
    return pid, answer


def kill(pid: int) -> None:
    """Kill a forked child of ours and reap it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def as_nobody(task: Callable[[], str]) -> str:
    """Run a task as an ordinary user and return what it returned; only root can arrange that."""
    if os.geteuid() != 0:
        return task()  # the tests run as an ordinary user already
    test = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", "test", "-r", str(HERE / "processes.py")]
    if shutil.which("setpriv") is None or subprocess.run(test, check=False).returncode != 0:
        pytest.skip("the user nobody cannot read this repository")
    pid, answer = fork(task, is_nobody=True)
    kill(pid)
    return answer


@dataclass
class Up:
    """A supervisor in a process of its own, and what it said."""

    process: subprocess.Popen[str]
    data_dir: Path
    port: int
    facts: dict[str, Any] = field(default_factory=dict)
    errors: Path = Path()

    @property
    def said(self) -> str:
        """What it wrote on standard error so far."""
        return self.errors.read_text(encoding="utf-8")

    def pids(self) -> dict[str, int]:
        """The children that run.json names now."""
        note = json.loads((self.data_dir / "run.json").read_text(encoding="utf-8"))
        return {child["name"]: child["pid"] for child in note["children"]}

    def wait_ready(self) -> Up:
        """Wait for the facts that on_ready printed; a supervisor that ended first fails the test."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"the supervisor ended: {self.said}"
        self.facts = json.loads(line)
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=40)


KEYS = {"ROUTEX_SECRET_KEY": "s" * 40, "ROUTEX_ENCRYPTION_KEYS": "k" * 43 + "="}
#: Stands in for the databases where a test is about the supervisor only.
ELSEWHERE = {
    "DATABASE_URL": "postgresql://app:pw@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    **KEYS,
}


def starter(folder: Path, started: list[Up]) -> Callable[..., Up]:
    """Return a function that starts a supervisor; `plan` is read by supervised.py."""

    def start(plan: dict[str, Any], *, port: int = 0, data_dir: Path | None = None, **environ: str) -> Up:
        port, data_dir = port or free_port(), data_dir or folder / "data"
        errors = folder / f"stderr-{len(started)}"
        known = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.routex_site.supervised", json.dumps(plan)],
                cwd=ROOT,
                env={name: os.environ[name] for name in known if name in os.environ}
                | {"ROUTEX_PORT": str(port), "ROUTEX_DATA_DIR": str(data_dir), "TZ": "UTC", **environ},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        started.append(Up(process, data_dir, port, errors=errors))
        return started[-1]

    return start


def stop_started(started: list[Up]) -> None:
    """Stop the supervisors of a test and close what was read from them."""
    for up in started:
        if up.process.poll() is None:
            up.end()
        if up.process.stdout:
            up.process.stdout.close()
