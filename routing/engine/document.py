"""Document: a tenant's configuration as the control plane compiles and stores it; credentials in it are sealed."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import msgspec

from channels_app.engine.rates import PriceOverride
from tenants.engine.limits import LimitSpec, QuotaSpec


class CredentialSpec(msgspec.Struct, frozen=True):
    """A credential as it lies in the snapshot table: sealed."""

    slug: str
    sealed: str


class ModelSpec(msgspec.Struct, frozen=True):
    """A model as clients name it and as the upstream names it. A public name may be a glob."""

    name: str
    upstream: str


class ChannelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A channel in a compiled document."""

    id: str
    slug: str
    provider: str
    base_url: str
    format: str = ""
    credentials: tuple[CredentialSpec, ...] = ()
    models: tuple[ModelSpec, ...] = ()
    priority: int = 0
    weight: int = 1
    is_enabled: bool = True
    connect_s: float = 5.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0
    region: str = ""
    tags: tuple[str, ...] = ()
    #: Names, or {name: options}.
    transformers: tuple[str | dict[str, Any], ...] = ()
    #: In the order in which they are looked through.
    prices: tuple[PriceOverride, ...] = ()

    def price_override(self, model: str, at_s: float) -> PriceOverride | None:
        """Return what the channel says about the price of an upstream model at that time."""
        for override in self.prices:
            if override.from_s <= at_s and (
                fnmatchcase(model, override.model) if override.is_glob else model == override.model
            ):
                return override
        return None


class RuleSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A routing rule: when `condition` holds, `targets` are tried in their order."""

    slug: str
    type: str = "custom"
    #: Condition name → what it asks for; all of them must hold.
    condition: dict[str, Any] = {}
    #: Each says one or more of `channel`, `provider`, `tag`, `model`.
    targets: tuple[dict[str, str], ...] = ()
    priority: int = 0
    is_enabled: bool = True


class PolicySpec(msgspec.Struct, frozen=True, kw_only=True):
    """How a tenant's requests are tried."""

    strategy: str = "priority"
    attempts: int = 3
    #: No try of a request begins later than this after its first; one that is under way may take its time.
    retry_total_s: float = 120.0
    is_session_enabled: bool = True
    is_session_sticky: bool = True
    session_ttl_s: int = 18_000
    session_cleanup_interval_s: int = 300
    breaker_failures: int = 5
    breaker_open_s: float = 60.0
    has_cooldown: bool = True


class TenantDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What the control plane compiles and the gateways load: plain data, credentials still sealed."""

    version: int
    tenant_id: str
    slug: str
    name: str = ""
    is_suspended: bool = False
    suspended_reason: str = ""
    private_upstreams: tuple[str, ...] = ()
    channels: tuple[ChannelSpec, ...] = ()
    aliases: dict[str, str] = {}
    fallbacks: dict[str, tuple[str, ...]] = {}
    policy: PolicySpec = PolicySpec()
    timezone: str = "UTC"
    tags: dict[str, str] = {}
    #: Those of the tenant, its channels and models; a key's own lie with its principal.
    limits: tuple[LimitSpec, ...] = ()
    quotas: tuple[QuotaSpec, ...] = ()
    #: By falling priority.
    rules: tuple[RuleSpec, ...] = ()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(TenantDocument)


def encode_document(document: TenantDocument) -> bytes:
    """Return the bytes that are stored for the gateways."""
    return _encoder.encode(document)


def decode_document(body: bytes) -> TenantDocument:
    """Return the document of stored bytes; raises msgspec.ValidationError when they are not one."""
    return _decoder.decode(body)
