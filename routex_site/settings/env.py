"""Typed readers for environment variables and *_FILE secrets; a bad value stops the boot."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

Role = Literal["all", "gateway", "console"]
ServerName = Literal["daphne", "uvicorn"]
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Platforms that set one of these expect the web process on 0.0.0.0:$PORT.
PLATFORM_MARKS = ("PORT", "FLY_APP_NAME", "RAILWAY_ENVIRONMENT", "RENDER", "CLAW_ENV")

LOOPBACK = ("127.0.0.0/8", "::1/128")


class BadSetting(Exception):
    """A variable is missing or wrong; the message names it and says what would be right."""


class Reader:
    """Read one environment mapping; every method raises BadSetting with a sentence that names the variable."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ

    def text(self, name: str, default: str = "") -> str:
        """Return the variable with white space trimmed, or the default when unset or empty."""
        return self.environ.get(name, "").strip() or default

    def secret(self, name: str) -> str:
        """Return `NAME`, or the content of the file that `NAME_FILE` points at, or an empty string."""
        path = self.text(f"{name}_FILE")
        if not path:
            return self.text(name)
        if self.text(name):
            raise BadSetting(f"{name} and {name}_FILE are both set; set one of them.")
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise BadSetting(f"{name}_FILE points at {path}, which cannot be read: {error.strerror}.") from error

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number within [low, high]."""
        text = self.text(name)
        if not text:
            return default
        try:
            value = int(text)
        except ValueError:
            raise BadSetting(f"{name} is {text!r}; it takes a whole number from {low} to {high}.") from None
        if not low <= value <= high:
            raise BadSetting(f"{name} is {value}; it takes a whole number from {low} to {high}.")
        return value

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        """Return one of the allowed words."""
        value = self.text(name, default)
        if value not in allowed:
            raise BadSetting(f"{name} is {value!r}; it takes one of: {', '.join(allowed)}.")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return a boolean written as 1/0, true/false, yes/no or on/off."""
        text = self.text(name).lower()
        if not text:
            return default
        if text in {"1", "true", "yes", "on"}:
            return True
        if text in {"0", "false", "no", "off"}:
            return False
        raise BadSetting(f"{name} is {text!r}; it takes true or false.")

    def url(self, name: str, schemes: tuple[str, ...]) -> str:
        """Return a URL with one of the schemes, or an empty string. The value may hold a password: never shown."""
        value = self.secret(name)
        if value and (urlsplit(value).scheme not in schemes or not urlsplit(value).netloc):
            raise BadSetting(f"{name} is not a URL of the form {schemes[0]}://….")
        return value

    def networks(self, name: str) -> tuple[IPNetwork, ...]:
        """Return a comma-separated list of address ranges."""
        found: list[IPNetwork] = []
        for part in self.text(name).replace(" ", ",").split(","):
            if not part:
                continue
            try:
                found.append(ipaddress.ip_network(part, strict=False))
            except ValueError:
                raise BadSetting(f"{name} holds {part!r}, which is not an address range such as 10.0.0.0/8.") from None
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the operator set, checked. Secrets are empty when the embedded default is to make them."""

    host: str
    port: int
    data_dir: Path
    database_url: str
    redis_url: str
    secret_key: str
    encryption_keys: tuple[str, ...]
    server: ServerName
    workers: int
    role: Role
    max_body_bytes: int
    #: How long what a process drew from a quota is its own without being renewed.
    quota_lease_s: int
    #: What quotas reserve for an answer whose request sets no limit; None: all that its model can write.
    default_output_tokens: int | None
    config_path: str
    admin_email: str
    admin_password: str
    bootstrap_key: str
    private_upstreams: tuple[IPNetwork, ...]
    #: The supervisor started PostgreSQL on this machine and handed its URL to this process.
    is_local_install: bool
    base_url: str
    allowed_hosts: tuple[str, ...]
    debug: bool

    @property
    def is_embedded_database(self) -> bool:
        """Whether Routex starts its own PostgreSQL."""
        return not self.database_url

    @property
    def is_embedded_valkey(self) -> bool:
        """Whether Routex starts its own Valkey."""
        return not self.redis_url

    @property
    def public_url(self) -> str:
        """The URL that people and clients type, without a trailing slash."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 compared, not bound
        return self.base_url.rstrip("/") or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def own_listeners(self) -> list[tuple[str, int]]:
        """Where Routex and its servers listen: no channel may reach these, whatever was granted."""
        listeners = [(self.host, self.port)]
        for url, port in ((self.database_url, 5432), (self.redis_url, 6379)):
            parts = urlsplit(url)
            if parts.hostname:
                listeners.append((parts.hostname, parts.port or port))
        return listeners

    def networks_of(self, slug: str, granted: Iterable[str]) -> tuple[str, ...]:
        """Return the private ranges that a tenant's channels may reach: its own grants and everyone's."""
        networks = (*granted, *map(str, self.private_upstreams))
        # So that Ollama and vLLM on the same machine work out of the box.
        return (*networks, *LOOPBACK) if self.is_local_install and slug == "default" else networks


def read_environment(environ: Mapping[str, str] | None = None) -> Environment:
    """Return the checked environment.

    Raises:
        BadSetting: a value is wrong, or a secret is missing where Routex may not make one.
    """
    read = Reader(os.environ if environ is None else environ)
    on_platform = any(read.text(mark) for mark in PLATFORM_MARKS)
    settings = Environment(
        host=read.text("ROUTEX_HOST", "0.0.0.0" if on_platform else "127.0.0.1"),  # noqa: S104 platforms route to it
        port=read.integer("ROUTEX_PORT", read.integer("PORT", 8080, low=1, high=65535), low=1, high=65535),
        data_dir=Path(read.text("ROUTEX_DATA_DIR", "data")).expanduser().absolute(),
        database_url=read.url("DATABASE_URL", ("postgresql", "postgres")),
        redis_url=read.url("REDIS_URL", ("redis", "rediss", "valkey", "valkeys")),
        secret_key=read.secret("ROUTEX_SECRET_KEY"),
        encryption_keys=tuple(key for key in read.secret("ROUTEX_ENCRYPTION_KEYS").replace(",", " ").split() if key),
        server=read.choice("ROUTEX_SERVER", "daphne", get_args(ServerName)),  # type: ignore[arg-type]
        workers=read.integer("ROUTEX_WORKERS", 1, low=1, high=64),
        role=read.choice("ROUTEX_ROLE", "all", get_args(Role)),  # type: ignore[arg-type]
        max_body_bytes=read.integer("ROUTEX_MAX_BODY_MB", 32, low=1, high=1024) * 1024 * 1024,
        quota_lease_s=read.integer("ROUTEX_QUOTA_LEASE_S", 60, low=2, high=3600),
        default_output_tokens=read.integer("ROUTEX_DEFAULT_OUTPUT_TOKENS", 0, low=0, high=1_000_000) or None,
        config_path=read.text("ROUTEX_CONFIG"),
        admin_email=read.text("ROUTEX_ADMIN_EMAIL"),
        admin_password=read.secret("ROUTEX_ADMIN_PASSWORD"),
        bootstrap_key=read.secret("ROUTEX_BOOTSTRAP_KEY"),
        private_upstreams=read.networks("ROUTEX_ALLOW_PRIVATE_UPSTREAMS"),
        is_local_install=read.flag("ROUTEX_LOCAL_INSTALL", default=False),
        base_url=read.text("ROUTEX_BASE_URL"),
        allowed_hosts=tuple(read.text("ROUTEX_ALLOWED_HOSTS").replace(",", " ").split()),
        debug=read.flag("ROUTEX_DEBUG", default=False),
    )
    if bool(settings.admin_email) != bool(settings.admin_password):
        raise BadSetting("ROUTEX_ADMIN_EMAIL and ROUTEX_ADMIN_PASSWORD go together; one of them is missing.")
    for place, key in enumerate(settings.encryption_keys, start=1):
        if not _is_fernet_key(key):
            raise BadSetting(  # the key itself is never shown
                f"Key {place} of ROUTEX_ENCRYPTION_KEYS is not a Fernet key: "
                "32 bytes in URL-safe base 64, which are 44 characters."
            )
    made_here = settings.is_embedded_database and not on_platform
    for name, value in (
        ("ROUTEX_SECRET_KEY", settings.secret_key),
        ("ROUTEX_ENCRYPTION_KEYS", settings.encryption_keys),
    ):
        if not value and not made_here:
            raise BadSetting(f"{name} is not set. Only the embedded default makes it by itself; set it or {name}_FILE.")
    return settings


def _is_fernet_key(key: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(key)) == 32
    except (binascii.Error, ValueError):
        return False
