"""Secrets that Routex makes for itself and keeps 0600 in the data folder."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from routex_site.embedded.process import StartError, explained
from routex_site.settings.env import Environment

SECRET_KEY, ENCRYPTION_KEYS, LOCAL_TOKEN = "secret-key", "encryption-keys", "local-token"  # file names


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the processes of one install share."""

    secret_key: str = field(repr=False)
    encryption_keys: tuple[str, ...] = field(repr=False)
    local_token: str = field(repr=False)


def secrets_complete(*, settings: Environment, has_database: bool) -> Secrets:
    """Return the operator's secrets, with those left unset read from the data folder or made there.

    Args:
        settings: the checked environment.
        has_database: whether the embedded database exists already, so that something may be sealed in it.

    Raises:
        StartError: the key that opens the sealed credentials is gone, or the folder cannot be written.
    """
    folder = settings.data_dir
    keys = folder / ENCRYPTION_KEYS
    with explained(folder):
        if not settings.encryption_keys and has_database and not read_secret(keys):
            # A fresh key would start happily and make every stored credential unreadable.
            raise StartError(
                f"{keys} is missing, but the database beside it may hold credentials sealed with that key. "
                "Put the file back or set ROUTEX_ENCRYPTION_KEYS to the same key."
            )
        return Secrets(
            secret_key=settings.secret_key or kept_secret(folder / SECRET_KEY),
            encryption_keys=settings.encryption_keys or tuple(kept_secret(keys, make=fernet_key).split()),
            local_token=kept_secret(folder / LOCAL_TOKEN),
        )


def local_token(data_dir: Path) -> str:
    """Return the token by which the command line proves that it may read this data folder; empty before a start."""
    return read_secret(data_dir / LOCAL_TOKEN)


def random_text() -> str:
    """Return 256 random bits that need no quoting in a URL or a configuration file."""
    return secrets.token_urlsafe(32)


def fernet_key() -> str:
    """Return a new key in the form that cryptography's Fernet takes."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode("ascii")


def read_secret(path: Path) -> str:
    """Return what a secret file holds, or an empty string."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def kept_secret(path: Path, *, make: Callable[[], str] = random_text) -> str:
    """Return what the file holds, made on first use; a file that others may read is closed to them."""
    secret = read_secret(path)
    if not secret:
        secret = make()
        write_private(path, secret + "\n")
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)  # a restored backup often comes back readable to all
    return secret


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; it is never seen half-written."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
