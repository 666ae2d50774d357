"""Prints one line of JSON on standard output; it may hold secrets and is for the supervisor's box alone."""

from __future__ import annotations

import contextlib
import json
import os
import sys

import django

from routex_site.settings.env import BadSetting


def main() -> int:
    """Make the database ready, and return the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "routex_site.settings.base")
    try:
        # Whatever a migration or a library prints must not get between the supervisor and the facts.
        with contextlib.redirect_stdout(sys.stderr):
            django.setup()
            from routex_site.bootstrap.steps import Refused, prepare  # noqa: PLC0415 models need the settings

            try:
                facts = prepare()
            except Refused as refusal:
                sys.stderr.write(f"routex: {refusal}\n")
                return 1
    except BadSetting as error:
        sys.stderr.write(f"routex: {error}\n")
        return 1
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
