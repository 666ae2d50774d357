"""What translation costs: every client's format against every upstream's, over the wire."""

from __future__ import annotations

import sys

from rich.table import Table

from bench.measuring import Running, load, started
from bench.targets import CHANNELS, Target

CONNECTIONS = 32
STREAMS = 100
PAIRS = [(client, upstream) for client in CHANNELS for upstream in CHANNELS]


def _cell(kind: str, client: str, upstream: str) -> str:
    return f"{kind} {client} → {upstream}"


def measure(target: Target, rounds: int, seconds: float) -> Running:
    """Start one server and measure all pairs round-robin."""
    with started([target]) as (running,):
        # Every format once on either side: what is loaded at first use belongs to no pair.
        for client, upstream in zip(CHANNELS, reversed(CHANNELS), strict=True):
            load(running, "whole", 1, 0.2, client=client, model=CHANNELS[upstream][2])
        for number in range(rounds):
            for kind, count in (("whole", CONNECTIONS), ("streams", STREAMS)):
                for client, upstream in PAIRS:
                    cell = _cell(kind, client, upstream)
                    print(f"round {number + 1}/{rounds}: {cell}", file=sys.stderr)
                    seen = load(running, kind, count, seconds, client=client, model=CHANNELS[upstream][2])
                    seen["failed"] = sum(seen.get(name, 0) for name in ("failures", "cut", "lost"))
                    if seen["failed"]:
                        print(f"{cell}: {seen}", file=sys.stderr)
                    running.seen[cell].append(seen)
    return running


def table(running: Running) -> Table:
    """Return one row a pair: CPU of the server, and its ratio to the same client's bytes passing through."""
    shown = Table(title=f"Cost of translation, {running.target.name}: medians; × is to that client's pass-through")
    for column in ("client → upstream", f"CPU µs/request, {CONNECTIONS} conn", "×"):
        shown.add_column(column, justify="left" if "→" in column else "right")
    for column in (f"CPU µs/event, {STREAMS} streams", "×", "first token p50 ms", "late p99 ms", "failed"):
        shown.add_column(column, justify="right")
    for client, upstream in PAIRS:
        cells, failed = [], 0
        for kind in ("whole", "streams"):
            failed += sum(seen["failed"] for seen in running.seen[_cell(kind, client, upstream)])
            cost = running.median(_cell(kind, client, upstream), "cpu_us")
            base = running.median(_cell(kind, client, client), "cpu_us")
            cells += [f"{cost:.0f}", "1" if client == upstream else f"{cost / base:.2f}"]
        streamed = _cell("streams", client, upstream)
        cells += [f"{running.median(streamed, name):.1f}" for name in ("ttft_p50_ms", "late_p99_ms")]
        cells.append(str(failed))
        shown.add_row(f"{client} → {upstream}", *cells, end_section=upstream == list(CHANNELS)[-1])
    return shown
