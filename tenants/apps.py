"""App label and checks; no work at import."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Tenants, people, keys, limits and the audit trail."""

    name = "tenants"
    verbose_name = "Tenants"
