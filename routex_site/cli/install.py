"""The install that a verb speaks of: its data folder, what runs on it, and the way into its server and database."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from routex_site.cli.output import CONFLICT, NOT_ALLOWED, NOT_FOUND, UPSTREAM, USAGE, Failure
from routex_site.settings.env import BadSetting, Reader, read_environment

if TYPE_CHECKING:
    from routex_site.settings.env import Environment

LOCAL_TOKEN = "local-token"  # noqa: S105 a file's name
START = "./routex up"
_TIMEOUT_S = 15.0
_EXIT_CODES = {400: USAGE, 401: NOT_ALLOWED, 403: NOT_ALLOWED, 404: NOT_FOUND, 409: CONFLICT, 422: USAGE}


def data_dir() -> Path:
    """Return the data folder."""
    return Path(Reader(os.environ).text("ROUTEX_DATA_DIR", "data")).expanduser().absolute()


def environment() -> Environment:
    """Return the checked environment; raises Failure with the sentence of what is wrong."""
    try:
        return read_environment()
    except BadSetting as error:
        raise Failure(str(error)) from error


def run_note() -> dict[str, Any]:
    """Return what `up` noted about its processes, or nothing."""
    try:
        note = json.loads((data_dir() / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def server_url() -> str:
    """Return where the server of this install answers: ROUTEX_URL, what `up` noted, or what the settings say."""
    return os.environ.get("ROUTEX_URL", "").rstrip("/") or str(run_note().get("url") or "") or environment().public_url


def token() -> str:
    """Return the management token: ROUTEX_TOKEN, or the install's own, which only its owner can read.

    Raises:
        Failure: there is none to be had.
    """
    given = os.environ.get("ROUTEX_TOKEN", "").strip()
    if given:
        return given
    path = data_dir() / LOCAL_TOKEN
    try:
        return path.read_text(encoding="utf-8").strip()
    except PermissionError as error:
        raise Failure(
            f"{path} belongs to another user. Run this as the user who started Routex, or set ROUTEX_TOKEN.",
            code=NOT_ALLOWED,
        ) from error
    except OSError as error:
        raise Failure(
            f"There is no install in {path.parent} yet (ROUTEX_DATA_DIR names the folder).", next_command=START
        ) from error


def call(
    method: str, path: str, *, tenant: str = "", body: Mapping[str, Any] | None = None, is_public: bool = False
) -> Any:
    """Ask the running server, and return its JSON answer; None for an empty one.

    Raises:
        Failure: nobody answers there, or the answer is a refusal, whose own words are passed on.
    """
    url = server_url() + path
    headers = {"accept": "application/json"}
    if not is_public:
        headers["authorization"] = f"Bearer {token()}"
    if tenant:
        headers["x-routex-tenant"] = tenant
    data = None
    if body is not None:
        data, headers["content-type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310 the operator's URL
    # No proxy of the user's: the server is this machine's, and the token must not leave it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(error, error.read()) from error
    except (OSError, ValueError) as error:
        raise Failure(f"No Routex answers at {server_url()}: {_why(error)}.", next_command=START) from error
    try:
        return json.loads(text) if text.strip() else None
    except ValueError as error:
        raise Failure(f"{url} did not answer in JSON: is that a Routex? ROUTEX_URL names another one.") from error


def _refusal(error: urllib.error.HTTPError, text: bytes) -> Failure:
    code = _EXIT_CODES.get(error.code, UPSTREAM if error.code in {502, 503, 504} else 1)
    try:
        problem = json.loads(text)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    message = str(problem.get("detail") or problem.get("title") or f"{error.code} {error.reason}")
    for one in problem.get("errors") or []:
        if isinstance(one, dict) and one.get("detail") and one["detail"] not in message:
            message += f"\n  {one.get('pointer', '')}: {one['detail']}"
    request_id = error.headers.get("x-request-id")
    if request_id:
        message += f" (request {request_id})"
    next_command = "./routex doctor" if error.code >= 500 or error.code == 401 else ""
    return Failure(message, code=code, next_command=next_command)


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)


@contextmanager
def database() -> Iterator[Environment]:
    """Set Django up on the install's database, with the embedded PostgreSQL running for the duration.

    Raises:
        Failure: there is no database to open.
    """
    settings = environment()
    with _database_url(settings):
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "routex_site.settings.base")
        import django
        from django.db import DatabaseError

        django.setup()
        try:
            yield environment()
        except DatabaseError as error:
            words = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise Failure(f"The database refused: {words}", next_command="./routex doctor") from error


@contextmanager
def _database_url(settings: Environment) -> Iterator[None]:
    """Put into the environment what `up` hands to its children."""
    if not settings.is_embedded_database:
        yield
        return
    from routex_site.embedded import postgres
    from routex_site.embedded.data_folder import DataFolder
    from routex_site.embedded.process import StartError
    from routex_site.embedded.secrets import secrets_complete

    folder = settings.data_dir.resolve()
    if not postgres.cluster_folder(folder).exists():
        raise Failure(f"There is no database in {folder} yet (ROUTEX_DATA_DIR names the folder).", next_command=START)
    try:
        secrets = secrets_complete(settings=settings, has_database=True)
        os.environ |= {
            "ROUTEX_DATA_DIR": str(folder),
            "ROUTEX_SECRET_KEY": secrets.secret_key,
            "ROUTEX_ENCRYPTION_KEYS": ",".join(secrets.encryption_keys),
            "ROUTEX_LOCAL_INSTALL": "1",
        }
        for name in ("ROUTEX_SECRET_KEY_FILE", "ROUTEX_ENCRYPTION_KEYS_FILE"):
            os.environ.pop(name, None)
        running = postgres.running(folder)
        if running is not None:
            os.environ["DATABASE_URL"] = running.url
            yield
            return
        with DataFolder(folder).held():
            server = postgres.start(folder)
            try:
                os.environ["DATABASE_URL"] = server.url
                yield
            finally:
                server.stop()
    except StartError as error:
        raise Failure(str(error), next_command="./routex doctor") from error
