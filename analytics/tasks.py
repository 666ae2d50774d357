"""Celery tasks: roll usage up, keep the request log's partitions."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from analytics.services import RETENTION_DAYS, partitions_keep, usage_roll_up


@shared_task
def roll_up_usage() -> int:
    """Roll up what was recorded since the last time; return how many quarters of an hour changed."""
    return usage_roll_up()


@shared_task
def keep_partitions() -> None:
    """Make the partitions of the coming days and drop those past retention."""
    partitions_keep(retention_days=getattr(settings, "RECORD_RETENTION_DAYS", RETENTION_DAYS))
