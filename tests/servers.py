"""The servers that tests run against, started before Django reads its settings; loaded as a pytest plugin.

Without DATABASE_URL and REDIS_URL the embedded PostgreSQL and Valkey are started in a temporary folder. With them,
the tests make a database `test_<name>` beside the given one, so the role needs CREATEDB.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from cryptography.fernet import Fernet
from psycopg import sql

from routex_site.embedded import postgres, valkey

_stop: list[Callable[[], None]] = []


def _test_database(url: str) -> str:
    """Drop and create `test_<name>` beside the given database and return its URL."""
    parts = urlsplit(url)
    name = f"test_{parts.path.lstrip('/')}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    test_url = parts._replace(path=f"/{name}").geturl()
    with psycopg.connect(test_url, autocommit=True) as connection:
        connection.execute("GRANT USAGE, CREATE ON SCHEMA public TO routex_writer")
    return test_url


def _allow_databases(folder: Path, url: str) -> None:
    """Let the application's role make databases: some tests start from an empty one."""
    password = (folder / "postgres" / "superuser-password").read_text().strip()
    parts = urlsplit(url)
    admin_url = f"postgresql://{postgres.SUPERUSER}:{password}@{parts.hostname}:{parts.port}{parts.path}"
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("ALTER ROLE routex_app CREATEDB")


def _start() -> None:
    folder = Path(tempfile.mkdtemp(prefix="routex-tests-"))
    _stop.append(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["ROUTEX_DATA_DIR"] = str(folder)
    os.environ.setdefault("ROUTEX_SECRET_KEY", secrets.token_urlsafe(32))
    os.environ.setdefault("ROUTEX_ENCRYPTION_KEYS", Fernet.generate_key().decode())
    if os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = _test_database(os.environ["DATABASE_URL"])
    else:
        database = postgres.start(folder)
        _stop.append(database.stop)
        os.environ["DATABASE_URL"] = database.url
        _allow_databases(folder, database.url)
    if not os.environ.get("REDIS_URL"):
        cache = valkey.start(folder)
        _stop.append(cache.stop)
        os.environ["REDIS_URL"] = cache.url


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started, last first."""
    while _stop:
        _stop.pop()()


_start()
