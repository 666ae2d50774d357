"""`python -m routex_site.server`: start the web server that ROUTEX_SERVER names."""

from __future__ import annotations

import argparse
import importlib
import socket
import sys
from collections.abc import Sequence
from typing import cast

from routex_site.server.listen import adopt, allow_many_sockets, bind
from routex_site.server.options import Application, CannotStart, ServerOptions
from routex_site.settings.env import BadSetting, read_environment

#: Imported when chosen: each brings an event loop and a hundred modules of its own.
SERVERS = {
    "daphne": "routex_site.server.tuned_daphne",
    "uvicorn": "routex_site.server.tuned_uvicorn",
}


def load_application(path: str) -> Application:
    """Return the ASGI application at `module:name`.

    Raises:
        CannotStart: There is no such module or name.
    """
    module_name, _, name = path.partition(":")
    try:
        found = importlib.import_module(module_name)
        for part in (name or "application").split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses another one
        raise CannotStart(f"--app {path} names a module that does not exist.") from error
    except AttributeError as error:
        if not hasattr(error, "obj") or getattr(error.obj, "__name__", "") != module_name:
            raise
        raise CannotStart(f"--app {path} names nothing in that module.") from error
    return cast(Application, found)


def start(server: str, app: str, sock: socket.socket, options: ServerOptions) -> None:
    """Run one server process until it is told to stop.

    The server is imported before the application, which must not choose the event loop.

    Raises:
        CannotStart: See the sentence.
    """
    allow_many_sockets()
    module = importlib.import_module(SERVERS[server])
    module.run(load_application(app), sock, options)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and the environment, and serve."""
    parser = argparse.ArgumentParser(prog="python -m routex_site.server", description="The web server of Routex.")
    parser.add_argument("--app", default="routex_site.asgi:application", help="module:name of the ASGI application")
    parser.add_argument("--fd", type=int, help="serve on this inherited socket instead of ROUTEX_HOST and ROUTEX_PORT")
    chosen = parser.parse_args(arguments)
    try:
        settings = read_environment()
        if chosen.fd is not None:
            sock = adopt(chosen.fd)
        else:
            sock = bind(settings.host, settings.port, shared=settings.workers > 1)
        start(settings.server, chosen.app, sock, ServerOptions(max_body_bytes=settings.max_body_bytes))
    except (BadSetting, CannotStart) as error:
        sys.exit(str(error))  # to standard error, with exit code 1
    except KeyboardInterrupt:
        sys.exit(130)  # during the start; a running server handles the signal itself


if __name__ == "__main__":
    main()
