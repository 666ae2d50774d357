"""Every write to channels and their credentials; each ends in config_touch and the audit trail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from channels_app import channel_checks as checks
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.vault import CannotUnseal
from channels_app.models import Channel, ChannelHealth, UpstreamCredential
from channels_app.secrets import is_newest, reseal, seal
from tenants.services import SYSTEM, audit_record, config_touch

#: What is kept of a channel's health history: the newest so many checks, none older than this.
HEALTH_KEPT = 200
HEALTH_KEPT_FOR = dt.timedelta(days=7)
#: A shorter secret would be half told by its last four characters.
_MIN_CHARS_FOR_LAST_FOUR = 12

#: Credentials by slug. None as the secret means: keep the stored one.
Credentials = Mapping[str, str | None]


@transaction.atomic
def channel_create(
    *, tenant_id: str, actor: str = SYSTEM, credentials: Credentials | None = None, **fields: Any
) -> Channel:
    """Create a channel with its credentials, in the tenant's scope; `fields` are those of the model.

    Raises:
        ValidationError: a field is wrong, the slug is taken, or a credential comes without its secret.
    """
    channel = Channel(**fields)
    channel.full_clean()
    channel.save()
    for slug, secret in (credentials or {}).items():
        if secret is None:
            raise _no_secret(slug)
        _credential_store(channel, slug, secret)
    config_touch(tenant_id=tenant_id)
    changes = {"credentials": [[], _labels(channel)]} if credentials else {}
    audit_record(tenant_id=tenant_id, actor=actor, action="channel.created", target=channel, changes=changes)
    return channel


@transaction.atomic
def channel_update(
    *, tenant_id: str, channel: Channel, actor: str = SYSTEM, credentials: Credentials | None = None, **fields: Any
) -> Channel:
    """Change a channel; given credentials are then all that it has, None leaves them alone.

    A change that changes nothing leaves no trace.

    Raises:
        ValidationError: as `channel_create`, or the channel would send a stored credential to another server.
    """
    old = Channel.objects.get(pk=channel.pk)
    old_labels = _labels(old)
    for name, value in fields.items():
        setattr(channel, name, value)
    channel.full_clean()
    if is_credential_needed_again(old=old, provider=channel.provider, base_url=channel.base_url):
        _require_secrets(channel, credentials)
    if credentials is not None:
        _credentials_replace(channel, credentials)
    labels = _labels(channel)
    changes = {name: [getattr(old, name), getattr(channel, name)] for name in fields}
    changes = {name: pair for name, pair in changes.items() if pair[0] != pair[1]}
    has_new_secret = any(secret is not None for secret in (credentials or {}).values())
    if has_new_secret or labels != old_labels:
        changes["credentials"] = [old_labels, labels]
    if not changes:
        return channel
    channel.save()
    config_touch(tenant_id=tenant_id)
    audit_record(tenant_id=tenant_id, actor=actor, action="channel.updated", target=channel, changes=changes)
    return channel


def channel_enable(*, tenant_id: str, channel: Channel, actor: str = SYSTEM) -> Channel:
    """Let a channel take requests."""
    return channel_update(tenant_id=tenant_id, channel=channel, actor=actor, is_enabled=True)


def channel_disable(*, tenant_id: str, channel: Channel, actor: str = SYSTEM) -> Channel:
    """Keep a channel and give it no requests."""
    return channel_update(tenant_id=tenant_id, channel=channel, actor=actor, is_enabled=False)


@transaction.atomic
def channel_delete(*, tenant_id: str, channel: Channel, actor: str = SYSTEM) -> None:
    """Delete a channel with its credentials and its health history."""
    audit_record(tenant_id=tenant_id, actor=actor, action="channel.deleted", target=channel)
    channel.delete()
    config_touch(tenant_id=tenant_id)


@transaction.atomic
def credential_set(
    *, tenant_id: str, channel: Channel, secret: str, slug: str = "main", actor: str = SYSTEM
) -> UpstreamCredential:
    """Add a credential, or replace the secret of the one with that slug; raises ValidationError."""
    before = _labels(channel)
    credential = _credential_store(channel, slug, secret)
    _credentials_changed(tenant_id, channel, actor, before)
    return credential


@transaction.atomic
def credential_delete(*, tenant_id: str, credential: UpstreamCredential, actor: str = SYSTEM) -> None:
    """Forget a credential."""
    channel = credential.channel
    before = _labels(channel)
    credential.delete()
    _credentials_changed(tenant_id, channel, actor, before)


@transaction.atomic
def credentials_reseal(*, tenant_id: str, actor: str = SYSTEM) -> int:
    """Seal with the newest key whatever an older one sealed, and return how many there were; in the tenant's scope.

    A credential that no key opens is left as it is: `doctor` names it, and a key put back still opens it.
    """
    count = 0
    for credential in UpstreamCredential.objects.select_for_update():
        if is_newest(credential.sealed):
            continue
        try:
            credential.sealed = reseal(credential.sealed)
        except CannotUnseal:
            continue
        credential.save(update_fields=["sealed"])
        count += 1
    if count:
        config_touch(tenant_id=tenant_id)
        audit_record(tenant_id=tenant_id, actor=actor, action="credentials.resealed", changes={"count": count})
    return count


def is_credential_needed_again(*, old: Channel, provider: str, base_url: str) -> bool:
    """Whether this provider and base URL lead to another scheme, host or port than the stored channel's.

    A stored secret must not be sent to a server that whoever changes the URL may own.
    """
    if old.provider not in PROVIDERS:
        return True  # nobody can say where it led
    before = checks.origin(old.base_url, checks.provider_of(old.provider))
    return before != checks.origin(base_url, checks.provider_of(provider))


def health_record(
    *, channel_id: str, is_up: bool, status: int | None = None, detail: str = "", duration_ms: float = 0.0
) -> ChannelHealth:
    """Note one health check and forget the oldest; health is no configuration, so nothing is republished."""
    row = ChannelHealth.objects.create(
        channel_id=channel_id, is_up=is_up, status=status, detail=detail[:500], duration_ms=duration_ms
    )
    history = ChannelHealth.objects.filter(channel_id=channel_id)
    history.filter(at__lt=timezone.now() - HEALTH_KEPT_FOR).delete()
    beyond = history.order_by("-at", "-pk").values_list("pk", flat=True)[HEALTH_KEPT:]
    history.filter(pk__in=list(beyond)).delete()
    return row


def _require_secrets(channel: Channel, credentials: Credentials | None) -> None:
    stored = set(channel.credentials.values_list("slug", flat=True))
    kept = stored if credentials is None else {slug for slug in stored if credentials.get(slug, "") is None}
    if kept:
        raise ValidationError(
            {
                "base_url": ValidationError(
                    "The channel would now lead to another server. Give its credentials again with this change, "
                    f"so that no stored secret is sent there: {', '.join(sorted(kept))}.",
                    code="credential-needed-again",
                )
            }
        )


def _credentials_replace(channel: Channel, credentials: Credentials) -> None:
    channel.credentials.exclude(slug__in=list(credentials)).delete()
    stored = set(channel.credentials.values_list("slug", flat=True))
    for slug, secret in credentials.items():
        if secret is not None:
            _credential_store(channel, slug, secret)
        elif slug not in stored:
            raise _no_secret(slug)


def _credential_store(channel: Channel, slug: str, secret: str) -> UpstreamCredential:
    try:
        secret = checks.clean_secret(secret, checks.provider_of(channel.provider))
    except ValidationError as error:
        raise ValidationError({"credentials": error.error_list}) from None
    credential = channel.credentials.filter(slug=slug).first() or UpstreamCredential(channel=channel, slug=slug)
    credential.sealed = seal(secret)
    credential.last_four = secret[-4:] if len(secret) >= _MIN_CHARS_FOR_LAST_FOUR else ""
    try:
        credential.full_clean()
    except ValidationError as error:
        raise ValidationError({"credentials": error.messages}) from None
    credential.save()
    return credential


def _credentials_changed(tenant_id: str, channel: Channel, actor: str, before: Iterable[str]) -> None:
    channel.save(update_fields=["updated_at"])
    config_touch(tenant_id=tenant_id)
    changes = {"credentials": [list(before), _labels(channel)]}
    audit_record(tenant_id=tenant_id, actor=actor, action="channel.updated", target=channel, changes=changes)


def _labels(channel: Channel) -> list[str]:
    """Return what may be told of the credentials: slug and last four characters."""
    return [str(credential) for credential in UpstreamCredential.objects.filter(channel_id=channel.pk)]


def _no_secret(slug: str) -> ValidationError:
    return ValidationError(
        {"credentials": ValidationError(f"Credential {slug!r} is new and comes without its secret.", code="required")}
    )
