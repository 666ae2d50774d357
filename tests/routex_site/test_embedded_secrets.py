"""Secrets in the data folder."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from routex_site.embedded.process import StartError
from routex_site.embedded.secrets import (
    ENCRYPTION_KEYS,
    LOCAL_TOKEN,
    SECRET_KEY,
    Secrets,
    kept_secret,
    local_token,
    secrets_complete,
    write_private,
)
from routex_site.settings.env import BadSetting, read_environment


def complete(folder: Path, *, has_database: bool = False, **environ: str) -> Secrets:
    return secrets_complete(
        settings=read_environment({"ROUTEX_DATA_DIR": str(folder), **environ}), has_database=has_database
    )


def test_unset_secrets_are_made_once_and_kept_private(tmp_path: Path) -> None:
    assert local_token(tmp_path) == ""
    made = complete(tmp_path)
    assert complete(tmp_path, has_database=True) == made
    assert local_token(tmp_path) == made.local_token
    assert len({made.secret_key, made.local_token, *made.encryption_keys}) == 3
    assert min(len(made.secret_key), len(made.local_token)) >= 40
    sealed = Fernet(made.encryption_keys[0]).encrypt(b"credential")
    assert Fernet(made.encryption_keys[0]).decrypt(sealed) == b"credential"
    for name in (SECRET_KEY, ENCRYPTION_KEYS, LOCAL_TOKEN):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert not any(secret in repr(made) for secret in (made.secret_key, made.local_token, *made.encryption_keys))


def test_secrets_of_the_operator_are_not_written(tmp_path: Path) -> None:
    keys = f"{Fernet.generate_key().decode()},{Fernet.generate_key().decode()}"
    given = complete(tmp_path, ROUTEX_SECRET_KEY="given", ROUTEX_ENCRYPTION_KEYS=keys)
    assert given.secret_key == "given"
    assert given.encryption_keys == tuple(keys.split(","))
    assert [path.name for path in tmp_path.iterdir()] == [LOCAL_TOKEN]


def test_lost_encryption_key_is_not_replaced_beside_a_database(tmp_path: Path) -> None:
    complete(tmp_path)
    (tmp_path / ENCRYPTION_KEYS).unlink()
    with pytest.raises(StartError, match=r"encryption-keys is missing, .* set ROUTEX_ENCRYPTION_KEYS"):
        complete(tmp_path, has_database=True)
    assert not (tmp_path / ENCRYPTION_KEYS).exists()
    key = Fernet.generate_key().decode()
    assert complete(tmp_path, has_database=True, ROUTEX_ENCRYPTION_KEYS=key).encryption_keys == (key,)


def test_encryption_key_of_the_wrong_kind_is_refused_without_showing_it(tmp_path: Path) -> None:
    keys = f"{Fernet.generate_key().decode()},correct-horse-battery"
    with pytest.raises(BadSetting, match="Key 2 of ROUTEX_ENCRYPTION_KEYS is not a Fernet key") as refused:
        complete(tmp_path, ROUTEX_ENCRYPTION_KEYS=keys)
    assert "horse" not in str(refused.value)


def test_restored_secret_that_others_may_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / SECRET_KEY
    path.write_text("restored\n")
    path.chmod(0o644)
    assert kept_secret(path) == "restored"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_failed_write_leaves_the_old_secret(tmp_path: Path) -> None:
    path = tmp_path / SECRET_KEY
    write_private(path, "old\n")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert path.read_text() == "old\n"
    assert [found.name for found in tmp_path.iterdir()] == [SECRET_KEY]
