"""`doctor`: looks at the install point by point, and says for each what is wrong and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from routex_site.cli import doctor_checks as checks
from routex_site.cli.doctor_checks import Finding, Patient, Skipped
from routex_site.cli.output import Failure, is_watched, put_json, talk

Check = Callable[[Patient], str]

#: In the order in which a fault is best looked for: the first ✖ often explains the ones below it.
CHECKS: Sequence[tuple[str, Check]] = (
    ("Python is new enough", checks.python),
    ("the requirements are installed", checks.requirements),
    ("the settings make sense", checks.settings),
    ("the data folder is there and private", checks.data_folder),
    ("there is room on the disk", checks.disk),
    ("secrets are readable by their owner only", checks.secret_files),
    ("the processes run", checks.processes),
    ("the port is Routex's", checks.port),
    ("PostgreSQL answers", checks.postgres),
    ("the database role is held by row policies", checks.role),
    ("the database has this version's tables", checks.migrations),
    ("stored credentials can be opened", checks.credentials),
    ("every configuration is live", checks.snapshots),
    ("an administrator exists", checks.administrator),
    ("Valkey answers", checks.valkey),
    ("the gateway is ready", checks.gateway),
    ("no record of a request was lost", checks.records),
    ("the command line may manage", checks.local_token),
    ("the channels work", checks.channels),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found; `is_ok` is None where it could not be made."""

    name: str
    is_ok: bool | None
    detail: str
    next_step: str = field(default="")


def run(*, as_json: bool) -> int:
    """Make every check; return 1 when one of them found something wrong."""
    patient = Patient()
    results = []
    for name, check in CHECKS:
        result = examine(name, check, patient)
        results.append(result)
        if not as_json:
            print("\n".join(lines_of(result)), flush=True)
    wrong = sum(result.is_ok is False for result in results)
    if as_json:
        put_json({"ok": not wrong, "checks": [asdict(result) for result in results]})
    else:
        skipped = sum(result.is_ok is None for result in results)
        talk(f"{len(results) - wrong - skipped} of {len(results)} fine, {wrong} wrong, {skipped} not checked.")
    return 1 if wrong else 0


def examine(name: str, check: Check, patient: Patient) -> Result:
    """Make one check."""
    try:
        return Result(name, True, check(patient))
    except Finding as finding:
        return Result(name, False, finding.why, finding.next_step)
    except Skipped as skipped:
        return Result(name, None, str(skipped))
    except Failure as failure:
        return Result(name, False, failure.message, failure.next_command)


def lines_of(result: Result) -> list[str]:
    """Return what a person reads of a result."""
    mark = {True: "✔", False: "✖", None: "–"}[result.is_ok]
    if is_watched(sys.stdout):
        colour = {True: 32, False: 31, None: 2}[result.is_ok]
        mark = f"\x1b[{colour}m{mark}\x1b[0m"
    lines: list[Any] = [f"{mark} {result.name}: {result.detail}"]
    if result.next_step:
        lines.append(f"    next: {result.next_step}")
    return lines
