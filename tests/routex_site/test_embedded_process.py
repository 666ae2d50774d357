"""Children, their identities, their ends, and ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from routex_site.embedded.process import (
    Cancelled,
    Identity,
    StartError,
    describe_end,
    find,
    identify,
    kept_port,
    port_holder,
    port_problem,
    spawn,
    stop,
    tail,
    wait_until,
)

from .processes import eventually, is_gone

STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


def test_stubborn_child_is_killed_with_its_group(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parent_of_one = (
        "import subprocess, sys, signal\n"
        f"child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])\n"
        "print(child.pid, flush=True)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.pause()\n"
    )
    process = spawn((sys.executable, "-c", parent_of_one), output=log)
    eventually(lambda: "up" in tail(log) and len(tail(log).split()) == 2)
    grandchild = next(int(word) for word in tail(log).split() if word.isdigit())
    stop(process, grace_s=0.05)
    assert process.returncode == -signal.SIGKILL
    eventually(lambda: is_gone(grandchild))


def test_hurry_cuts_the_grace_short(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = spawn((sys.executable, "-c", STUBBORN), output=log)
    eventually(lambda: tail(log))
    stop(process, grace_s=3600, hurried=lambda: True)
    assert process.returncode == -signal.SIGKILL


def test_program_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="/no/such/program cannot be started: No such file"):
        spawn(("/no/such/program",), output=tmp_path / "log")


def test_waiting_ends_when_somebody_asks_to_stop() -> None:
    with pytest.raises(Cancelled):
        wait_until(lambda: False, timeout_s=3600, cancelled=lambda: True)
    assert not wait_until(lambda: False, timeout_s=0)


def test_later_process_with_the_same_number_is_another() -> None:
    process = subprocess.Popen(["sleep", "60"])
    identity = identify(process.pid)
    assert find(identity)
    assert find(Identity(identity.pid, identity.created - 60)) is None
    process.kill()
    eventually(lambda: find(identity) is None)  # a zombie until it is reaped, and already no process any more
    process.wait()
    assert find(identity) is None


def test_ends_are_told_in_words() -> None:
    assert describe_end(3) == "exited with code 3"
    assert describe_end(-signal.SIGKILL) == "was killed by SIGKILL"
    assert describe_end(None) == "ended"


def test_port_is_kept_while_it_is_free(tmp_path: Path) -> None:
    noted = tmp_path / "port"
    port = kept_port(noted)
    assert kept_port(noted) == port
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        assert port_problem("127.0.0.1", port)
        assert f"(process {os.getpid()})" in port_holder(port)
        other = kept_port(noted)
    assert other != port
    assert kept_port(noted) == other


def test_unreadable_port_note_is_replaced(tmp_path: Path) -> None:
    noted = tmp_path / "port"
    noted.write_text("not a port")
    assert kept_port(noted) == int(noted.read_text())
