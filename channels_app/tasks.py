"""Periodic health checks of every tenant's channels."""

from __future__ import annotations

import logging

from celery import shared_task

from channels_app.health import tenant_check
from tenants.context import platform_scope
from tenants.models import Tenant

logger = logging.getLogger("routex.health")


@shared_task
def check_channels() -> int:
    """Check the enabled channels of every active tenant, one tenant after the other; return how many."""
    with platform_scope():
        tenants = list(Tenant.objects.filter(state=Tenant.State.ACTIVE))
    checked = 0
    for tenant in tenants:
        try:
            checked += tenant_check(tenant=tenant)
        except Exception:
            # Whatever is wrong with one tenant's rows must not leave the others unwatched.
            logger.exception("channels of tenant %s could not be checked", tenant.slug)
    return checked
