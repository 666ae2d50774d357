"""Reads of a tenant's channels, their health, and the models they serve; all in the tenant's scope."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q, QuerySet

from channels_app.models import Channel, ChannelHealth
from tenants.engine.ids import is_id


def channels_all() -> QuerySet[Channel]:
    """Return every channel with its credentials, in the order in which they are tried."""
    return Channel.objects.prefetch_related("credentials")


def channel_by_reference(*, reference: str) -> Channel | None:
    """Return the channel of an id or a slug, or None."""
    where = Q(pk=reference) if is_id(reference, "chn") else Q(slug=reference)
    return channels_all().filter(where).first()


def health_of(*, channel_id: str) -> QuerySet[ChannelHealth]:
    """Return the health checks of a channel, newest first."""
    return ChannelHealth.objects.filter(channel_id=channel_id).order_by("-at", "-pk")


def health_newest(*, channel_ids: Iterable[str]) -> dict[str, ChannelHealth]:
    """Return the newest health check of each channel that has one."""
    rows = ChannelHealth.objects.filter(channel_id__in=list(channel_ids))
    return {row.channel_id: row for row in rows.order_by("channel_id", "-at").distinct("channel_id")}


def models_served() -> dict[str, list[str]]:
    """Return the public model names of enabled channels, globs left out, each with the slugs of who serves it."""
    served: dict[str, list[str]] = {}
    for channel in Channel.objects.filter(is_enabled=True):
        for entry in channel.served_models:
            name = entry if isinstance(entry, str) else entry["name"]
            if not any(mark in name for mark in "*?["):
                served.setdefault(name, []).append(channel.slug)
    return served
