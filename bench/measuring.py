"""A target that runs, and one run of the load client against it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.targets import LOAD_CORE, MODEL, Target, pinned, stop, wait_ready
from routex_site import ROOT

READY_LIMIT_S = 60.0


@dataclass
class Running:
    """A target with its process, and all that was measured of it."""

    target: Target
    process: subprocess.Popen[bytes] | None = None
    ready_s: float = 0.0
    idle_mb: float = 0.0
    seen: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def tree(self) -> list[psutil.Process]:
        """Return the process and its children."""
        if self.process is None:
            return []
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_us(self) -> float:
        """Return the CPU time of the whole tree, from the scheduler's own nanoseconds where Linux tells them."""
        total = 0.0
        for process in self.tree():
            for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                total += int(thread.read_text().split()[0]) / 1000
        return total

    def rss_mb(self) -> float:
        """Return the resident memory of the whole tree."""
        return sum(process.memory_info().rss for process in self.tree()) / 1e6

    def median(self, cell: str, name: str) -> float:
        """Return the median of a figure over the rounds, NaN without one."""
        values = [round_[name] for round_ in self.seen[cell] if name in round_]
        return statistics.median(values) if values else float("nan")


def load(
    running: Running, kind: str, count: int, seconds: float, *, client: str = "openai-chat", model: str = MODEL
) -> dict[str, Any]:
    """Run the load client once against a target, in one format, and add the CPU that the target spent."""
    target = running.target
    before = running.cpu_us()
    argv = [
        sys.executable,
        "-m",
        "bench.load",
        kind,
        str(target.port),
        client,
        str(count),
        str(seconds),
        target.key,
        model,
    ]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(process.pid, {LOAD_CORE})
        output, _ = process.communicate(timeout=seconds + 90)
    finally:
        process.kill()
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    spent = running.cpu_us() - before
    if result.get("sent"):
        result["cpu_us"] = spent / result["sent"]
    elif result.get("events"):
        result["cpu_us"] = spent / result["events"]
    result["rss_mb"] = running.rss_mb()
    return result


@contextmanager
def upstream_at(port: int) -> Iterator[None]:
    """Run the upstream on a port."""
    process = pinned([sys.executable, "-m", "bench.upstream", str(port)], LOAD_CORE)
    try:
        yield
    finally:
        stop(process)


@contextmanager
def started(targets: Sequence[Target]) -> Iterator[list[Running]]:
    """Start targets one after another and yield them ready; stop them afterwards."""
    running = [Running(target) for target in targets]
    try:
        for each in running:
            if each.target.start is not None:
                each.process = each.target.start()
                url = f"http://127.0.0.1:{each.target.port}{each.target.ready_path}"
                each.ready_s, each.idle_mb = wait_ready(url, READY_LIMIT_S), each.rss_mb()
        yield running
    finally:
        for each in running:
            if each.process is not None:
                stop(each.process)
