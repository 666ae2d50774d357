"""The start's step: an empty database becomes an install, a second start changes nothing, two at once do no harm."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from cryptography.fernet import Fernet
from psycopg import sql

from channels_app.models import Channel, UpstreamCredential
from channels_app.secrets import unseal
from routex_site.bootstrap.steps import (
    ECHO_MODELS,
    Refused,
    administrator_ensure,
    credentials_renew,
    document_apply,
    first_tenant_ensure,
    key_channels_ensure,
    local_token_ensure,
    prepare,
)
from routex_site.database_role import role_problem
from routex_site.settings.env import Environment, read_environment
from tenants.context import platform_scope, tenant_scope
from tenants.engine import keys
from tenants.models import ManagementToken, Tenant, User
from tenants.selectors import key_by_secret, setup_is_open, tenant_by_slug, token_by_secret
from tenants.services import tenant_create


def environment(**fields) -> Environment:
    return dataclasses.replace(read_environment(), **fields)


# --- the whole step, as the supervisor runs it


@pytest.fixture(scope="module")
def empty_database() -> Iterator[str]:
    parts = urlsplit(os.environ["DATABASE_URL"])
    name = sql.Identifier(f"{parts.path.lstrip('/')}_boot")
    url = parts._replace(path=f"{parts.path}_boot").geturl()
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield url
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def start(url: str, folder) -> subprocess.Popen[str]:
    env = os.environ | {"DATABASE_URL": url, "ROUTEX_DATA_DIR": str(folder)}
    env |= {"DJANGO_SETTINGS_MODULE": "routex_site.settings.base", "OPENAI_API_KEY": "", "ANTHROPIC_API_KEY": ""}
    return subprocess.Popen(
        [sys.executable, "-m", "routex_site.bootstrap"],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_an_empty_database_becomes_an_install_even_when_two_starts_meet(empty_database, tmp_path):
    refused = start(empty_database, tmp_path)
    _, said = refused.communicate(timeout=60)
    assert refused.returncode == 1 and "GRANT USAGE, CREATE ON SCHEMA public TO routex_writer" in said

    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("GRANT USAGE, CREATE ON SCHEMA public TO routex_writer")
    both = [start(empty_database, tmp_path) for _ in range(2)]
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    facts = sorted((json.loads(output) for output, _ in answers), key=lambda fact: fact["is_first_start"])
    assert [fact["is_first_start"] for fact in facts] == [False, True]
    assert all(output.count("\n") == 1 for output, _ in answers), "one line, nothing between the facts and the reader"
    assert facts[1]["migrated"] == 1 and facts[0]["migrated"] == 0
    secret, token = facts[1]["tenant_key"], (tmp_path / "local-token").read_text().strip()
    assert all(secret not in words and token not in words for _, words in answers), "a log may keep standard error"

    with psycopg.connect(empty_database) as connection:
        connection.execute("SELECT set_config('app.tenant', '*', true)")
        one = connection.execute("SELECT slug, digest FROM tenants_gatewaykey").fetchall()
        assert one == [("first", keys.digest(secret))]
        state = connection.execute("SELECT version, snapshot_version FROM tenants_configstate").fetchall()
        assert state[0][0] == state[0][1] > 0, "the gateway finds a published snapshot"


# --- its parts


@pytest.fixture
def empty(cast, db) -> Iterator[None]:
    """An install without tenants and administrators; the test's rollback brings the cast back."""
    with platform_scope():
        Tenant.objects.all().delete()
        User.objects.all().delete()
    yield


def test_the_first_tenant_answers_echo_with_a_key_that_works(empty):
    facts = first_tenant_ensure(environment())
    key = key_by_secret(secret=facts["tenant_key"])
    assert key is not None and key.tenant.slug == facts["tenant"] == "default"
    with tenant_scope(key.tenant_id):
        channel = Channel.objects.get()
    assert (channel.provider, channel.served_models) == ("echo", list(ECHO_MODELS))
    assert first_tenant_ensure(environment()) == {"is_first_start": False}


def test_the_first_key_may_be_given(empty):
    given = keys.mint()
    assert first_tenant_ensure(environment(bootstrap_key=given))["tenant_key"] == given
    assert key_by_secret(secret=given) is not None


def test_a_given_key_that_is_none_is_refused_without_repeating_it(empty):
    with pytest.raises(Refused, match="ROUTEX_BOOTSTRAP_KEY") as caught:
        first_tenant_ensure(environment(bootstrap_key="sk-not-ours"))
    assert "sk-not-ours" not in str(caught.value)
    assert not Tenant.objects.exists()


def test_without_an_administrator_every_start_gives_a_new_set_up_token(empty):
    first, second = (administrator_ensure(environment())["setup_token"] for _ in range(2))
    assert setup_is_open(token=second) and not setup_is_open(token=first)


def test_the_given_administrator_is_made_once(empty):
    first_tenant_ensure(environment())
    given = environment(admin_email="ann@example.com", admin_password="correct horse battery")
    assert administrator_ensure(given) == {"administrator": "ann@example.com"}
    assert administrator_ensure(given) == {}
    assert User.objects.get(is_superuser=True).email == "ann@example.com"


def test_a_weak_password_is_refused_with_its_reason(empty):
    with pytest.raises(Refused, match="ROUTEX_ADMIN_PASSWORD") as caught:
        administrator_ensure(environment(admin_email="ann@example.com", admin_password="12345"))
    assert "12345" not in str(caught.value)


def test_the_local_token_reaches_the_platform_and_is_the_owners_alone(cast, db, tmp_path):
    path = tmp_path / "local-token"
    path.write_text("random-text-that-is-no-token")
    local_token_ensure(tmp_path)
    secret = path.read_text().strip()
    token = token_by_secret(secret=secret)
    assert token is not None and token.tenant_id is None
    assert path.stat().st_mode & 0o777 == 0o600
    local_token_ensure(tmp_path)
    assert path.read_text().strip() == secret
    with platform_scope():
        assert ManagementToken.objects.filter(tenant=None).count() == 1


def test_a_lost_token_file_makes_the_old_token_useless(cast, db, tmp_path):
    local_token_ensure(tmp_path)
    old = (tmp_path / "local-token").read_text().strip()
    (tmp_path / "local-token").unlink()
    local_token_ensure(tmp_path)
    assert token_by_secret(secret=old) is None


@pytest.fixture
def default(cast, db) -> Tenant:
    return tenant_create(slug="default", name="Default")


def test_provider_keys_become_channels_while_there_is_none_but_echo(default):
    environ = {"DEFAULT_ANTHROPIC_KEY": "sk-ant-1", "OPENAI_API_KEY": "sk-${env:HOME}", "OPENROUTER_API_KEY": "sk-or-1"}
    assert key_channels_ensure(environ) == ["anthropic", "openai", "openrouter"]
    with tenant_scope(default.id):
        stored = {row.channel.slug: unseal(row.sealed) for row in UpstreamCredential.objects.select_related("channel")}
        assert stored == {"anthropic": "sk-ant-1", "openai": "sk-${env:HOME}", "openrouter": "sk-or-1"}
        assert {row.slug for row in Channel.objects.all() if row.slug != row.provider} == set()
    assert key_channels_ensure({"GEMINI_API_KEY": "AIza-1"}) == [], "a person has taken over"


def test_every_start_seals_credentials_with_the_newest_key(default, settings):
    key_channels_ensure({"OPENAI_API_KEY": "sk-1"})
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.ENCRYPTION_KEYS]
    assert credentials_renew() == 1
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    with tenant_scope(default.id):
        assert [unseal(row.sealed) for row in UpstreamCredential.objects.all()] == ["sk-1"]


def test_without_provider_keys_no_channel_appears(default):
    assert key_channels_ensure({"OPENAI_API_KEY": " "}) == []


def test_the_configuration_document_is_applied_at_every_start(default, tmp_path):
    path = tmp_path / "routex.yaml"
    path.write_text("apiVersion: routex/v1\ntenants: [{slug: default, name: '${env:NAME}', keys: [{slug: ci}]}]")
    given = environment(config_path=str(path), data_dir=tmp_path / "data")
    first = document_apply(given, {"NAME": "Shop"})
    assert first["made_keys"].keys() == {"default/ci"} and "objects" not in first
    assert tenant_by_slug(slug="default").name == "Shop"
    second = document_apply(given, {"NAME": "Shop"})
    assert (second["created"], second["changed"], second["made_keys"]) == (0, 0, {})


def test_a_wrong_document_stops_the_start_and_names_the_line(default, tmp_path):
    path = tmp_path / "routex.yaml"
    path.write_text("apiVersion: routex/v1\ntenants:\n  - {slug: default, nmae: x}\n")
    with pytest.raises(Refused, match="line 3") as caught:
        document_apply(environment(config_path=str(path)), {})
    assert str(path) in str(caught.value)


def test_a_database_that_is_not_there_is_named_without_its_password():
    with pytest.raises(Refused, match=r"127\.0\.0\.1:1 ") as caught:
        prepare(environment(database_url="postgresql://routex:hidden@127.0.0.1:1/routex"))
    assert "hidden" not in str(caught.value)


# --- the role


class Answers:
    """A connection as roles see it that nobody here may make: facts of the role, then of the writer."""

    def __init__(self, *rows):
        self.rows = list(rows)

    def execute(self, query):
        self.row = self.rows.pop(0)
        return self

    def fetchone(self):
        return self.row


def facts(**other):
    row = {"version": 180_000, "role": "app", "is_super": False, "bypasses": False, "database": "routex"}
    row |= {"may_create": True, "may_use_public": True, "has_writer": True}
    return tuple((row | other).values())


@pytest.mark.parametrize(
    ("rows", "why", "mended_by"),
    [
        ([facts(is_super=True)], "superuser", "CREATE ROLE routex_app"),
        ([facts(bypasses=True)], "BYPASSRLS", 'ALTER ROLE "app" NOBYPASSRLS;'),
        ([facts(may_create=False)], "schemas", 'GRANT CREATE ON DATABASE "routex" TO "app"'),
        ([facts(has_writer=False)], "no role routex_writer", "CREATE ROLE routex_writer NOLOGIN;"),
        ([facts(), (False, False, True)], "cannot act", 'GRANT routex_writer TO "app" WITH INHERIT FALSE, SET TRUE;'),
        ([facts(), (True, True, True)], "inherits", "REVOKE routex_writer"),
        ([facts(version=150_000), (True, True, True)], "inherits", 'NOINHERIT; GRANT routex_writer TO "app";'),
        ([facts(), (True, False, False)], "partitions", "GRANT USAGE, CREATE ON SCHEMA public TO routex_writer;"),
    ],
)
def test_a_role_that_policies_do_not_hold_is_refused_with_what_mends_it(rows, why, mended_by):
    problem = role_problem(Answers(*rows))
    assert problem is not None and why in problem.why and mended_by in problem.sql


def test_the_role_of_the_tests_is_accepted():
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        assert role_problem(connection) is None
