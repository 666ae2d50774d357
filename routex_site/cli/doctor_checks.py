"""The checks of `doctor`: each returns what it found, or raises Finding with the reason and the next step."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from routex_site import ROOT
from routex_site.cli import install
from routex_site.cli.install import START
from routex_site.cli.output import Failure
from routex_site.cli.status import processes as processes_noted
from routex_site.settings.env import BadSetting, read_environment

if TYPE_CHECKING:
    import psycopg

    from routex_site.settings.env import Environment

LEAST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 512 * 2**20
SECRET_FILES = ("secret-key", "encryption-keys", "local-token", "postgres/superuser-password", "postgres/app-password")


class Finding(Exception):
    """Something is wrong: why, and what to do next."""

    def __init__(self, why: str, next_step: str = "") -> None:
        super().__init__(why)
        self.why, self.next_step = why, next_step


class Skipped(Exception):
    """A check could not be made, because of what an earlier one found."""


@dataclass(slots=True)
class Patient:
    """What checks hand on to later ones."""

    settings: Environment | None = None
    database_url: str = ""
    health: dict[str, Any] | None = None
    has_django: bool = False

    def known_settings(self) -> Environment:
        """Return the settings; raises Skipped when they make no sense."""
        if self.settings is None:
            raise Skipped("the settings make no sense")
        return self.settings

    def url(self) -> str:
        """Return where the database answers; raises Skipped when it does not."""
        if not self.database_url:
            raise Skipped("PostgreSQL does not answer")
        return self.database_url

    @contextmanager
    def django(self) -> Iterator[None]:
        """Run the block with Django set up on the install's database."""
        self.url()
        if self.has_django:
            yield
            return
        with install.database():
            self.has_django = True
            yield


def python(patient: Patient) -> str:
    """Check the version of Python."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < LEAST_PYTHON:
        raise Finding(f"this is Python {found}; Routex needs 3.11 or newer", "make PYTHON=python3.12 setup")
    return found


def requirements(patient: Patient) -> str:
    """Check that what pyproject.toml asks for is installed."""
    import re
    import tomllib

    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    missing = []
    for requirement in wanted:
        if "win32" in requirement and sys.platform == "win32":
            continue
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        try:
            importlib.metadata.version(name[0] if name else requirement)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name[0] if name else requirement)
    if missing:
        raise Finding(f"missing: {', '.join(missing)}", "make setup")
    return f"{len(wanted)} packages"


def settings(patient: Patient) -> str:
    """Check the environment variables."""
    try:
        patient.settings = read_environment()
    except BadSetting as error:
        raise Finding(str(error), "set it right in the environment and run this again") from error
    config = patient.settings.config_path
    if config and not os.access(config, os.R_OK):
        raise Finding(f"ROUTEX_CONFIG names {config}, which cannot be read", "make the file readable or unset it")
    return f"{patient.settings.public_url}, role {patient.settings.role}, server {patient.settings.server}"


def data_folder(patient: Patient) -> str:
    """Check that the data folder can be written, and is closed to others."""
    folder = patient.known_settings().data_dir
    if not folder.is_dir():
        raise Finding(f"{folder} does not exist yet (ROUTEX_DATA_DIR names it)", START)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Finding(f"{folder} cannot be written by this user", f"sudo chown -R $(id -un) {folder}")
    if folder.stat().st_mode & 0o066:
        raise Finding(f"others may read {folder}", f"chmod go-rw {folder}")
    return str(folder)


def disk(patient: Patient) -> str:
    """Check the free space where the data lies."""
    folder = patient.known_settings().data_dir
    if not folder.is_dir():
        raise Skipped("there is no data folder")
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise Finding(f"only {free // 2**20} MB are free", f"make room on the disk of {folder}, or move it there")
    return f"{free / 2**30:.1f} GB free"


def secret_files(patient: Patient) -> str:
    """Check the modes of the secrets that Routex keeps."""
    folder = patient.known_settings().data_dir
    found = [folder / name for name in SECRET_FILES if (folder / name).exists()]
    open_ones = [str(path) for path in found if path.stat().st_mode & 0o077]
    if open_ones:
        raise Finding(f"others may read {', '.join(open_ones)}", f"chmod 600 {' '.join(open_ones)}")
    return f"{len(found)} files" if found else "none are kept here"


def processes(patient: Patient) -> str:
    """Check the processes that `up` noted."""
    rows = processes_noted()
    if not rows:
        raise Finding(f"`up` does not run on {install.data_dir()}", START)
    gone = [str(row["name"]) for row in rows if row["state"] != "running"]
    if gone:
        raise Finding(f"{', '.join(gone)} died", f"look at {install.data_dir() / 'logs' / (gone[0] + '.log')}")
    return ", ".join(f"{row['name']} {row['memory_mb']} MB" for row in rows)


def port(patient: Patient) -> str:
    """Check that it is Routex that answers on the port."""
    url = install.server_url()
    try:
        patient.health = install.call("GET", "/health", is_public=True)
    except Failure as failure:
        raise Finding(failure.message, failure.next_command or START) from failure
    if not isinstance(patient.health, dict) or "version" not in patient.health:
        patient.health = None
        raise Finding(f"something else answers at {url}", "ROUTEX_PORT=8090 ./routex up")
    return f"Routex {patient.health['version']} at {url}"


def postgres(patient: Patient) -> str:
    """Check that PostgreSQL takes connections."""
    import psycopg

    known = patient.known_settings()
    url = known.database_url
    if known.is_embedded_database:
        from routex_site.embedded import postgres as embedded

        server = embedded.running(known.data_dir)
        if server is None:
            raise Finding("the embedded PostgreSQL does not run", START)
        url = server.url
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            version = connection.execute("SHOW server_version").fetchone()
    except psycopg.Error as error:
        raise Finding(_first_line(error), "check DATABASE_URL and that the server runs") from error
    patient.database_url = url
    return f"{'embedded' if known.is_embedded_database else 'yours'}, {version[0] if version else '?'}"


def role(patient: Patient) -> str:
    """Check the role that Routex connects as."""
    from routex_site.database_role import role_problem

    with _connected(patient) as connection:
        problem = role_problem(connection)
        name = connection.info.user
    if problem:
        raise Finding(problem.why, f"as a superuser in this database: {problem.sql}")
    return name


def migrations(patient: Patient) -> str:
    """Check that no migration is waiting, in any schema."""
    with patient.django():
        from routex_site.bootstrap.migrations import schemas_behind

        behind = schemas_behind()
    if behind:
        raise Finding(f"migrations wait in {', '.join(behind[:5])}", f"{START} (it migrates first)")
    return "nothing waits"


def credentials(patient: Patient) -> str:
    """Check that the encryption keys open what is sealed."""
    with patient.django():
        from channels_app.engine.vault import CannotUnseal
        from channels_app.models import UpstreamCredential
        from channels_app.secrets import unseal
        from tenants.context import tenant_scope
        from tenants.models import Tenant

        closed, count = [], 0
        for tenant in Tenant.objects.order_by("slug"):
            with tenant_scope(tenant.id):
                for credential in UpstreamCredential.objects.select_related("channel"):
                    count += 1
                    try:
                        unseal(credential.sealed)
                    except CannotUnseal:
                        closed.append(f"{tenant.slug}/{credential.channel.slug}/{credential.slug}")
    if closed:
        raise Finding(
            f"no key in ROUTEX_ENCRYPTION_KEYS opens {', '.join(closed)}",
            "add the key that they were sealed with, or store them again",
        )
    return f"{count} credentials"


def snapshots(patient: Patient) -> str:
    """Check that every tenant's newest configuration compiled and was published."""
    with patient.django():
        from django.db.models import F

        from tenants.context import platform_scope
        from tenants.models import ConfigState

        with platform_scope():
            states = list(ConfigState.objects.select_related("tenant"))
            stale = ConfigState.objects.filter(snapshot_version__lt=F("version"), failed_version__lt=F("version"))
            behind = [state.tenant.slug for state in stale.select_related("tenant")]
    failed = [state for state in states if state.failure]
    if failed:
        raise Finding(
            f"the configuration of {failed[0].tenant.slug} does not compile: {failed[0].failure}",
            "mend that row; the last good configuration serves until then",
        )
    if behind:
        raise Finding(f"not published yet: {', '.join(behind)}", "the worker publishes within 5 s: see that it runs")
    return f"{len(states)} tenants"


def administrator(patient: Patient) -> str:
    """Check that somebody can sign in to the platform."""
    with patient.django():
        from tenants.selectors import administrator_exists

        if administrator_exists():
            return "yes"
        # Not a fault: an install without a console user serves its keys.
        return "not yet; the link that `up` prints makes the first one"


def valkey(patient: Patient) -> str:
    """Check that Valkey answers."""
    import redis

    known = patient.known_settings()
    url = known.redis_url
    if known.is_embedded_valkey:
        from routex_site.embedded import valkey as embedded

        server = embedded.running(known.data_dir)
        if server is None:
            raise Finding("the embedded Valkey does not run", START)
        url = server.url
    try:
        with redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
            client.ping()
    except redis.RedisError as error:
        raise Finding(_first_line(error), "check REDIS_URL and that the server runs") from error
    return "embedded" if known.is_embedded_valkey else "yours"


def gateway(patient: Patient) -> str:
    """Check that the gateway takes requests."""
    if patient.health is None:
        raise Skipped("no Routex answers")
    try:
        install.call("GET", "/readyz", is_public=True)
    except Failure as failure:
        raise Finding(failure.message, f"look at {install.data_dir() / 'logs' / 'web.log'}") from failure
    channels = patient.health.get("channels") or {}
    return f"{channels.get('enabled', 0)} of {channels.get('total', 0)} loaded channels enabled"


def records(patient: Patient) -> str:
    """Check that the request log lost nothing."""
    if patient.health is None:
        raise Skipped("no Routex answers")
    found = patient.health.get("records")
    if found is None:
        raise Skipped("this process is no gateway")
    if found.get("dropped") or found.get("rejected"):
        raise Finding(
            f"{found.get('dropped')} dropped and {found.get('rejected')} rejected since the start",
            f"see that PostgreSQL keeps up, and {install.data_dir() / 'logs' / 'web.log'}",
        )
    if found.get("spill_bytes"):
        raise Finding(f"{found['spill_bytes']} bytes wait in the spill file", "see that PostgreSQL answers")
    return f"{found.get('written', 0)} written, {found.get('waiting', 0)} waiting"


def local_token(patient: Patient) -> str:
    """Check that the management API takes the local token."""
    if patient.health is None:
        raise Skipped("no Routex answers")
    count = len(install.call("GET", "/api/tenants?limit=200")["data"])
    return f"it sees {count} tenants"


def channels(patient: Patient) -> str:
    """Send each enabled channel's own health request, so that a wrong provider key is found and named."""
    if patient.health is None:
        raise Skipped("no Routex answers")
    count, bad = 0, []
    for tenant in install.call("GET", "/api/tenants?limit=200")["data"]:
        slug = str(tenant["slug"])
        for channel in install.call("GET", "/api/channels?limit=200", tenant=slug)["data"]:
            if not channel.get("enabled"):
                continue
            count += 1
            answer = install.call("POST", f"/api/channels/{channel['slug']}/test", tenant=slug, body={})
            if not answer.get("is_up", answer.get("ok", True)):
                bad.append(f"{slug}/{channel['slug']}: {answer.get('detail') or answer.get('error') or 'down'}")
    if bad:
        raise Finding("; ".join(bad), "give the channel another credential or base URL in the console")
    return f"{count} enabled channels answer"


@contextmanager
def _connected(patient: Patient) -> Iterator[psycopg.Connection]:
    import psycopg

    try:
        with psycopg.connect(patient.url(), autocommit=True, connect_timeout=5) as connection:
            yield connection
    except psycopg.Error as error:
        raise Finding(_first_line(error), "check DATABASE_URL and that the server runs") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
