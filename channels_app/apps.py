"""App label and checks; no work at import."""

from django.apps import AppConfig


class ChannelsConfig(AppConfig):
    """Channels of a tenant."""

    name = "channels_app"
    verbose_name = "Channels"
