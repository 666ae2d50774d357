"""The vault: what is sealed opens with the right keys only, and nothing that it says shows a secret."""

import traceback

import pytest
from cryptography.fernet import Fernet

from channels_app.engine.vault import CannotUnseal, Vault

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


def test_what_is_sealed_is_unreadable_and_opens_again():
    sealed = Vault([NEW]).seal("sk-secret-ü")
    assert "secret" not in sealed
    assert Vault([NEW]).unseal(sealed) == "sk-secret-ü"


def test_sealing_twice_gives_different_texts():
    vault = Vault([NEW])
    assert vault.seal("same") != vault.seal("same")


def test_an_older_key_still_opens_and_rotation_frees_it():
    sealed = Vault([OLD]).seal("sk")
    both = Vault([NEW, OLD])
    assert both.unseal(sealed) == "sk"
    assert Vault([NEW]).unseal(both.rotate(sealed)) == "sk"


@pytest.mark.parametrize("verb", ["unseal", "rotate"])
def test_a_credential_of_another_key_is_refused_with_what_to_do(verb):
    sealed = Vault([OLD]).seal("sk-secret")
    with pytest.raises(CannotUnseal, match="store the credential again") as caught:
        getattr(Vault([NEW]), verb)(sealed)
    shown = "".join(traceback.format_exception(caught.value))
    assert sealed not in shown and NEW not in shown


def test_a_changed_credential_is_refused():
    sealed = Vault([NEW]).seal("sk")
    with pytest.raises(CannotUnseal):
        Vault([NEW]).unseal(sealed[:-6] + "AAAAA=")
    with pytest.raises(CannotUnseal):
        Vault([NEW]).unseal("")


def test_a_bad_key_is_named_by_its_place_and_never_shown():
    bad = "#".join("mistyped")
    with pytest.raises(ValueError, match="Key 2 of") as caught:
        Vault([NEW, bad])
    assert bad not in "".join(traceback.format_exception(caught.value))


def test_no_key_at_all_is_refused():
    with pytest.raises(ValueError, match="no key to seal"):
        Vault([])


def test_the_vault_shows_no_key():
    assert NEW not in repr(Vault([NEW]))
