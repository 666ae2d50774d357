"""App label and checks; no work at import."""

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    """Request log and usage of a tenant."""

    name = "analytics"
    verbose_name = "Request log and usage"
