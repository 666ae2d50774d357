"""App label and checks; ready() connects config_changed to snapshots.publish."""

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    """Routing of a tenant: policy, aliases, fallbacks, snapshots."""

    name = "routing"
    verbose_name = "Routing"

    def ready(self) -> None:
        """Listen for configuration changes: this app sits above those that make them."""
        from routing.snapshots import publish_on_change
        from tenants.signals import config_changed

        config_changed.connect(publish_on_change, dispatch_uid="routing.snapshots")
