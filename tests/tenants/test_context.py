"""The bridge: every pattern that is known to read another tenant's rows, and that it cannot happen through it."""

from __future__ import annotations

import asyncio

import pytest
from django.db import connection, transaction

from tenants.context import in_platform, in_tenant, platform_scope, tenant_scope
from tenants.models import GatewayKey

pytestmark = pytest.mark.django_db(transaction=True)


def tenants_seen() -> set[str]:
    return set(GatewayKey.objects.values_list("tenant_id", flat=True))


def schema_seen() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        return cursor.fetchone()[0]


def test_without_a_scope_no_row_of_any_tenant_is_seen(cast):
    assert GatewayKey.objects.count() == 0


def test_a_tenant_scope_sees_its_own_rows_only(cast):
    with tenant_scope(cast.acme.id):
        assert tenants_seen() == {cast.acme.id}
        assert schema_seen() == cast.acme.schema_name


def test_the_platform_scope_sees_every_tenant(cast):
    with platform_scope():
        assert {cast.acme.id, cast.rival.id} <= tenants_seen()


def test_leaving_an_inner_scope_restores_the_outer_one(cast):
    with tenant_scope(cast.acme.id):
        with platform_scope():
            assert len(tenants_seen()) >= 2
        assert tenants_seen() == {cast.acme.id}
        assert schema_seen() == cast.acme.schema_name


def test_an_exception_inside_an_inner_scope_restores_the_outer_one(cast):
    with tenant_scope(cast.acme.id):
        with pytest.raises(ZeroDivisionError), tenant_scope(cast.rival.id):
            raise ZeroDivisionError
        assert tenants_seen() == {cast.acme.id}
        assert schema_seen() == cast.acme.schema_name


def test_a_scope_whose_writes_are_taken_back_restores_the_outer_one(cast):
    with tenant_scope(cast.acme.id):
        with tenant_scope(cast.rival.id):
            GatewayKey.objects.update(tags={"half": "done"})
            transaction.set_rollback(True)
        assert tenants_seen() == {cast.acme.id}
        assert schema_seen() == cast.acme.schema_name
    with platform_scope():
        assert not GatewayKey.objects.filter(tags={"half": "done"}).exists()


def test_a_scope_leaves_nothing_behind_on_the_connection(cast):
    with tenant_scope(cast.acme.id):
        tenants_seen()
    assert tenants_seen() == set()
    assert connection.schema_name == "public"


def test_writing_a_row_of_another_tenant_is_refused(cast):
    from django.db.utils import ProgrammingError

    with pytest.raises(ProgrammingError, match="row-level security"), tenant_scope(cast.acme.id):
        GatewayKey.objects.create(
            tenant_id=cast.rival.id, slug="stolen", digest=b"x" * 32, prefix="rtx_", last_four="0000"
        )


@pytest.mark.asyncio
async def test_interleaved_tasks_of_two_tenants_each_see_their_own(cast):
    async def look(tenant):
        seen, schema = await in_tenant(tenant.id, lambda: (tenants_seen(), schema_seen()))
        return tenant.id, seen, schema, tenant.schema_name

    results = await asyncio.gather(*(look(tenant) for _ in range(50) for tenant in (cast.acme, cast.rival)))
    assert all(seen == {tenant_id} and schema == own for tenant_id, seen, schema, own in results)


@pytest.mark.asyncio
async def test_a_thread_used_by_a_tenant_shows_nothing_to_the_next_bare_call(cast):
    await asyncio.gather(*(in_tenant(cast.acme.id, tenants_seen) for _ in range(20)))
    bare = await asyncio.gather(
        *(asyncio.to_thread(lambda: (tenants_seen(), connection.close())[0]) for _ in range(20))
    )
    assert all(seen == set() for seen in bare)


@pytest.mark.asyncio
async def test_a_task_that_outlives_its_caller_keeps_its_own_tenant(cast):
    started = asyncio.Event()

    async def later():
        started.set()
        await asyncio.sleep(0)
        return await in_tenant(cast.rival.id, tenants_seen)

    task = asyncio.create_task(later())
    await started.wait()
    assert await in_tenant(cast.acme.id, tenants_seen) == {cast.acme.id}
    assert await task == {cast.rival.id}


@pytest.mark.asyncio
async def test_the_platform_bridge_sees_every_tenant_and_leaves_nothing(cast):
    assert len(await in_platform(tenants_seen)) >= 2
    assert await asyncio.to_thread(lambda: (tenants_seen(), connection.close())[0]) == set()
