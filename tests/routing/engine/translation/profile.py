"""How much the property tests try: little and the same every time, or much and random (`HYPOTHESIS_PROFILE=fuzz`).

`HYPOTHESIS_EXAMPLES` is how many inputs that are, 2000 where it is not set.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

_PROFILES = {
    "ci": settings(max_examples=25, derandomize=True, database=None, deadline=None, print_blob=True),
    "fuzz": settings(
        max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "2000")), database=None, deadline=None, print_blob=True
    ),
}

#: Decorates every property here. It is no registered profile: loading one would change the other tests of a session.
profile = settings(_PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "ci")], suppress_health_check=_SLOW_IS_FINE)
