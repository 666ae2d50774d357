"""The Celery app and the beat table."""

from __future__ import annotations

import os

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "routex_site.settings.base")

app = Celery("routex")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["tenants", "channels_app", "analytics", "routing"])
app.conf.beat_schedule = {
    "publish stale snapshots": {"task": "routing.tasks.publish_stale_snapshots", "schedule": 5.0},
    # Expiring: a round that takes longer than its turn must not pile up behind itself.
    "check channels": {"task": "channels_app.tasks.check_channels", "schedule": 60.0, "options": {"expires": 55}},
    "roll up usage": {"task": "analytics.tasks.roll_up_usage", "schedule": 60.0},
    "keep partitions": {"task": "analytics.tasks.keep_partitions", "schedule": crontab(minute=7)},
    "back up configurations": {"task": "routing.tasks.back_up_configurations", "schedule": crontab(hour=2, minute=20)},
}
