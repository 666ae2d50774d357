"""`make bench`: measure everything round-robin in one run and print tables of ratios."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import decisions, flatness, pairs, targets
from bench.measuring import Running, load, started, upstream_at
from bench.targets import Target

CONNECTIONS = (1, 32, 128)
STREAMS = (100, 500)


def measure(upstream_port: int, env: dict[str, str], key: str, rounds: int, seconds: float) -> list[Running]:
    """Start everything once, measure round-robin, stop everything."""
    peer = targets.litellm(upstream_port)
    found = [
        Target("direct", upstream_port, "none"),
        targets.routex("daphne", env, key),
        targets.routex("uvicorn", env, key),
        *([peer] if peer else []),
    ]
    with started(found) as running:
        for number in range(rounds):
            for kind, counts in (("whole", CONNECTIONS), ("streams", STREAMS)):
                for count in counts:
                    for each in running:
                        print(f"round {number + 1}/{rounds}: {kind} {count} {each.target.name}", file=sys.stderr)
                        each.seen[f"{kind} {count}"].append(load(each, kind, count, seconds))
    return running


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
    parser.add_argument("--pair-seconds", type=float, default=1.5, help="of each cell of the table of pairs")
    parser.add_argument("--json", type=Path, help="also write every figure here")
    parser.add_argument("--install-peers", action="store_true", help="install the peers and do nothing else")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--pairs-only", action="store_true", help="only what translation costs, over the wire")
    part.add_argument("--no-pairs", action="store_true", help="leave out what translation costs")
    part.add_argument("--decisions-only", action="store_true", help="only what deciding costs, in this process")
    part.add_argument("--flatness-only", action="store_true", help="only whether long streams cost the same throughout")
    chosen = parser.parse_args()
    if chosen.install_peers:
        targets.install_peers()
        return
    console, figures = Console(width=160), {}
    if not chosen.flatness_only and not chosen.decisions_only:
        port = targets.free_port()
        with upstream_at(port), targets.installation(port) as (env, key):
            if not chosen.pairs_only:
                running = measure(port, env, key, chosen.rounds, chosen.seconds)
                console.print(table(running))
                figures.update({each.target.name: each.seen for each in running})
            if not chosen.no_pairs:
                costs = pairs.measure(targets.routex("daphne", env, key), chosen.rounds, chosen.pair_seconds)
                console.print(pairs.table(costs))
                figures["pairs"] = costs.seen
    if not chosen.pairs_only and not chosen.flatness_only:
        console.print(decisions.table(decisions.measure()))
    if not chosen.no_pairs and not chosen.pairs_only and not chosen.decisions_only:
        console.print(flatness.table(flatness.measure()))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
