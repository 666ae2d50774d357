"""Fuzz every decoder side by side on the cores there are, then print one table; exits 1 when something broke.

python -m tests.routing.engine.translation.fuzz [--seconds N] [--only WORD ...]
python -m tests.routing.engine.translation.fuzz --replay FILE
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.routing.engine.translation.fuzz.run import Outcome, replay, run
from tests.routing.engine.translation.fuzz.targets import targets

FAILURES = Path(__file__).parent / "failures"
#: How much longer than asked a decoder may take for its hostile inputs, and for one that hangs, before it is stopped.
GRACE_S = 600.0
#: How many times the processor time asked for may pass on the wall, on a machine that has other work.
PATIENCE = 8


def main() -> int:
    """Run, print, and return the exit status."""
    options = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument(
        "--seconds",
        type=float,
        default=float(os.environ.get("FUZZ_SECONDS") or 600),
        help="of processor time, for each decoder",
    )
    options.add_argument("--only", nargs="+", default=[""], help="decoders with one of these words in their name")
    options.add_argument("--replay", type=Path, help="run one saved input again")
    asked = options.parse_args()
    if asked.replay:
        return replay(asked.replay)
    names = [name for name in targets() if any(word in name for word in asked.only)]
    cores = os.cpu_count() or 1
    minutes = asked.seconds * len(names) / min(cores, len(names) or 1) / 60
    print(f"fuzzing {len(names)} decoders, {asked.seconds:g} s each, {cores} side by side: {minutes:.1f} minutes")
    outcomes = _side_by_side(names, asked.seconds, cores)
    print(_table(outcomes))
    return 1 if any(outcome.failures for outcome in outcomes) or not outcomes else 0


def _side_by_side(names: list[str], seconds: float, cores: int) -> list[Outcome]:
    waiting, outcomes = list(names), []
    running: dict[Connection, tuple[multiprocessing.Process, str, float]] = {}
    while waiting or running:
        while waiting and len(running) < cores:
            name = waiting.pop(0)
            here, there = multiprocessing.Pipe(duplex=False)
            process = multiprocessing.Process(target=_worker, args=(name, seconds, there), daemon=True)
            process.start()
            there.close()
            running[here] = (process, name, time.monotonic() + seconds * PATIENCE + GRACE_S)
        for ready in wait(list(running), timeout=1.0):
            process, name, _ = running.pop(ready)  # type: ignore[call-overload]
            outcomes.append(_received(ready, name))  # type: ignore[arg-type]
            process.join()
        for here, (process, name, until) in list(running.items()):
            if time.monotonic() > until:
                process.kill()
                process.join()
                del running[here]
                outcomes.append(Outcome(name, failures=["hangs: stopped from outside"]))
    return sorted(outcomes, key=lambda outcome: outcome.name)


def _worker(name: str, seconds: float, there: Connection) -> None:
    there.send(run(targets()[name], seconds, FAILURES))
    there.close()


def _received(here: Connection, name: str) -> Outcome:
    try:
        outcome: Outcome = here.recv()
    except EOFError:
        return Outcome(name, failures=["the process died"])
    return outcome


def _table(outcomes: list[Outcome]) -> str:
    lines = [f"{'decoder':28} {'runs':>9} {'slowest 1 MB':>13} {'failures':>9}  what was slowest"]
    for each in outcomes:
        lines.append(f"{each.name:28} {each.runs:9} {each.slowest_ms:10.0f} ms {len(each.failures):9}  {each.slowest}")
    for each in outcomes:
        lines += [f"\n{each.name}: {failure}" for failure in each.failures]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
