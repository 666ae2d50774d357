"""The tenants of the journeys and their channels, made through the services that the console uses."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from channels_app.services import channel_create
from routing.models import ModelAlias, RoutingPolicy
from tenants.context import tenant_scope
from tenants.models import Tenant
from tenants.services import config_touch, key_issue, tenant_create
from tests.journeys.processes import Upstream

#: Faults are to be seen as they are: one try, and neither breaker nor cooldown.
RAW_FAULTS = {"attempts": 1, "has_cooldown": False, "breaker_failures": 30_000}
#: Provider → what stands after the upstream's address.
PATHS = {"openai": "/v1", "anthropic": "", "gemini": "", "openai-compatible": "/compat/v1"}


@dataclass
class Customer:
    """A tenant with a key; `credentials` are the secrets that only its channels know, by channel."""

    tenant: Tenant
    key: str
    credentials: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.tenant.id)

    @property
    def slug(self) -> str:
        return str(self.tenant.slug)

    @contextmanager
    def scope(self) -> Iterator[None]:
        with tenant_scope(self.id):
            yield

    def add_channel(self, upstream: Upstream, slug: str, provider: str, models: list[Any], **fields: Any) -> None:
        """Add a channel that leads to the fake upstream, with a credential that no other channel has."""
        secret = self.credentials[slug] = f"sk-{self.slug}-{slug}-{secrets.token_hex(8)}"
        with self.scope():
            channel_create(
                tenant_id=self.id,
                slug=slug,
                provider=provider,
                base_url=upstream.url + PATHS[provider],
                served_models=models,
                credentials={"main": secret},
                **fields,
            )

    def set_policy(self, **fields: Any) -> None:
        with self.scope():
            RoutingPolicy.objects.update_or_create(singleton=True, defaults=fields)
            config_touch(tenant_id=self.id)

    def add_alias(self, name: str, target: str) -> None:
        with self.scope():
            ModelAlias.objects.create(name=name, target=target)
            config_touch(tenant_id=self.id)

    def issue_key(self, slug: str, **fields: Any) -> str:
        with self.scope():
            return key_issue(tenant_id=self.id, slug=slug, **fields)[1]


def make_customer(slug: str, **policy: Any) -> Customer:
    """Create a tenant with a key, a policy and no channels; its channels may reach this machine."""
    tenant = tenant_create(slug=slug, name=slug.title(), private_upstreams=["127.0.0.0/8"])
    customer = Customer(tenant, "")
    customer.key = customer.issue_key("journeys")
    # Tests say the same words again and again, which is the same conversation: it would stay where it was.
    customer.set_policy(**({"is_session_enabled": False} | policy))
    return customer


def chat(model: str, text: str = "one two three four five six", **more: Any) -> dict[str, Any]:
    """Return the body of a chat request."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def as_bytes(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()
