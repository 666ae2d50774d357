"""Tenants, people, keys, tokens, limits, quotas, the audit trail and configuration versions: public schema."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import msgspec
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.timezone import now
from django_tenants.models import DomainMixin, TenantMixin

from tenants.context import schema_name
from tenants.engine.ids import PREFIXES, new_id
from tenants.engine.limits import QuotaSpec
from tenants.engine.networks import written_networks

#: Path parts that mean something else; nobody's slug. The one list of reserved slugs.
RESERVED_SLUGS = frozenset(
    {
        "admin",
        "agent",
        "api",
        "client",
        "docs",
        "health",
        "livez",
        "login",
        "logout",
        "me",
        "metrics",
        "new",
        "platform",
    }
    | {"preferences", "public", "readyz", "routex", "setup", "shortcuts", "static", "t", "v1", "v1beta", "ws"}
    | {"test-all"}  # /api/channels/test-all
    | {"enabled", "order"}  # /api/routing/rules/…
)

_slug_form = RegexValidator(
    r"^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$",
    "A slug has 1 to 63 lower-case letters, digits or . _ - and starts and ends with a letter or digit.",
)


def validate_slug(slug: str) -> None:
    """Raise ValidationError unless the slug has the right form and is not reserved."""
    _slug_form(slug)
    if slug in RESERVED_SLUGS:
        raise ValidationError(f"{slug!r} is reserved; choose another slug.", code="reserved")


class IdField(models.CharField):
    """A primary key of the form `<prefix>_<ULID>`, made when the row is."""

    def __init__(self, prefix: str = "", **options: Any) -> None:
        self.prefix = prefix
        if prefix:
            assert prefix in PREFIXES, f"say in tenants/engine/ids.py what {prefix!r} stands for"
            options |= {"primary_key": True, "max_length": 31, "editable": False, "default": partial(new_id, prefix)}
        super().__init__(**options)

    def deconstruct(self) -> Any:
        """Return what a migration writes down: the prefix stands for the rest."""
        name, path, _, _ = super().deconstruct()
        return name, path, [self.prefix], {}


class SlugField(models.CharField):
    """A slug in the form that every Routex object uses."""

    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {"max_length": 63, "validators": [validate_slug]}
        super().__init__(**(defaults | options))


class Tenant(TenantMixin):
    """The customer; owns everything. Its schema holds its channels and routing."""

    class State(models.TextChoices):
        """Whether the tenant's keys are answered."""

        ACTIVE = "active"
        SUSPENDED = "suspended"

    id = IdField("ten")
    slug = SlugField(unique=True)
    name = models.CharField(max_length=200)
    state = models.CharField(max_length=20, choices=State, default=State.ACTIVE)
    suspended_reason = models.CharField(max_length=500, blank=True)
    timezone = models.CharField(max_length=63, default="UTC", help_text="Days and months of reports and quotas.")
    private_upstreams = models.JSONField(
        default=list,
        blank=True,
        help_text="Private address ranges that this tenant's channels may reach, such as 10.0.0.0/8. Platform only.",
    )
    tags = models.JSONField(default=dict, blank=True, help_text="What routing rules may ask for (tenantTag).")
    created_at = models.DateTimeField(default=now, editable=False)

    auto_create_schema = True
    auto_drop_schema = False

    class Meta:
        ordering: ClassVar[list[str]] = ["slug"]

    def __str__(self) -> str:
        return self.slug

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; the schema's name follows from the id and never changes."""
        self.schema_name = schema_name(self.id)
        super().save(0, *args, **kwargs)  # 0: the schema's migrations are not printed


class Domain(DomainMixin):
    """A host name whose pages belong to one tenant."""

    id = IdField("dom")


class User(AbstractUser):
    """A person, known by (issuer, subject) and never matched by e-mail."""

    id = IdField("usr")
    #: "local" for accounts with a password here; otherwise the identity provider that vouches for the subject.
    issuer = models.CharField(max_length=200, default="local", editable=False)
    subject = models.CharField(max_length=200, editable=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["issuer", "subject"], name="user_issuer_subject")]

    def __str__(self) -> str:
        return self.email or self.username

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save; a local person's subject is their own id."""
        self.subject = self.subject or self.id
        self.username = self.username or self.id
        super().save(*args, **kwargs)


class SetupToken(models.Model):
    """The one-time token that opens `/setup/` on an install without an administrator; only the newest is kept."""

    digest = models.BinaryField(max_length=32, unique=True)
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"until {self.expires_at:%H:%M}"


class Role(models.TextChoices):
    """What a person or token may do in a tenant; each role includes the ones after it."""

    ADMIN = "admin", "Admin: everything, members and keys included"
    OPERATOR = "operator", "Operator: channels and routing"
    VIEWER = "viewer", "Viewer: read only"


class Membership(models.Model):
    """A person's role in a tenant."""

    id = IdField("mem")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role, default=Role.VIEWER)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = "member"
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "user"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} · {self.role}"


class KeyState(models.TextChoices):
    """Whether a key or token is honoured. Revoked is final."""

    ACTIVE = "active"
    DISABLED = "disabled"
    REVOKED = "revoked"


def everything() -> list[str]:
    """Return the allow-list that admits all."""
    return ["*"]


class GatewayKey(models.Model):
    """A tenant key. Only its digest is stored; the key itself is shown once."""

    id = IdField("key")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="keys")
    slug = SlugField()
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    prefix = models.CharField(max_length=12, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    state = models.CharField(max_length=20, choices=KeyState, default=KeyState.ACTIVE)
    allowed_models = models.JSONField(default=everything, help_text="Globs of model names that the key may use.")
    allowed_channels = models.JSONField(default=everything, help_text="Globs of channel slugs that the key may use.")
    allowed_ips = models.JSONField(
        default=list, blank=True, help_text="Networks and addresses that the key may be used from; none means all."
    )
    tags = models.JSONField(default=dict, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)
    #: The transaction that wrote the row last: what lets gateways read only the difference (routing/engine/directory).
    written_by = models.BigIntegerField(default=0, editable=False, db_index=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["slug"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "slug"], name="gatewaykey_slug")]

    def __str__(self) -> str:
        return f"{self.slug} ({self.prefix}…{self.last_four})"

    def clean(self) -> None:
        """Bring the networks into their one form; raises ValidationError."""
        try:
            self.allowed_ips = written_networks(self.allowed_ips)
        except ValueError as error:
            raise ValidationError({"allowed_ips": ValidationError(str(error), code="invalid")}) from None


class ManagementToken(models.Model):
    """A token for the management API: of one tenant, or of the platform when it has none."""

    id = IdField("tok")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, blank=True, related_name="tokens")
    slug = SlugField()
    role = models.CharField(max_length=20, choices=Role, default=Role.ADMIN)
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    prefix = models.CharField(max_length=12, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    state = models.CharField(max_length=20, choices=KeyState, default=KeyState.ACTIVE)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["slug"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["tenant", "slug"], name="managementtoken_slug")]

    def __str__(self) -> str:
        return f"{self.slug} ({self.prefix}…{self.last_four})"


class Scope(models.TextChoices):
    """What a limit or quota is counted for."""

    TENANT = "tenant"
    KEY = "key"
    CHANNEL = "channel"


class LimitScope(models.TextChoices):
    """What a limit is counted for: also for models, by a pattern of their public names."""

    TENANT = "tenant"
    KEY = "key"
    CHANNEL = "channel"
    MODEL = "model"


class QuotaScope(models.TextChoices):
    """What a quota is counted for."""

    TENANT = "tenant"
    KEY = "key"
    CHANNEL = "channel"
    TAG = "tag"


class Limit(models.Model):
    """How fast: requests or tokens in a window, or requests at once."""

    class Kind(models.TextChoices):
        """What is counted."""

        REQUESTS = "requests"
        TOKENS = "tokens"
        CONCURRENCY = "concurrency"

    id = IdField("lim")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="limits")
    scope = models.CharField(max_length=20, choices=LimitScope, default=LimitScope.TENANT)
    scope_id = models.CharField(
        max_length=200,
        blank=True,
        help_text="Id of the key or channel, or a pattern of model names; empty for the tenant.",
    )
    kind = models.CharField(max_length=20, choices=Kind)
    algorithm = models.CharField(max_length=30, default="sliding_window")
    limit = models.PositiveBigIntegerField()
    window_s = models.PositiveIntegerField(default=60, help_text="Seconds; ignored for concurrency.")
    #: The limiter's own, such as `burst`; routing/engine/limiters says which there are.
    options = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["scope", "scope_id", "kind", "window_s"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "scope", "scope_id", "kind", "window_s"], name="limit_once")
        ]

    def __str__(self) -> str:
        window = "" if self.kind == self.Kind.CONCURRENCY else f" per {self.window_s} s"
        return f"{self.limit} {self.kind}{window}"


class Quota(models.Model):
    """How much per calendar window in the tenant's time zone. Money is counted in integer nano-USD."""

    class Kind(models.TextChoices):
        """What is counted."""

        USD = "usd"
        TOKENS = "tokens"
        REQUESTS = "requests"

    class Window(models.TextChoices):
        """The calendar window after which counting starts anew."""

        HOUR = "hour"
        DAY = "day"
        WEEK = "week"
        MONTH = "month"
        YEAR = "year"
        EVER = "ever"

    id = IdField("quo")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="quotas")
    scope = models.CharField(max_length=20, choices=QuotaScope, default=QuotaScope.TENANT)
    scope_id = models.CharField(
        max_length=200,
        blank=True,
        help_text="Id of the key or channel, `name=value` of a key's tag; empty for the tenant.",
    )
    kind = models.CharField(max_length=20, choices=Kind)
    amount = models.PositiveBigIntegerField(help_text="Tokens, requests, or nano-USD (1 USD = 1,000,000,000).")
    window = models.CharField(max_length=20, choices=Window, default=Window.MONTH)

    class Meta:
        ordering: ClassVar[list[str]] = ["scope", "scope_id", "kind", "window"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["tenant", "scope", "scope_id", "kind", "window"], name="quota_once")
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.kind} per {self.window}"

    @property
    def spec(self) -> QuotaSpec:
        """Return it as the data plane knows it."""
        return msgspec.convert({name: getattr(self, name) for name in QuotaSpec.__struct_fields__}, QuotaSpec)


class QuotaLease(models.Model):
    """A slice of a quota that a gateway process drew (`ledger_tables.py`); written by the gateways alone.

    Ids are plain texts, not foreign keys: what was spent outlives the quota that it was spent from.
    """

    id = models.TextField(primary_key=True)
    quota_id = models.TextField()
    tenant_id = models.TextField()
    window_start = models.DateTimeField()
    settled = models.BigIntegerField()
    abandoned = models.BigIntegerField()
    written_off = models.BigIntegerField()
    used = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = "quota_lease"

    def __str__(self) -> str:
        return self.id


class AuditEvent(models.Model):
    """One write: who changed what, when. Secrets are masked before they get here."""

    id = IdField("aud")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, blank=True, related_name="audit_events")
    at = models.DateTimeField(default=now, editable=False, db_index=True)
    actor = models.CharField(max_length=200, help_text="E-mail of a person, slug of a token, or `system`.")
    action = models.CharField(max_length=60, help_text="Such as channel.updated.")
    object_id = models.CharField(max_length=31, blank=True)
    object_label = models.CharField(max_length=200, blank=True)
    changes = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-at"]

    def __str__(self) -> str:
        return f"{self.action} {self.object_label}"


class ConfigState(models.Model):
    """A tenant's configuration version and what the gateways load (ADR 6).

    `version` is bumped in the writing transaction, so a crash before publishing loses nothing: whoever finds
    `snapshot_version` behind compiles again. A snapshot that does not compile leaves the last good bytes in place.
    """

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, primary_key=True, related_name="config_state")
    version = models.BigIntegerField(default=0)
    changed_at = models.DateTimeField(default=now)
    snapshot_version = models.BigIntegerField(default=0)
    snapshot = models.BinaryField(default=bytes)
    snapshot_at = models.DateTimeField(null=True)
    failed_version = models.BigIntegerField(default=0)
    failure = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.tenant_id} v{self.version}"
