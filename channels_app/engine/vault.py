"""Vault: seals upstream credentials with rotatable Fernet keys and opens them again."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class CannotUnseal(ValueError):
    """No key at hand opens this credential; the text names neither the keys nor what is sealed."""

    def __init__(self) -> None:
        super().__init__(
            "A stored credential opens with none of the keys in ROUTEX_ENCRYPTION_KEYS. "
            "Add the key that it was sealed with, or store the credential again."
        )


class Vault:
    """Seals with the first key, opens with any of them: put a new key in front and seal again to rotate.

    Raises:
        ValueError: there is no key, or one of them is not a Fernet key.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        fernets = [_fernet(key, place) for place, key in enumerate(keys, start=1)]
        if not fernets:
            raise ValueError("ROUTEX_ENCRYPTION_KEYS is empty: there is no key to seal credentials with.")
        self._newest = fernets[0]
        self._fernet = MultiFernet(fernets)

    def __repr__(self) -> str:
        return "Vault(…)"

    def seal(self, secret: str) -> str:
        """Return the text that may be stored."""
        return self._fernet.encrypt(secret.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """Return the secret.

        Raises:
            CannotUnseal: it was sealed with a key that is not here, or changed since.
        """
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise CannotUnseal from None

    def is_newest(self, sealed: str) -> bool:
        """Whether a credential is sealed with the first key, so that the others may go."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    def rotate(self, sealed: str) -> str:
        """Return the same secret sealed with the first key; raises CannotUnseal."""
        try:
            return self._fernet.rotate(sealed).decode()
        except InvalidToken:
            raise CannotUnseal from None


def _fernet(key: str, place: int) -> Fernet:
    try:
        return Fernet(key)
    except ValueError:
        # `from None`: the original error may quote the key.
        raise ValueError(
            f"Key {place} of ROUTEX_ENCRYPTION_KEYS is not a Fernet key: 32 bytes in URL-safe base 64, 44 characters."
        ) from None
