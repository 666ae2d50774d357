"""App label and checks; no work at import."""

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    """Routing of a tenant."""

    name = "routing"
    verbose_name = "Routing"
