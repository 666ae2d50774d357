"""Background work on configuration: republish what a dead process left unpublished."""

from celery import shared_task

from routing import snapshots


@shared_task
def publish_stale_snapshots() -> int:
    """Publish snapshots that are behind their configuration."""
    return snapshots.publish_stale()
