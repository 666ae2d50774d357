"""Limits from the configuration to the gateways: documents, snapshots, and the keys that carry their own."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from uuid import uuid4

import pytest

from channels_app.services import channel_create
from routing.config_io import ConfigError, config_export, config_import
from routing.engine.document import decode_document
from routing.engine.source import SnapshotSource
from routing.snapshots import DoesNotCompile, compile_tenant
from tenants.context import platform_scope, tenant_scope
from tenants.engine import keys
from tenants.models import ConfigState, Limit, Tenant
from tenants.services import key_issue, limit_delete, limit_set, tenant_create

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant(cast: Any) -> Tenant:
    return tenant_create(slug=f"own-{uuid4().hex[:12]}", name="Own")


def document(slug: str, limits: str, key_limits: str = "[]") -> str:
    return f"""
apiVersion: routex/v1
tenants:
  - slug: {slug}
    keys: [{{slug: ci, limits: {key_limits}}}]
    limits: {limits}
"""


def test_document_names_algorithms_their_options_and_models(tenant):
    text = document(
        tenant.slug,
        '[{kind: requests, limit: 60, model: "gpt-*", algorithm: token_bucket, burst: 9, onOutage: closed},'
        " {kind: requests, limit: 600}, {kind: concurrency, limit: 5}]",
        "[{kind: tokens, limit: 1000, algorithm: leaky_bucket, queue: 7}]",
    )
    config_import(text=text)
    with tenant_scope(tenant.id):
        stored = {(row.scope, row.scope_id[:4], row.algorithm, str(row.options)) for row in Limit.objects.all()}
    assert stored == {
        ("model", "gpt-", "token_bucket", "{'burst': 9, 'on_outage': 'closed'}"),
        ("tenant", "", "sliding_window", "{}"),
        ("key", "key_", "leaky_bucket", "{'queue': 7}"),
    }
    exported = config_export(tenants=[Tenant.objects.get(pk=tenant.id)])
    assert "burst: 9" in exported and "model: gpt-*" in exported and "on_outage: closed" in exported
    assert not config_import(text=exported).has_changes
    assert not config_import(text=text).has_changes


@pytest.mark.parametrize(
    ("limits", "key_limits", "pointer", "told"),
    [
        ("[{kind: requests, limit: 5, burst: 3}]", "[]", "/limits/0", "unknown field"),
        ("[{kind: requests, limit: 5, algorithm: magic}]", "[]", "/limits/0", "no limiter 'magic'"),
        ("[{kind: requests, limit: 5, algorithm: warm_up, cold: 7}]", "[]", "/limits/0", "cold is a share"),
        ("[]", "[{kind: requests, limit: 5, model: m}]", "/keys/0/limits/0/model", "tenant's own list"),
        ("[{kind: requests, limit: 5, model: a}, {kind: requests, limit: 6, model: a}]", "[]", "/limits/1", "twice"),
    ],
)
def test_document_with_a_wrong_limit_is_refused_at_its_place(tenant, limits, key_limits, pointer, told):
    with pytest.raises(ConfigError) as refused:
        config_import(text=document(tenant.slug, limits, key_limits))
    (problem,) = refused.value.problems
    assert problem.pointer == f"/tenants/0{pointer}"
    assert told in problem.message


def test_gateways_get_the_limits_of_tenant_channel_and_models_with_the_snapshot(tenant):
    with tenant_scope(tenant.id):
        channel = channel_create(tenant_id=tenant.id, slug="c", provider="echo", served_models=["m"])
        limit_set(tenant_id=tenant.id, kind="requests", limit=5)
        limit_set(tenant_id=tenant.id, kind="tokens", limit=6, scope="channel", scope_id=channel.id)
        limit_set(
            tenant_id=tenant.id, kind="requests", limit=7, scope="model", scope_id="m*",
            algorithm="token_bucket", options={"burst": 2},
        )  # fmt: skip
        limit_set(tenant_id=tenant.id, kind="requests", limit=8, scope="key", scope_id="key_x")
    with platform_scope():
        limits = decode_document(bytes(ConfigState.objects.get(tenant=tenant).snapshot)).limits
    assert {(spec.scope, spec.limit) for spec in limits} == {("tenant", 5), ("channel", 6), ("model", 7)}
    (of_model,) = (spec for spec in limits if spec.scope == "model")
    assert (of_model.scope_id, of_model.algorithm, of_model.options) == ("m*", "token_bucket", {"burst": 2})


def test_stored_limit_that_no_limiter_takes_does_not_compile(tenant):
    with tenant_scope(tenant.id):
        Limit.objects.create(tenant=tenant, kind="requests", limit=5, algorithm="gone")
        with pytest.raises(DoesNotCompile, match="no limiter 'gone'"):
            compile_tenant(tenant=tenant, version=1)


@pytest.fixture
def source() -> SnapshotSource:
    return SnapshotSource(os.environ["DATABASE_URL"], lambda document: document)  # type: ignore[arg-type,return-value]


def test_key_brings_its_limits_and_every_change_of_them_is_seen(tenant, source):
    with tenant_scope(tenant.id):
        key, secret = key_issue(tenant_id=tenant.id, slug="ci")
        limit = limit_set(tenant_id=tenant.id, kind="requests", limit=5, scope="key", scope_id=key.id)

    def change(limit_now: int | None) -> None:
        with tenant_scope(tenant.id):
            if limit_now is None:
                limit_delete(limit=Limit.objects.get(pk=limit.pk))
            else:
                limit_set(tenant_id=tenant.id, kind="requests", limit=limit_now, scope="key", scope_id=key.id)

    async def read() -> list[int]:
        await source._read_keys()
        principal = source.principal(keys.digest(secret))
        assert principal is not None
        return [spec.limit for spec in principal.limits]

    async def follow() -> list[list[int]]:
        seen = [await read()]
        for limit_now in (6, None):
            await asyncio.to_thread(change, limit_now)
            seen.append(await read())
        await source.stop()
        return seen

    assert asyncio.run(follow()) == [[5], [6], []]
