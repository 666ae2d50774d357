"""What a start does to the database, in order: role, migrations, first tenant, configuration, first administrator."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DatabaseError

from analytics.price_books import price_book_ensure
from analytics.services import RETENTION_DAYS, partitions_keep
from channels_app.models import Channel
from channels_app.services import credentials_reseal
from routex_site.bootstrap.migrations import migrate_what_is_behind
from routex_site.database_role import role_problem
from routex_site.settings.env import Environment
from routing.config_io import ConfigError, Report, config_import, report_data
from routing.config_text import quoted_all
from routing.snapshots import publish_stale
from tenants.context import platform_scope, tenant_scope
from tenants.engine import keys
from tenants.models import KeyState, ManagementToken, Tenant
from tenants.selectors import administrator_exists, tenant_by_slug
from tenants.services import FIRST_TENANT, administrator_create, setup_token_issue, token_issue

#: One start at a time; two at once would both find an empty install.
START_LOCK = 7_268_201_143
START_LOCK_WAIT_S = 120
LOCAL_TOKEN_FILE = "local-token"  # noqa: S105 a file's name
LOCAL_TOKEN_SLUG = "local-command-line"  # noqa: S105 a slug
ECHO_MODELS = ("echo", "echo-slow", "echo-400", "echo-429", "echo-500", "echo-529", "echo-cut")

#: Provider keys that people and platforms set: variable → the channel made from it. The first one set wins a slug.
KEY_CHANNELS: Mapping[str, Mapping[str, Any]] = {
    "ANTHROPIC_API_KEY": {"slug": "anthropic", "provider": "anthropic", "models": ["claude-*"]},
    "DEFAULT_ANTHROPIC_KEY": {"slug": "anthropic", "provider": "anthropic", "models": ["claude-*"]},
    "OPENAI_API_KEY": {
        "slug": "openai",
        "provider": "openai",
        "models": ["gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "text-embedding-*", "dall-e-*"],
    },
    "GEMINI_API_KEY": {"slug": "gemini", "provider": "gemini", "models": ["gemini-*"]},
    "OPENROUTER_API_KEY": {
        "slug": "openrouter",
        "provider": "openrouter",
        "models": ["*/*"],
    },
}


class Refused(Exception):
    """The start cannot go on; the message says why and what to do."""


def prepare(environment: Environment | None = None, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Make the database ready, and return the facts for whoever started us; `tenant_key` and the like are secrets.

    Raises:
        Refused: it cannot be made ready.
    """
    environment = environment or settings.ENV
    environ = os.environ if environ is None else environ
    began = time.monotonic()
    try:
        # finders serve the static files from where they lie; the folder only has to be there
        (environment.data_dir / "static").mkdir(parents=True, exist_ok=True)
        with start_lock(environment.database_url) as connection:
            if problem := role_problem(connection):
                raise Refused(str(problem))
            migrated = migrate_what_is_behind()
            # After a long rest today has none.
            partitions_keep(retention_days=getattr(settings, "RECORD_RETENTION_DAYS", RETENTION_DAYS))
            facts: dict[str, Any] = {"migrated": len(migrated), **first_tenant_ensure(environment)}
            facts["prices_stored"] = price_book_ensure()
            local_token_ensure(environment.data_dir)
            if environment.config_path:
                facts["config"] = document_apply(environment, environ)
            facts["channels_made"] = key_channels_ensure(environ)
            facts["credentials_resealed"] = credentials_renew()
            facts |= administrator_ensure(environment)
            facts["snapshots_published"] = publish_stale()
    except (psycopg.Error, DatabaseError) as error:
        raise Refused(f"The database refused: {_first_line(error)}") from error
    except OSError as error:
        raise Refused(f"{error.filename or environment.data_dir} cannot be written: {error.strerror}.") from error
    return facts | {"took_ms": round((time.monotonic() - began) * 1000)}


@contextmanager
def start_lock(database_url: str) -> Iterator[psycopg.Connection]:
    """Hold the lock that lets one start at a time touch the database, on a connection of its own.

    Raises:
        Refused: the database cannot be reached, or another start holds the lock for minutes.
    """
    try:
        connection = psycopg.connect(database_url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as error:
        parts = urlsplit(database_url)
        raise Refused(
            f"PostgreSQL at {parts.hostname}:{parts.port or 5432} cannot be used: {_first_line(error)}. "
            "Check DATABASE_URL, and that the server runs and takes connections from here."
        ) from error
    with connection:
        connection.execute(f"SET lock_timeout = '{START_LOCK_WAIT_S}s'")
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", [START_LOCK])
        except psycopg.errors.LockNotAvailable as error:
            raise Refused(
                f"Another start of Routex has been busy with this database for {START_LOCK_WAIT_S} s. "
                "Wait for it to end, or stop it, and start again."
            ) from error
        yield connection  # closing the connection lets go of the lock


def first_tenant_ensure(environment: Environment) -> dict[str, Any]:
    """Create the first tenant with an echo channel and a key, on an install that has no tenant.

    Raises:
        Refused: the key given for it is not one.
    """
    if Tenant.objects.exists():
        return {"is_first_start": False}
    given = environment.bootstrap_key
    if given and not keys.is_well_formed(given):
        raise Refused(
            "ROUTEX_BOOTSTRAP_KEY is not a complete key: rtx_ and 38 characters with a right checksum. "
            "Leave it unset to have one made."
        )
    report = _applied(
        {
            "slug": FIRST_TENANT,
            "name": "Default",
            "keys": [{"slug": "first", **({"secret": given} if given else {})}],
            "channels": [{"slug": "echo", "provider": "echo", "models": list(ECHO_MODELS)}],
        }
    )
    made = report.made_keys.get(f"{FIRST_TENANT}/first")
    return {"is_first_start": True, "tenant": FIRST_TENANT, "tenant_key": made or given}


def credentials_renew() -> int:
    """Seal every tenant's credentials with the newest key; a key further back may go after this start."""
    count = 0
    for tenant in Tenant.objects.all():
        with tenant_scope(tenant.id):
            count += credentials_reseal(tenant_id=tenant.id)
    return count


def local_token_ensure(data_dir: Path) -> None:
    """Let the token in the data folder reach the platform: who may read the file commands this install.

    A file without a management token in it gets one.
    """
    path = data_dir / LOCAL_TOKEN_FILE
    secret = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    if not keys.is_well_formed(secret, keys.MANAGEMENT_TOKEN):
        secret = keys.mint(keys.MANAGEMENT_TOKEN)
        _write_private(path, secret + "\n")
    with platform_scope():
        stored = ManagementToken.objects.filter(tenant=None, slug=LOCAL_TOKEN_SLUG)
        if stored.filter(digest=keys.digest(secret), state=KeyState.ACTIVE).exists():
            return
        stored.delete()
        token_issue(tenant_id=None, slug=LOCAL_TOKEN_SLUG, secret=secret)


def document_apply(environment: Environment, environ: Mapping[str, str]) -> dict[str, Any]:
    """Apply the document that ROUTEX_CONFIG names, and return what it did.

    Raises:
        Refused: it cannot be read or applied.
    """
    path = Path(environment.config_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Refused(f"ROUTEX_CONFIG names {path}, which cannot be read: {why}.") from error
    try:
        report = config_import(
            text=text, name=path.name, data_dir=environment.data_dir, environ=environ, actor="ROUTEX_CONFIG"
        )
    except ConfigError as error:
        raise Refused(f"{path}, which ROUTEX_CONFIG names, was not applied:\n{error}") from error
    data = report_data(report)
    del data["objects"]
    return data | {"path": str(path), "made_keys": report.made_keys}


def key_channels_ensure(environ: Mapping[str, str]) -> list[str]:
    """Make channels from the provider keys in the environment while the first tenant has none but echo."""
    tenant = tenant_by_slug(slug=FIRST_TENANT)
    if tenant is None:
        return []
    with tenant_scope(tenant.id):
        if Channel.objects.exclude(provider="echo").exists():
            return []
    made: dict[str, dict[str, Any]] = {}
    for variable, channel in KEY_CHANNELS.items():
        secret = environ.get(variable, "").strip()
        if secret and channel["slug"] not in made:
            made[channel["slug"]] = {**channel, "credentials": [{"slug": "main", "api_key": secret}]}
    if made:
        _applied({"slug": FIRST_TENANT, "channels": list(made.values())})
    return list(made)


def administrator_ensure(environment: Environment) -> dict[str, Any]:
    """Make the first administrator, or a one-time token by which a person becomes it in the browser.

    Raises:
        Refused: the given e-mail or password is not acceptable.
    """
    if administrator_exists():
        return {}
    if not environment.admin_email:
        return {"setup_token": setup_token_issue()}
    try:
        administrator_create(email=environment.admin_email, password=environment.admin_password, actor="start")
    except ValidationError as error:
        raise Refused(f"ROUTEX_ADMIN_EMAIL and ROUTEX_ADMIN_PASSWORD: {' '.join(error.messages)}") from error
    return {"administrator": environment.admin_email}


def _applied(tenant: dict[str, Any]) -> Report:
    text = json.dumps({"apiVersion": "routex/v1", "tenants": [quoted_all(tenant)]})
    try:
        return config_import(text=text, format="json", actor="start")
    except ConfigError as error:
        raise Refused(f"The tenant {tenant['slug']} could not be set up:\n{error}") from error


def _write_private(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
