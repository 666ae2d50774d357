"""Runs the command line and turns every refusal into a sentence, the next command and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from routex_site.cli.app import app
from routex_site.cli.output import Failure, tell_failure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code.

    0 well, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 upstream, 130 Ctrl-C.
    """
    try:
        app(args=arguments, prog_name="routex")
    except Failure as failure:
        tell_failure(failure)
        return failure.code
    except BrokenPipeError:
        # The reader went away (`… | head`): not an error, and Python must not complain while it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
