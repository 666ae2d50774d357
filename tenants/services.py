"""Every write to tenants, keys, tokens, members, limits and quotas; each ends in the audit trail."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from tenants.context import platform_scope, tenant_scope
from tenants.engine import keys
from tenants.limit_checks import check_limit
from tenants.models import (
    AuditEvent,
    ConfigState,
    GatewayKey,
    KeyState,
    Limit,
    ManagementToken,
    Membership,
    Quota,
    Role,
    SetupToken,
    Tenant,
    User,
    everything,
)
from tenants.selectors import administrator_exists, tenant_by_slug
from tenants.signals import config_changed

SYSTEM = "system"
#: The slug of the tenant that an empty install starts with.
FIRST_TENANT = "default"
SETUP_TOKEN_LIFE = dt.timedelta(minutes=30)


class SetupClosed(Exception):
    """`/setup/` cannot be used; the message says why and what to do."""


def audit_record(
    *, tenant_id: str | None, actor: str, action: str, target: Any = None, changes: dict[str, Any] | None = None
) -> AuditEvent:
    """Write one line of the audit trail. Callers mask secrets before they get here."""
    return AuditEvent.objects.create(
        tenant_id=tenant_id,
        actor=actor,
        action=action,
        object_id=str(getattr(target, "pk", "") or "")[:31],  # an alias is its own id, and may be longer
        object_label=str(target or "")[:200],
        changes=changes or {},
    )


def config_touch(*, tenant_id: str) -> None:
    """Say that a tenant's configuration changes in this transaction; snapshots are rebuilt once it commits.

    The version row is the outbox: a process that dies between commit and publishing leaves a version that is ahead
    of its snapshot, and the next reconciliation rebuilds it.
    """
    updated = ConfigState.objects.filter(tenant_id=tenant_id).update(
        version=F("version") + 1, changed_at=timezone.now()
    )
    if not updated:
        ConfigState.objects.create(tenant_id=tenant_id, version=1)
    # robust: the change is committed; a failure to publish is logged and made good by reconciliation.
    transaction.on_commit(lambda: config_changed.send(sender=Tenant, tenant_id=tenant_id), robust=True)


def tenant_create(*, slug: str, name: str, actor: str = SYSTEM, **fields: Any) -> Tenant:
    """Create a tenant with its schema and an empty configuration."""
    tenant = Tenant(slug=slug, name=name, **fields)
    tenant.full_clean(exclude=["schema_name"])
    with platform_scope():
        tenant.save()
    with tenant_scope(tenant.id):
        config_touch(tenant_id=tenant.id)
        audit_record(tenant_id=tenant.id, actor=actor, action="tenant.created", target=tenant)
    return tenant


def tenant_update(*, tenant: Tenant, actor: str = SYSTEM, **fields: Any) -> Tenant:
    """Change a tenant's own fields; runs in the platform's scope or the tenant's."""
    before = {name: getattr(tenant, name) for name in fields}
    for name, value in fields.items():
        setattr(tenant, name, value)
    tenant.full_clean(exclude=["schema_name"])
    tenant.save(update_fields=list(fields))
    changes = {name: [before[name], value] for name, value in fields.items() if before[name] != value}
    config_touch(tenant_id=tenant.id)
    audit_record(tenant_id=tenant.id, actor=actor, action="tenant.updated", target=tenant, changes=changes)
    return tenant


def key_issue(
    *,
    tenant_id: str,
    slug: str,
    actor: str = SYSTEM,
    secret: str = "",
    allowed_models: list[str] | None = None,
    allowed_channels: list[str] | None = None,
    allowed_ips: list[str] | None = None,
    tags: dict[str, str] | None = None,
    expires_at: dt.datetime | None = None,
) -> tuple[GatewayKey, str]:
    """Create a gateway key and return it with its secret, which exists nowhere else afterwards.

    Raises:
        ValueError: a given secret has not the form of a key.
    """
    if secret and not keys.is_well_formed(secret):
        raise ValueError("The given key is not complete: it must be rtx_ and 38 characters with a right checksum.")
    secret = secret or keys.mint()
    key = GatewayKey(
        tenant_id=tenant_id,
        slug=slug,
        digest=keys.digest(secret),
        prefix=keys.display_prefix(secret),
        last_four=secret[-4:],
        allowed_models=allowed_models or everything(),
        allowed_channels=allowed_channels or everything(),
        allowed_ips=allowed_ips or [],
        tags=tags or {},
        expires_at=expires_at,
    )
    key.full_clean()
    key.save()
    audit_record(tenant_id=tenant_id, actor=actor, action="key.created", target=key)
    return key, secret


def key_update(*, key: GatewayKey, actor: str = SYSTEM, **fields: Any) -> GatewayKey:
    """Change a key's name, allow-lists, tags, expiry or state. A revoked key stays revoked.

    Raises:
        ValueError: the key is revoked and the change would make it usable again.
    """
    if key.state == KeyState.REVOKED and fields.get("state", KeyState.REVOKED) != KeyState.REVOKED:
        raise ValueError(f"Key {key.slug} is revoked, which is final. Create a new one.")
    before = {name: getattr(key, name) for name in fields}
    for name, value in fields.items():
        setattr(key, name, value)
    key.full_clean()
    key.save()
    after = {name: getattr(key, name) for name in fields}
    changes = {name: [str(before[name]), str(after[name])] for name in fields if before[name] != after[name]}
    audit_record(tenant_id=key.tenant_id, actor=actor, action="key.updated", target=key, changes=changes)
    return key


def key_revoke(*, key: GatewayKey, actor: str = SYSTEM) -> GatewayKey:
    """Make a key useless for good; gateways refuse it within a second."""
    key.state = KeyState.REVOKED
    key.save(update_fields=["state"])
    audit_record(tenant_id=key.tenant_id, actor=actor, action="key.revoked", target=key)
    return key


def token_issue(
    *,
    tenant_id: str | None,
    slug: str,
    role: str = Role.ADMIN,
    actor: str = SYSTEM,
    secret: str = "",
    expires_at: dt.datetime | None = None,
) -> tuple[ManagementToken, str]:
    """Create a management token, of the platform when `tenant_id` is None, and return it with its secret."""
    secret = secret or keys.mint(keys.MANAGEMENT_TOKEN)
    token = ManagementToken(
        tenant_id=tenant_id,
        slug=slug,
        role=role,
        digest=keys.digest(secret),
        prefix=keys.display_prefix(secret),
        last_four=secret[-4:],
        expires_at=expires_at,
    )
    token.full_clean()
    token.save()
    audit_record(tenant_id=tenant_id, actor=actor, action="token.created", target=token)
    return token, secret


def token_revoke(*, token: ManagementToken, actor: str = SYSTEM) -> ManagementToken:
    """Make a management token useless for good."""
    token.state = KeyState.REVOKED
    token.save(update_fields=["state"])
    audit_record(tenant_id=token.tenant_id, actor=actor, action="token.revoked", target=token)
    return token


def user_create(*, email: str, password: str | None = None, is_platform_admin: bool = False) -> User:
    """Create a local person; without a password they cannot sign in until they set one."""
    user = User(
        email=BaseUserManager.normalize_email(email), is_staff=is_platform_admin, is_superuser=is_platform_admin
    )
    user.set_password(password)
    user.save()
    return user


def setup_token_issue() -> str:
    """Return a new one-time token for `/setup/`, valid for 30 minutes; older ones stop working.

    Raises:
        SetupClosed: an administrator exists already.
    """
    if administrator_exists():
        raise SetupClosed("An administrator exists; sign in at /login/.")
    secret = keys.mint(keys.SETUP_TOKEN)
    with transaction.atomic():
        SetupToken.objects.all().delete()
        SetupToken.objects.create(digest=keys.digest(secret), expires_at=timezone.now() + SETUP_TOKEN_LIFE)
    return secret


def administrator_create(*, email: str, password: str, actor: str = SYSTEM) -> User:
    """Create a platform administrator who also administers the first tenant, where it exists.

    Raises:
        ValidationError: the address is no e-mail address or has an account, or the password is too weak.
    """
    email = BaseUserManager.normalize_email(email.strip())
    validate_email(email)
    validate_password(password, User(email=email))
    with platform_scope():
        if User.objects.filter(issuer="local", email__iexact=email).exists():
            raise ValidationError(f"{email} has an account already.", code="taken")
        user = user_create(email=email, password=password, is_platform_admin=True)
        audit_record(tenant_id=None, actor=actor, action="administrator.created", target=user)
        tenant = tenant_by_slug(slug=FIRST_TENANT)
        if tenant is not None:
            membership_set(tenant_id=tenant.id, user=user, role=Role.ADMIN, actor=actor)
    return user


def setup_complete(*, token: str, email: str, password: str) -> User:
    """Use a set-up token up and create the first administrator; a refused e-mail or password leaves it usable.

    Raises:
        SetupClosed: the token is wrong, used or expired, or an administrator exists.
        ValidationError: see administrator_create.
    """
    with transaction.atomic():
        # The deletion locks the row: of two who hold the same token, one finds it gone.
        used, _ = SetupToken.objects.filter(digest=keys.digest(token), expires_at__gt=timezone.now()).delete()
        if not used or administrator_exists():
            raise SetupClosed("This set-up link was used, has expired or is not complete.")
        return administrator_create(email=email, password=password, actor="setup")


def membership_set(*, tenant_id: str, user: User, role: str, actor: str = SYSTEM) -> Membership:
    """Give a person a role in a tenant, or change it."""
    membership, _ = Membership.objects.update_or_create(tenant_id=tenant_id, user=user, defaults={"role": role})
    audit_record(
        tenant_id=tenant_id, actor=actor, action="membership.set", target=membership, changes={"role": [None, role]}
    )
    return membership


def limit_set(
    *, tenant_id: str, kind: str, limit: int, window_s: int = 60, scope: str = "tenant", scope_id: str = "",
    algorithm: str = "sliding_window", options: dict[str, Any] | None = None, actor: str = SYSTEM,
) -> Limit:  # fmt: skip
    """Set a limit; (scope, kind, window) identifies it, so setting it again changes it and keeps its counters.

    Raises:
        ValidationError: no limiter takes this.
    """
    check_limit(kind=kind, algorithm=algorithm, limit=limit, window_s=window_s, options=options or {})
    row, _ = Limit.objects.update_or_create(
        tenant_id=tenant_id, scope=scope, scope_id=scope_id, kind=kind, window_s=window_s,
        defaults={"limit": limit, "algorithm": algorithm, "options": options or {}},
    )  # fmt: skip
    config_touch(tenant_id=tenant_id)
    audit_record(tenant_id=tenant_id, actor=actor, action="limit.set", target=row)
    return row


def quota_set(
    *, tenant_id: str, kind: str, amount: int, window: str = "month", scope: str = "tenant", scope_id: str = "",
    actor: str = SYSTEM,
) -> Quota:  # fmt: skip
    """Set a quota; (scope, kind, window) identifies it, so setting it again changes it and keeps its counters."""
    row, _ = Quota.objects.update_or_create(
        tenant_id=tenant_id, scope=scope, scope_id=scope_id, kind=kind, window=window, defaults={"amount": amount}
    )
    config_touch(tenant_id=tenant_id)
    audit_record(tenant_id=tenant_id, actor=actor, action="quota.set", target=row)
    return row


def limit_delete(*, limit: Limit, actor: str = SYSTEM) -> None:
    """Take a limit away."""
    audit_record(tenant_id=limit.tenant_id, actor=actor, action="limit.deleted", target=limit)
    config_touch(tenant_id=limit.tenant_id)
    limit.delete()


def quota_delete(*, quota: Quota, actor: str = SYSTEM) -> None:
    """Take a quota away."""
    audit_record(tenant_id=quota.tenant_id, actor=actor, action="quota.deleted", target=quota)
    config_touch(tenant_id=quota.tenant_id)
    quota.delete()
