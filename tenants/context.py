"""THE crossing: run ORM code for one named tenant, or for the platform, from sync or async code.

django-tenants keeps the current tenant on the database connection, which belongs to a thread; "set it, then await"
reads another tenant's rows (ADR 0002). So the scope is entered and left around one synchronous piece of work, in the
thread that runs it, and inside one transaction: `app.tenant`, which row-level security reads, ends with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction
from django_tenants.utils import schema_context

P = ParamSpec("P")
R = TypeVar("R")

#: The value of `app.tenant` that the row policies take for "every tenant".
PLATFORM = "*"
PUBLIC_SCHEMA = "public"


def schema_name(tenant_id: str) -> str:
    """Return the schema of a tenant, which follows from its id: `ten_01J…` → `t_01j…`."""
    return f"t_{tenant_id.removeprefix('ten_').lower()}"


@contextmanager
def _scope(app_tenant: str, schema: str) -> Iterator[None]:
    with transaction.atomic(), schema_context(schema):
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('app.tenant', true)")
            outer = cursor.fetchone()[0] or ""
            cursor.execute("SELECT set_config('app.tenant', %s, true)", [app_tenant])
        yield
        # A rollback to the savepoint restores the setting by itself: after an exception, or when it was asked for.
        if connection.needs_rollback:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tenant', %s, true)", [outer])


@contextmanager
def tenant_scope(tenant_id: str) -> Iterator[None]:
    """Run the block in one transaction that sees one tenant's schema and one tenant's public rows."""
    with _scope(tenant_id, schema_name(tenant_id)):
        yield


@contextmanager
def platform_scope() -> Iterator[None]:
    """Run the block in one transaction that sees the public schema and every tenant's public rows."""
    with _scope(PLATFORM, PUBLIC_SCHEMA):
        yield


def _run_in_own_thread(scope: Callable[[], object], function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    try:
        with scope():  # type: ignore[attr-defined]
            return function(*args, **kwargs)
    finally:
        # A worker thread that kept its connection would strand it: nobody ends this thread's "request".
        if not connection.in_atomic_block:
            connections.close_all()


async def in_tenant(tenant_id: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a synchronous function in a worker thread, for one tenant; the only way from async code to the ORM."""
    return await sync_to_async(_run_in_own_thread, thread_sensitive=False)(
        lambda: tenant_scope(tenant_id), function, *args, **kwargs
    )


async def in_platform(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a synchronous function in a worker thread, for the platform."""
    return await sync_to_async(_run_in_own_thread, thread_sensitive=False)(platform_scope, function, *args, **kwargs)


def cache_key(key: str, key_prefix: str, version: int) -> str:
    """Return the key that Django's cache uses: the connection's schema is part of every one."""
    schema: str = connection.schema_name  # type: ignore[attr-defined]  # django-tenants' wrapper has it
    return f"routex:{schema}:{key_prefix}:{version}:{key}"
