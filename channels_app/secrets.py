"""Encrypt and decrypt upstream credentials at rest, with the keys of the settings."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from channels_app.engine.vault import Vault


@lru_cache(maxsize=4)
def _vault(keys: tuple[str, ...]) -> Vault:
    return Vault(keys)


def seal(secret: str) -> str:
    """Return what is stored instead of a credential."""
    return _vault(tuple(settings.ENCRYPTION_KEYS)).seal(secret)


def unseal(sealed: str) -> str:
    """Return a stored credential; raises `channels_app.engine.vault.CannotUnseal`."""
    return _vault(tuple(settings.ENCRYPTION_KEYS)).unseal(sealed)


def is_newest(sealed: str) -> bool:
    """Whether a stored credential is sealed with the newest key."""
    return _vault(tuple(settings.ENCRYPTION_KEYS)).is_newest(sealed)


def reseal(sealed: str) -> str:
    """Return a stored credential sealed with the newest key; raises CannotUnseal."""
    return _vault(tuple(settings.ENCRYPTION_KEYS)).rotate(sealed)
