"""The cast: Alice administers Acme, Bob views it, Charlie administers Rival and is the outsider everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
import uvloop
from django.core.management import call_command
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings

from tenants.context import platform_scope, tenant_scope
from tenants.models import Tenant, User
from tenants.services import key_issue, membership_set, tenant_create, token_issue, user_create

PASSWORD = "correct horse battery"

# No property fails for being slow on a busy machine: speed is measured by the bench.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run asynchronous tests on the event loop of servers; asyncio's own forgives more, as what its handles can say."""
    return {"uvloop": uvloop.new_event_loop}


@dataclass(frozen=True)
class Cast:
    """Two tenants and their people, keys and tokens; made once, so tests must not change them."""

    acme: Tenant
    rival: Tenant
    alice: User
    bob: User
    charlie: User
    acme_key: str
    rival_key: str
    acme_token: str
    rival_token: str


def _empty_public_tables() -> None:
    """Start from nothing even when the database was used before."""
    with platform_scope(), connection.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM tenants_tenant")
        for (schema,) in cursor.fetchall():
            cursor.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        cursor.execute("TRUNCATE tenants_tenant, tenants_user CASCADE")


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: pytest.FixtureRequest) -> None:
    """Migrate the session's own database; schemas of tenants are made by whoever makes tenants."""
    # A test that really commits (transaction=True) would otherwise truncate every table, the shared cast included:
    # such tests remove what they make.
    TransactionTestCase._fixture_teardown = lambda self: None  # type: ignore[method-assign]
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        call_command("migrate_schemas", shared=True, verbosity=0)


@pytest.fixture(scope="session")
def cast(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[Cast]:
    """Return the two tenants with their people, committed, shared by the whole session."""
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        _empty_public_tables()
        tenants = {slug: tenant_create(slug=slug, name=slug.title()) for slug in ("acme", "rival")}
        people = {
            name: user_create(email=f"{name}@example.com", password=PASSWORD) for name in ("alice", "bob", "charlie")
        }
        secrets: dict[str, str] = {}
        for slug, tenant in tenants.items():
            with tenant_scope(tenant.id):
                secrets[f"{slug}_key"] = key_issue(tenant_id=tenant.id, slug="cast")[1]
                secrets[f"{slug}_token"] = token_issue(tenant_id=tenant.id, slug="cast")[1]
        for slug, name, role in (("acme", "alice", "admin"), ("acme", "bob", "viewer"), ("rival", "charlie", "admin")):
            with tenant_scope(tenants[slug].id):
                membership_set(tenant_id=tenants[slug].id, user=people[name], role=role)
        yield Cast(**tenants, **people, **secrets)
        _empty_public_tables()
