"""Placeholders: for the operator only, never into Routex's own secrets, and never by way of an export."""

from __future__ import annotations

import pytest

from channels_app.models import Channel, UpstreamCredential
from channels_app.secrets import unseal
from routing.config_io import ConfigError, config_export, config_import
from routing.config_text import Parsed, parse, quoted, refuse_placeholders, resolve
from routing.selectors import aliases_by_name
from tenants.context import tenant_scope


def parsed(value: str) -> Parsed:
    return parse(f"value: {value!r}", format="yaml")


def resolved(value: str, tmp_path, **environ: str) -> str:
    return resolve(parsed(value), data_dir=tmp_path / "data", environ=environ).data["value"]


def refusal(value: str, tmp_path, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolved(value, tmp_path, **environ)
    return str(caught.value)


def test_variables_and_files_are_filled_in_anywhere_in_a_text(tmp_path):
    (tmp_path / "key").write_text("sk-file\n")
    assert resolved("a-${env:ONE}-${env:TWO}", tmp_path, ONE="1", TWO="2") == "a-1-2"
    assert resolved(f"${{file:{tmp_path}/key}}", tmp_path) == "sk-file"


def test_what_was_filled_in_is_not_read_again(tmp_path):
    assert resolved("${env:ONE}", tmp_path, ONE="${env:TWO}", TWO="secret") == "${env:TWO}"


@pytest.mark.parametrize(
    "name",
    ["ROUTEX_SECRET_KEY", "ROUTEX_ENCRYPTION_KEYS", "ROUTEX_ANYTHING", "routex_secret_key", "DATABASE_URL", "REDIS_URL",
     "DATABASE_URL_FILE", " ROUTEX_SECRET_KEY "],
)  # fmt: skip
def test_routexs_own_variables_are_refused(name, tmp_path):
    said = refusal(f"${{env:{name}}}", tmp_path, **{name.strip(): "hidden"})
    assert "Routex's own" in said and "hidden" not in said and "line 1" in said


def test_files_of_the_data_folder_are_refused_by_any_way(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "secret-key").write_text("hidden")
    (tmp_path / "link").symlink_to(data / "secret-key")
    for path in (data / "secret-key", tmp_path / "link", tmp_path / "x" / ".." / "data" / "secret-key"):
        assert "no document may read" in refusal(f"${{file:{path}}}", tmp_path)


def test_a_file_that_holds_one_of_routexs_secrets_is_refused(tmp_path):
    (tmp_path / "key").write_text("hidden")
    assert "no document may read" in refusal(
        f"${{file:{tmp_path}/key}}", tmp_path, ROUTEX_SECRET_KEY_FILE=str(tmp_path / "key")
    )


def test_the_processs_own_environment_is_refused(tmp_path):
    assert "no document may read" in refusal("${file:/proc/self/environ}", tmp_path)


def test_what_is_not_there_is_named(tmp_path):
    assert "OPENAI_API_KEY is not set" in refusal("${env:OPENAI_API_KEY}", tmp_path)
    assert "is not there" in refusal(f"${{file:{tmp_path}/none}}", tmp_path)


def test_a_doubled_dollar_means_the_text_itself(tmp_path):
    assert resolved("$${env:HOME}", tmp_path, HOME="/root") == "${env:HOME}"
    assert resolved("$$${file:/x}", tmp_path) == "$${file:/x}"
    assert resolved("costs $5 ${other}", tmp_path) == "costs $5 ${other}"


@pytest.mark.parametrize("text", ["${env:A}", "$${env:A}", "x${file:/a}y", "${env:${env:A}", "$", "${env:", "${}"])
def test_a_quoted_text_comes_back_as_it_was(text, tmp_path):
    assert resolved(quoted(text), tmp_path, A="secret") == text
    assert refuse_placeholders(parsed(quoted(text))).data["value"] == text


@pytest.mark.django_db
def test_a_tenants_document_may_hold_none(cast, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "hidden")
    text = "apiVersion: routex/v1\ntenants: [{slug: acme, name: '${env:OPENAI_API_KEY}'}]"
    with pytest.raises(ConfigError, match="operator") as caught:
        config_import(text=text, only_tenant=cast.acme)
    assert "hidden" not in str(caught.value)


@pytest.mark.django_db
def test_an_operators_document_takes_a_credential_from_the_environment(cast):
    text = (
        "apiVersion: routex/v1\ntenants: [{slug: acme, channels: [{slug: env, provider: openai, models: [m], "
        "credentials: [{api_key: '${env:OPENAI_API_KEY}'}]}]}]"
    )
    config_import(text=text, environ={"OPENAI_API_KEY": "sk-from-the-environment"})
    with tenant_scope(cast.acme.id):
        credential = UpstreamCredential.objects.get(channel=Channel.objects.get(slug="env"))
        assert unseal(credential.sealed) == "sk-from-the-environment"


@pytest.mark.django_db
def test_a_placeholder_that_a_tenant_stored_stays_text_when_the_operator_imports_an_export(cast):
    """Else a tenant could have the operator's next restore read the host's environment for it."""
    text = "apiVersion: routex/v1\ntenants: [{slug: acme, aliases: {smart: '$${env:HOST_SECRET}'}}]"
    config_import(text=text, only_tenant=cast.acme)
    export = config_export(tenants=[cast.acme], is_operator=True)
    config_import(text=export, environ={"HOST_SECRET": "hidden"})
    with tenant_scope(cast.acme.id):
        assert aliases_by_name()["smart"] == "${env:HOST_SECRET}"
