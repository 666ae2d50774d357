"""A small `up` for the tests: supervises children that a plan in JSON describes, and prints the facts once ready."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Any

from routex_site.embedded.process import StartError
from routex_site.settings.env import BadSetting, read_environment
from routex_site.supervisor import Child, Facts, supervise


def child_of(plan: Mapping[str, Any]) -> Child:
    return Child(**{**plan, "argv": (sys.executable, *plan["argv"])})


def show(facts: Facts) -> None:
    sys.stdout.write(json.dumps(dataclasses.asdict(facts), default=str) + "\n")
    sys.stdout.flush()


def main() -> int:
    plan = json.loads(sys.argv[1])
    try:
        supervise(
            read_environment(),
            children=[child_of(child) for child in plan["children"]],
            on_ready=show,
            prepare=child_of(plan["prepare"]) if "prepare" in plan else None,
            is_verbose=plan.get("is_verbose", False),
        )
    except (BadSetting, StartError) as error:
        sys.stderr.write(f"routex: {error}\n")
        return 1
    return 0


sys.exit(main())
