"""`make bench`: measure everything round-robin in one run and print one table of ratios."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench import targets
from bench.targets import LOAD_CORE, MODEL, PATH, Target, pinned, stop, wait_ready
from routex_site import ROOT

CONNECTIONS = (1, 32, 128)
STREAMS = (100, 500)
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


def load(running: Running, kind: str, count: int, seconds: float) -> dict[str, Any]:
    """Run the load client once against a target and add the CPU that the target spent."""
    target = running.target
    before = running.cpu_us()
    argv = [
        sys.executable,
        "-m",
        "bench.load",
        kind,
        str(target.port),
        PATH,
        str(count),
        str(seconds),
        target.key,
        MODEL,
    ]
    client = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
            os.sched_setaffinity(client.pid, {LOAD_CORE})
        output, _ = client.communicate(timeout=seconds + 90)
    finally:
        client.kill()
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    spent = running.cpu_us() - before
    if result.get("sent"):
        result["cpu_us"] = spent / result["sent"]
    elif result.get("events"):
        result["cpu_us"] = spent / result["events"]
    result["rss_mb"] = running.rss_mb()
    return result


def measure(rounds: int, seconds: float) -> list[Running]:
    """Start everything once, measure round-robin, stop everything."""
    upstream_port = targets.free_port()
    upstream = pinned([sys.executable, "-m", "bench.upstream", str(upstream_port)], LOAD_CORE)
    running: list[Running] = []
    try:
        with targets.installation(upstream_port) as (env, key):
            found = [targets.routex("daphne", env, key), targets.routex("uvicorn", env, key)]
            peer = targets.litellm(upstream_port)
            running = [Running(Target("direct", upstream_port, "none"))]
            running += [Running(target) for target in [*found, *([peer] if peer else [])]]
            for each in running[1:]:
                assert each.target.start is not None
                each.process = each.target.start()
                url = f"http://127.0.0.1:{each.target.port}{each.target.ready_path}"
                each.ready_s, each.idle_mb = wait_ready(url, READY_LIMIT_S), each.rss_mb()
            for number in range(rounds):
                for kind, counts in (("whole", CONNECTIONS), ("streams", STREAMS)):
                    for count in counts:
                        for each in running:
                            print(f"round {number + 1}/{rounds}: {kind} {count} {each.target.name}", file=sys.stderr)
                            each.seen[f"{kind} {count}"].append(load(each, kind, count, seconds))
            return running
    finally:
        for each in running:
            if each.process is not None:
                stop(each.process)
        stop(upstream)


def table(running: list[Running]) -> Table:
    """Return the one table: absolute figures, and ratios to going direct and to the peer."""
    direct = running[0]
    peer = next((each for each in running if each.target.name.startswith("litellm")), None)
    shown = Table(title="Routex bench: medians, one core for each gateway; ratios are within this run")
    for column in ("", *(each.target.name for each in running), *(["daphne : peer", "uvicorn : peer"] if peer else [])):
        shown.add_column(column, justify="left" if not column else "right")

    def row(label: str, values: list[float], *, form: str = "{:.0f}", more_is_better: bool | None = None) -> None:
        cells = [form.format(value) if value == value else "–" for value in values]
        if peer:
            ratios = ["", ""]
            if more_is_better is not None:
                base = values[-1]
                ratios = [f"{value / base if more_is_better else base / value:.1f} ×" for value in values[1:3]]
            cells += ratios
        shown.add_row(label, *cells)

    for count in CONNECTIONS:
        cell = f"whole {count}"
        row(f"requests/s, {count} conn", [each.median(cell, "rps") for each in running], more_is_better=True)
        row(f"CPU µs/request, {count} conn", [each.median(cell, "cpu_us") for each in running], more_is_better=False)
        for name in ("p50_ms", "p99_ms"):
            added = [each.median(cell, name) - direct.median(cell, name) for each in running]
            row(f"added {name[:3]} ms, {count} conn", added, form="{:.2f}")
    for count in STREAMS:
        cell = f"streams {count}"
        row(f"streams done, {count} at once", [each.median(cell, "streams") for each in running])
        row(f"cut + lost, {count}", [each.median(cell, "cut") + each.median(cell, "lost") for each in running])
        added = [each.median(cell, "ttft_p50_ms") - direct.median(cell, "ttft_p50_ms") for each in running]
        row(f"added first token p50 ms, {count}", added, form="{:.1f}")
        row(f"merged %, {count}", [each.median(cell, "merged_pct") for each in running], form="{:.1f}")
        row(f"CPU µs/chunk, {count}", [each.median(cell, "cpu_us") for each in running], more_is_better=False)
    row("resident MB, idle", [each.idle_mb for each in running])
    row("resident MB, after load", [each.median(f"streams {STREAMS[-1]}", "rss_mb") for each in running])
    row("start s", [each.ready_s for each in running], form="{:.2f}")
    return shown


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each cell")
    parser.add_argument("--json", type=Path, help="also write every figure here")
    parser.add_argument("--install-peers", action="store_true", help="install the peers and do nothing else")
    chosen = parser.parse_args()
    if chosen.install_peers:
        targets.install_peers()
        return
    running = measure(chosen.rounds, chosen.seconds)
    Console(width=160).print(table(running))
    if chosen.json:
        chosen.json.write_text(json.dumps({each.target.name: each.seen for each in running}, indent=1))


if __name__ == "__main__":
    main()
