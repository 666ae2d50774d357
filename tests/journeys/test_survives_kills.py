"""A whole install under load, whose processes are killed in turn: nobody is left hanging and the records add up.

`make chaos` runs the longer version.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from routex_site.embedded.process import has_ended
from tenants.engine import keys
from tests.journeys.installs import ROOT, Install, soon
from tests.routex_site.processes import new_folder

#: A killed web process may lose what it accepted this long before; the promise.
LOSABLE_S = 1.0
CLIENTS = 8
#: Between two calls of a client: enough load to have work in flight, little enough for a laptop to do its repairs.
PAUSE_S = 0.03
#: A call that says nothing for so long hangs.
HANG_S = 30.0
TENANT = "chaos"
STREAMED_WORDS = 12

End = Literal["answered", "refused", "broken", "truncated", "hung"]


@dataclass
class Call:
    """One call of a client, and what came of it; times are seconds since the epoch."""

    marker: str
    began_s: float
    ended_s: float = 0.0
    end: End = "hung"
    request_id: str = ""
    detail: str = ""


@dataclass
class Outage:
    """While the web process was away."""

    killed_s: float
    back_s: float = float("inf")

    def touches(self, call: Call) -> bool:
        """Whether any of the call lay in it."""
        return call.began_s <= self.back_s and call.ended_s >= self.killed_s

    def may_lose(self, call: Call) -> bool:
        """Whether the call's record may have died with the process: the client may have read its answer later."""
        return call.began_s <= self.killed_s and call.ended_s >= self.killed_s - LOSABLE_S


@dataclass
class Load:
    """Clients that ask without end, whole and streamed in turn."""

    url: str
    key: str
    calls: list[Call] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        numbers = itertools.count(1)
        for client in range(CLIENTS):
            thread = threading.Thread(target=self._ask_on, args=(client, numbers), daemon=True)
            self.threads.append(thread)
            thread.start()

    def finish(self) -> None:
        """Let every call end, and see that each does."""
        self.is_over.set()
        for thread in self.threads:
            thread.join(HANG_S * 2)
        assert not any(thread.is_alive() for thread in self.threads), "a call never ended"

    def has_answers(self, count: int) -> Callable[[], bool]:
        """Return a look that comes true once so many more calls were answered."""
        began_s = time.time()
        return lambda: sum(call.end == "answered" and call.began_s > began_s for call in self.calls) >= count

    def _ask_on(self, client: int, numbers: Iterator[int]) -> None:
        headers = {"authorization": f"Bearer {self.key}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=HANG_S, trust_env=False) as http:
            for turn in itertools.count(client):
                if self.is_over.is_set():
                    return
                call = Call(f"marker-{next(numbers)}", time.time())
                try:
                    self._stream(http, call) if turn % 2 else self._whole(http, call)
                except httpx.TimeoutException as error:
                    call.end, call.detail = "hung", repr(error)
                except httpx.TransportError as error:
                    call.end, call.detail = "broken", repr(error)
                call.ended_s = time.time()
                self.calls.append(call)
                time.sleep(PAUSE_S)

    def _whole(self, http: httpx.Client, call: Call) -> None:
        answer = http.post("/v1/chat/completions", json=_body("load-whole", call.marker))
        call.request_id = answer.headers.get("x-request-id", "")
        if answer.status_code == 200:
            assert answer.json()["choices"][0]["message"]["content"] == call.marker
            call.end = "answered"
        else:
            call.end, call.detail = _refused(answer)

    def _stream(self, http: httpx.Client, call: Call) -> None:
        text = " ".join([call.marker] + ["word"] * STREAMED_WORDS)
        body = _body("load-streamed+slow", text) | {"stream": True}
        with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            call.request_id = answer.headers.get("x-request-id", "")
            read = answer.read()
            if answer.status_code != 200:
                call.end, call.detail = _refused(answer)
            elif read.endswith(b"data: [DONE]\n\n"):
                call.end = "answered"
            else:
                is_told = b'"error"' in read[-2000:]
                call.end, call.detail = "refused" if is_told else "truncated", read[-200:].decode()


def _body(model: str, text: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def _refused(answer: httpx.Response) -> tuple[End, str]:
    """Read an error in OpenAI's shape; anything else fails the test where the calls are judged."""
    detail = f"{answer.status_code} {answer.text[:300]}"
    try:
        return ("refused" if answer.json()["error"]["message"] else "truncated"), detail
    except (ValueError, KeyError, TypeError):
        return "truncated", detail


# --- the install


@pytest.fixture
def upstream() -> Iterator[httpx.Client]:
    """A client of a fake upstream of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.upstream"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout and process.stdin
    with httpx.Client(base_url=f"http://127.0.0.1:{int(process.stdout.readline())}", trust_env=False) as client:
        yield client
    process.stdin.close()
    process.stdout.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL may use."""
    path = new_folder()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def key() -> str:
    """The tenant's key."""
    return keys.mint()


@pytest.fixture
def install(folder: Path, upstream: httpx.Client, key: str) -> Iterator[Install]:
    """An install with one tenant, whose channel leads to the fake upstream."""
    channel = {
        "slug": "fake",
        "provider": "openai",
        "base_url": str(upstream.base_url.join("/v1")),
        "credentials": [{"slug": "main", "api_key": "sk-chaos"}],
        "models": ["load-*"],
    }
    tenant = {
        "slug": TENANT,
        "name": "Chaos",
        "private_upstreams": ["127.0.0.0/8"],
        "keys": [{"slug": "load", "secret": key}],
        "channels": [channel],
    }
    running = Install(folder, {"apiVersion": "routex/v1", "tenants": [tenant]}, TENANT)
    yield running
    running.end()


# --- what must be true after each kill


def kill(install: Install, name: str) -> None:
    """Kill a child where it stands, and wait until another one is in its place."""
    before = install.pid(name)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    soon(lambda: install.pid(name) not in {before, None}, f"another {name}")


def a_change_goes_live(install: Install, key: str, name: str) -> None:
    """A change through the management API is taken at once, since every server is back, and reaches the gateway."""
    model = f"change-{name}"
    install.api("PATCH", "/api/channels/fake", {"models": ["load-*", model]})

    def is_served() -> bool:
        headers = {"authorization": f"Bearer {key}"}
        url = f"{install.url}/v1/chat/completions"
        answer = httpx.post(url, json=_body(model, "hello"), headers=headers, timeout=HANG_S, trust_env=False)
        return answer.status_code == 200

    soon(is_served, f"a change is live after {name} was killed")


def the_worker_works(install: Install, name: str) -> None:
    """The beat sends, the broker carries and the worker does: somebody publishes a version that nobody published."""
    bump = "UPDATE tenants_configstate SET version = version + 1 RETURNING tenant_id"
    behind = "SELECT count(*) FROM tenants_configstate WHERE snapshot_version < version"
    soon(lambda: install.rows(bump), f"the database takes a change after {name} was killed")
    soon(lambda: install.rows(behind) == [(0,)], f"the worker works after {name} was killed")


def go_through(install: Install, load: Load, key: str, victims: list[str]) -> list[Outage]:
    """Kill each in turn under load, and see that all works again; return when the web process was away."""
    outages = []
    for turn, name in enumerate(victims):
        soon(load.has_answers(CLIENTS), f"answers before {name} is killed")
        if name == "web":
            outages.append(Outage(time.time()))
        kill(install, name)
        soon(lambda: install.get("/readyz").status_code == 200, f"ready after {name} was killed")
        if name == "web":
            outages[-1].back_s = time.time()
        soon(load.has_answers(CLIENTS), f"answers after {name} was killed")
        a_change_goes_live(install, key, f"{turn}-{name}")
        the_worker_works(install, name)
    return outages


def judge_calls(calls: list[Call], outages: list[Outage]) -> None:
    """Whoever asked got an answer; or, while the web process was away, a clear no."""
    assert [call for call in calls if call.end in {"hung", "truncated"}] == []
    unexcused = [call for call in calls if call.end != "answered" and not any(out.touches(call) for out in outages)]
    assert unexcused == []


def judge_records(install: Install, calls: list[Call], outages: list[Outage], finished: set[str]) -> None:
    """Every request left one record, but for those that the killed web process had just accepted."""

    def is_written() -> bool:
        records = install.get("/health").json()["records"]
        return not records["waiting"] and not records["spill_bytes"] and not records["dropped"]

    soon(is_written, "all records are written")
    rows = install.rows("SELECT id, outcome FROM analytics_requestrecord WHERE asked_model LIKE 'load-%%'")
    count = Counter(row[0] for row in rows)
    assert [name for name, times in count.items() if times > 1] == []
    excused = {call.marker for call in calls if any(out.may_lose(call) for out in outages)}
    # Before it has loaded the keys a process cannot say whose request it refuses: there is nowhere to put a record.
    told = [call for call in calls if call.request_id and "starting_up" not in call.detail]
    told = [call for call in told if call.end in {"answered", "refused"}]
    assert [call for call in told if call.marker not in excused and call.request_id not in count] == []
    # The same from the other end: what the upstream served in full, but for the calls of those who lost the connection.
    assert {call.marker for call in calls if call.end == "answered"} <= finished
    lost = excused | {call.marker for call in calls if call.end == "broken"}
    assert sum(row[1] == "answered" for row in rows) >= len(finished - lost)
    assert len(rows) <= len(calls)


def survive(install: Install, upstream: httpx.Client, key: str, victims: list[str]) -> None:
    """Put the install under load, kill, judge, and stop it."""
    the_worker_works(install, "nothing")
    marked = len(install.marked())
    load = Load(install.url, key)
    load.start()
    try:
        outages = go_through(install, load, key, victims)
    finally:
        load.finish()
    judge_calls(load.calls, outages)
    seen = upstream.get("/__seen").json()
    finished = {_marker(line) for line in seen if line["model"].startswith("load-") and line.get("finished")}
    judge_records(install, load.calls, outages, finished)
    family = install.family()
    assert len(install.marked()) == marked, "a process of a killed one still runs"
    assert install.end() == 0
    assert [process for process in family if not has_ended(process)] == []
    _tell(load.calls, outages, install)


def _marker(line: dict[str, Any]) -> str:
    return str(line["body"]["messages"][0]["content"]).split()[0]


def _tell(calls: list[Call], outages: list[Outage], install: Install) -> None:
    """Print the figures, which `pytest -s` shows."""
    print("\ncalls", dict(Counter(call.end for call in calls)))
    print("web away for", [round(out.back_s - out.killed_s, 2) for out in outages], "s")
    print(install.said)


def test_kills_in_turn_leave_no_call_hanging_and_no_record_missing(install, upstream, key):
    survive(install, upstream, key, ["web", "worker", "postgresql", "valkey"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_kills_in_any_order_leave_no_call_hanging_and_no_record_missing(install, upstream, key):
    order = random.Random()
    victims = [name for _ in range(3) for name in order.sample(["web", "worker", "postgresql", "valkey"], 4)]
    print("\n", victims)
    survive(install, upstream, key, victims)
