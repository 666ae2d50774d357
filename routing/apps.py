"""App label and checks; ready() connects what the apps below leave to this one."""

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    """Routing of a tenant: policy, aliases, fallbacks, snapshots."""

    name = "routing"
    verbose_name = "Routing"

    def ready(self) -> None:
        """Listen for configuration changes and check transformers: this app sits above those that write them."""
        from channels_app.channel_checks import TRANSFORMER_CHECKS
        from routing.engine.limiters import check
        from routing.engine.transformers import chain_of
        from routing.snapshots import publish_on_change
        from tenants.limit_checks import LIMIT_CHECKS
        from tenants.signals import config_changed

        config_changed.connect(publish_on_change, dispatch_uid="routing.snapshots")
        TRANSFORMER_CHECKS.append(chain_of)
        LIMIT_CHECKS.append(check)
