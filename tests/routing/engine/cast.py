"""Snapshots for engine tests: built from short descriptions, no database."""

from __future__ import annotations

from channels_app.engine.provider import Provider
from routing.engine.document import ChannelSpec, CredentialSpec, ModelSpec, PolicySpec, TenantDocument
from routing.engine.snapshot import Snapshot
from routing.engine.snapshot import build_snapshot as build
from tenants.engine.principal import Principal


class Anything(Provider):
    """Offers one operation at one path."""

    name = "anything"
    label = "Anything"
    base_url = "https://anything.example"
    endpoints = {"openai-chat": "/chat", "anthropic": "/messages"}


def channel(slug, *, models=("m",), credentials=("main",), **fields):
    return ChannelSpec(
        id=f"chn_{slug}",
        slug=slug,
        provider="anything",
        base_url="",
        models=tuple(m if isinstance(m, ModelSpec) else ModelSpec(m, m) for m in models),
        credentials=tuple(CredentialSpec(name, f"sealed {name}") for name in credentials),
        **fields,
    )


def snapshot(*channels, provider=None, policy=None, **fields) -> Snapshot:
    document = TenantDocument(
        version=1, tenant_id="ten_1", slug="acme", channels=channels, policy=policy or PolicySpec(), **fields
    )
    return build(
        document,
        provider=lambda name: provider or Anything(),
        unseal=lambda sealed: sealed.replace("sealed", "secret"),
    )


def principal(**fields) -> Principal:
    return Principal(**({"tenant_id": "ten_1", "key_id": "key_1", "key_slug": "ci"} | fields))
