"""The supervisor in a process of its own, with small children and, where it matters, the real servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from routex_site.embedded import postgres, valkey
from routex_site.embedded.keeper import backoff_s
from routex_site.embedded.secrets import local_token

from .processes import (
    ELSEWHERE,
    HERE,
    KEYS,
    Up,
    eventually,
    free_port,
    is_gone,
    is_listening,
    new_folder,
    on_linux,
    starter,
    stop_started,
)

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
SLEEPER = {"name": "worker", "argv": ["-c", "import signal; signal.pause()"]}


def web(port: int) -> dict[str, Any]:
    return {
        "name": "web",
        "argv": [str(HERE / "little_web.py"), str(port)],
        "ready_url": f"http://127.0.0.1:{port}/readyz",
    }


def worker(log: Path, name: str, *ports: str) -> dict[str, Any]:
    return {"name": name, "argv": [str(HERE / "little_worker.py"), str(log), name, *ports]}


def look(up: Up) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port}/environ", timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One supervisor with the real servers; each test leaves everything running."""
    folder = tmp_path_factory.mktemp("running")
    started: list[Up] = []
    port = free_port()
    prepare = {
        "name": "prepare",
        "argv": ["-c", "import os, sys; print('first key'); print(os.environ['DATABASE_URL'][:13], file=sys.stderr)"],
    }
    plan = {"children": [web(port), SLEEPER], "prepare": prepare}
    data_dir = new_folder()
    yield starter(folder, started)(plan, port=port, data_dir=data_dir).wait_ready()
    stop_started(started)
    shutil.rmtree(data_dir)


def test_facts_and_environment_are_complete(running: Up) -> None:
    facts = running.facts
    assert facts["url"] == f"http://127.0.0.1:{running.port}"
    assert facts["data_dir"] == str(running.data_dir)
    assert (facts["has_own_database"], facts["has_own_valkey"], facts["is_first_start"]) == (True, True, True)
    assert set(facts["pids"]) == {"postgresql", "valkey", "web", "worker"}
    assert facts["prepared"] == "first key\n"
    environ = look(running)["environ"]
    with psycopg.connect(environ["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("routex_app",)
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        assert client.ping()
    assert environ["ROUTEX_SECRET_KEY"] == (running.data_dir / "secret-key").read_text().strip()
    assert environ["ROUTEX_ENCRYPTION_KEYS"] == (running.data_dir / "encryption-keys").read_text().strip()
    assert environ["ROUTEX_LOCAL_INSTALL"] == "true"
    assert local_token(running.data_dir)


def test_running_servers_are_found_by_other_programs(running: Up) -> None:
    database, cache = postgres.running(running.data_dir), valkey.running(running.data_dir)
    assert database
    assert cache
    environ = look(running)["environ"]
    assert (database.url, cache.url) == (environ["DATABASE_URL"], environ["REDIS_URL"])


def test_output_of_children_goes_to_private_logs(running: Up) -> None:
    logs = running.data_dir / "logs"
    assert "/readyz" in (logs / "web.log").read_text()
    assert (logs / "prepare.log").read_text() == "postgresql://\n"
    assert stat.S_IMODE(logs.stat().st_mode) == 0o700
    assert stat.S_IMODE((running.data_dir / "run.json").stat().st_mode) == 0o600
    everything = "".join(path.read_text() for path in logs.glob("*.log")) + running.said
    assert "first key" not in everything


def test_second_up_names_the_first(running: Up, start_up: Callable[..., Up]) -> None:
    second = start_up({"children": []}, data_dir=running.data_dir)
    assert second.process.wait(timeout=20) == 1
    pid, url = running.process.pid, running.facts["url"]
    assert f"Routex already runs on {running.data_dir} (process {pid}, {url})" in second.said
    assert "ROUTEX_DATA_DIR" in second.said
    assert not is_gone(running.pids()["postgresql"])


@pytest.mark.parametrize("name", ["postgresql", "valkey", "web", "worker"])
def test_killed_child_is_started_again(running: Up, name: str) -> None:
    before, environ = running.pids()[name], look(running)["environ"]
    with psycopg.connect(environ["DATABASE_URL"]) as connection:
        connection.execute(f"CREATE TABLE seen_before_{name} ()")
    os.kill(before, signal.SIGKILL)
    eventually(lambda: running.pids().get(name, before) != before)
    eventually(lambda: is_listening(running.port))
    assert re.search(rf"routex: {name} was killed by SIGKILL; starting it again in [\d.]+ s\. Its log: ", running.said)
    assert look(running)["environ"]["DATABASE_URL"] == environ["DATABASE_URL"]
    with psycopg.connect(environ["DATABASE_URL"]) as connection:  # at the same address, rows kept
        assert connection.execute(f"SELECT * FROM seen_before_{name}").fetchall() == []
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        assert client.ping()


def test_sigterm_stops_all_in_order(tmp_path: Path, made_dir: Path, start_up: Callable[..., Up]) -> None:
    order, both = tmp_path / "order", ("REDIS_URL", "DATABASE_URL")
    plan = {"children": [worker(order, "web", *both), worker(order, "worker", *both)]}
    up = start_up(plan, data_dir=made_dir, **KEYS).wait_ready()
    logs = up.data_dir / "logs"
    eventually(lambda: all("up" in (logs / f"{name}.log").read_text() for name in ("web", "worker")))
    assert up.end() == 0
    assert order.read_text().splitlines() == ["web REDIS_URL DATABASE_URL", "worker REDIS_URL DATABASE_URL"]
    valkey_end = re.search(r"(\d\d:\d\d:\d\d\.\d+) # Valkey is now ready to exit", (logs / "valkey.log").read_text())
    postgresql_end = re.search(
        r"(\d\d:\d\d:\d\d\.\d+) UTC \[\d+] LOG:  received fast", (logs / "postgresql.log").read_text()
    )
    assert valkey_end
    assert postgresql_end
    assert valkey_end[1] <= postgresql_end[1]
    assert all(is_gone(pid) for pid in up.facts["pids"].values())
    assert not (up.data_dir / "run.json").exists()


@on_linux
def test_killed_supervisor_leaves_nothing_and_the_next_start_works(made_dir: Path, start_up: Callable[..., Up]) -> None:
    port = free_port()
    plan = {"children": [web(port), SLEEPER]}
    up = start_up(plan, port=port, data_dir=made_dir, **KEYS).wait_ready()
    url = look(up)["environ"]["DATABASE_URL"]
    up.end(signal.SIGKILL)
    eventually(lambda: all(is_gone(pid) for pid in up.facts["pids"].values()))
    again = start_up(plan, port=port, data_dir=made_dir, **KEYS).wait_ready()
    assert look(again)["environ"]["DATABASE_URL"] == url
    assert not again.facts["is_first_start"]
    assert again.end(signal.SIGINT) == 0


def test_leftovers_of_a_killed_run_are_stopped_by_the_next(start_up: Callable[..., Up]) -> None:
    """What ignores its death signal, and what a child had started in a session of its own."""
    escapes = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)"
    plan = {
        "children": [
            {"name": "stubborn", "argv": ["-c", STUBBORN], "grace_s": 0.2},
            {"name": "parent", "argv": ["-c", escapes]},
        ]
    }
    up = start_up(plan, **ELSEWHERE).wait_ready()
    eventually(lambda: "up" in (up.data_dir / "logs" / "stubborn.log").read_text())
    eventually(lambda: "up" in (up.data_dir / "logs" / "parent.log").read_text())
    grandchild = psutil.Process(up.facts["pids"]["parent"]).children()[0]
    up.end(signal.SIGKILL)
    eventually(lambda: is_gone(up.facts["pids"]["parent"]))
    assert not is_gone(up.facts["pids"]["stubborn"])
    assert not is_gone(grandchild.pid)
    again = start_up({"children": []}, **ELSEWHERE).wait_ready()
    assert is_gone(up.facts["pids"]["stubborn"])
    assert is_gone(grandchild.pid)
    assert "stopped what an earlier run had left behind: stubborn, " in again.said


def test_stubborn_child_is_killed_after_its_grace(start_up: Callable[..., Up]) -> None:
    plan = {"children": [{"name": "stubborn", "argv": ["-c", STUBBORN], "grace_s": 0.2}]}
    up = start_up(plan, **ELSEWHERE).wait_ready()
    eventually(lambda: "up" in (up.data_dir / "logs" / "stubborn.log").read_text())
    assert up.end() == 0
    assert is_gone(up.facts["pids"]["stubborn"])


def test_second_ctrl_c_hurries(start_up: Callable[..., Up]) -> None:
    plan = {"children": [{"name": "stubborn", "argv": ["-c", STUBBORN], "grace_s": 3600}]}
    up = start_up(plan, **ELSEWHERE).wait_ready()
    eventually(lambda: "up" in (up.data_dir / "logs" / "stubborn.log").read_text())
    up.process.send_signal(signal.SIGINT)
    eventually(lambda: "stopping" in up.said)
    assert up.end(signal.SIGINT) == 0
    assert is_gone(up.facts["pids"]["stubborn"])


def test_child_that_dies_before_it_is_ready_ends_the_start(start_up: Callable[..., Up]) -> None:
    broken = {
        "name": "web",
        "argv": ["-c", "import sys; sys.exit('no module named sunshine')"],
        "ready_url": "http://127.0.0.1:1/readyz",
    }
    up = start_up({"children": [broken, SLEEPER]}, **ELSEWHERE)
    assert up.process.wait(timeout=20) == 1
    assert "web exited with code 1 before it was ready. The end of" in up.said
    assert "no module named sunshine" in up.said
    assert not (up.data_dir / "run.json").exists()


def test_failed_prepare_step_ends_the_start(start_up: Callable[..., Up]) -> None:
    prepare = {"name": "migrate", "argv": ["-c", "import sys; sys.exit('column missing')"]}
    up = start_up({"children": [SLEEPER], "prepare": prepare}, **ELSEWHERE)
    assert up.process.wait(timeout=20) == 1
    assert "The step migrate exited with code 1. The end of" in up.said
    assert "column missing" in up.said


def test_refusal_of_the_prepare_step_is_told_in_its_own_words(start_up: Callable[..., Up]) -> None:
    words = "chatter\\nroutex: The door is locked.\\n  Find the key."
    prepare = {"name": "migrate", "argv": ["-c", f"import sys; sys.exit('{words}')"]}
    up = start_up({"children": [SLEEPER], "prepare": prepare}, **ELSEWHERE)
    assert up.process.wait(timeout=20) == 1
    assert up.said.strip() == "routex: The door is locked.\n  Find the key."


def test_ctrl_c_during_the_prepare_step_stops_it(start_up: Callable[..., Up]) -> None:
    prepare = {
        "name": "migrate",
        "argv": ["-c", "import sys, time; print('on', file=sys.stderr, flush=True); time.sleep(3600)"],
    }
    up = start_up({"children": [], "prepare": prepare}, **ELSEWHERE)
    log = up.data_dir / "logs" / "migrate.log"
    eventually(lambda: log.exists() and "on" in log.read_text())
    assert up.end(signal.SIGINT) == 0
    assert up.process.stdout
    assert up.process.stdout.read() == ""  # it never became ready


def test_taken_port_names_its_holder_and_the_variable(start_up: Callable[..., Up]) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        up = start_up({"children": []}, port=port, **ELSEWHERE)
        assert up.process.wait(timeout=20) == 1
    assert f"Port {port} on 127.0.0.1 is taken by {psutil.Process().name()} (process {os.getpid()})" in up.said
    assert f"ROUTEX_PORT={port + 1}" in up.said


def test_address_of_another_machine_is_explained(start_up: Callable[..., Up]) -> None:
    up = start_up({"children": []}, **ELSEWHERE, ROUTEX_HOST="192.0.2.1")
    assert up.process.wait(timeout=20) == 1
    assert "Routex cannot listen on 192.0.2.1" in up.said
    assert "ROUTEX_HOST" in up.said


def test_bad_variable_is_named(start_up: Callable[..., Up]) -> None:
    up = start_up({"children": []}, **ELSEWHERE, ROUTEX_WORKERS="many")
    assert up.process.wait(timeout=20) == 1
    assert up.said == "routex: ROUTEX_WORKERS is 'many'; it takes a whole number from 1 to 64.\n"
    assert not up.data_dir.exists()


def test_folder_that_is_a_file_is_explained(tmp_path: Path, start_up: Callable[..., Up]) -> None:
    (tmp_path / "data").write_text("")
    up = start_up({"children": []}, **ELSEWHERE)
    assert up.process.wait(timeout=20) == 1
    assert f"{tmp_path / 'data'} is not a folder" in up.said
    assert "Traceback" not in up.said


def test_logs_of_the_last_run_are_kept_beside(start_up: Callable[..., Up]) -> None:
    for word in ("first", "second"):
        up = start_up(
            {
                "children": [
                    {"name": "chatty", "argv": ["-c", f"print('{word}', flush=True); import signal; signal.pause()"]}
                ]
            },
            **ELSEWHERE,
        ).wait_ready()
        log = up.data_dir / "logs" / "chatty.log"
        eventually(lambda: log.read_text() == f"{word}\n")  # noqa: B023 called at once
        up.end()
    assert log.with_name("chatty.log.1").read_text() == "first\n"


def test_verbose_shows_what_children_write(start_up: Callable[..., Up]) -> None:
    chatty = {
        "name": "chatty",
        "argv": ["-c", "print('hello'); print('half', end='', flush=True); import signal; signal.pause()"],
    }
    up = start_up({"children": [chatty], "is_verbose": True}, **ELSEWHERE).wait_ready()
    eventually(lambda: "chatty | hello\n" in up.said)
    assert "half" not in up.said
    assert up.said.count("hello") == 1


def test_waits_between_starts_grow_and_end() -> None:
    waits = [backoff_s(deaths) for deaths in range(1, 10)]
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert waits == sorted(waits)
    assert (backoff_s(50), backoff_s(5000)) == (30.0, 30.0)


def test_nothing_here_imports_django() -> None:
    code = (
        "import sys, routex_site.supervisor; print(*[name for name in sys.modules if name.split('.')[0] == 'django'])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "\n"
