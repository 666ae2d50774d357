"""The site's own label: templates tags, checks; no models."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """Console pages and admin sites."""

    name = "routex_site"
    label = "routex_site"
    verbose_name = "Routex"
