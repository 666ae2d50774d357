"""Background work on configuration: republish what a dead process left unpublished, back up every night."""

import logging

from celery import shared_task
from django.db import DatabaseError

from routing import snapshots
from routing.services import backup_create
from tenants.context import tenant_scope
from tenants.models import Tenant

logger = logging.getLogger("routex.tasks")


@shared_task
def publish_stale_snapshots() -> int:
    """Publish snapshots that are behind their configuration."""
    return snapshots.publish_stale()


@shared_task
def back_up_configurations() -> int:
    """Keep each tenant's configuration document of tonight, and return how many were kept."""
    kept = 0
    for tenant in Tenant.objects.order_by("slug"):
        try:
            with tenant_scope(tenant.id):
                backup_create(tenant=tenant, reason="nightly")
        except (DatabaseError, ValueError, TypeError, KeyError, AttributeError):
            # One tenant's odd row must not cost the others their backup.
            logger.exception("the configuration of %s could not be backed up", tenant.slug)
        else:
            kept += 1
    return kept
