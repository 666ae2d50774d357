"""Staff pages of one tenant: rules, aliases, fallbacks, the policy and the backups of its configuration."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from routing.engine.rules import RULES
from routing.engine.ruleset import TYPES
from routing.engine.strategies import STRATEGIES
from routing.models import ConfigBackup, ModelAlias, ModelFallback, RoutingPolicy, RoutingRule
from tenants.admin_fields import JsonLinesField, LinesField
from tenants.admin_sites import ReadOnly, TenantAdmin, TenantForm, tenant_site


class RuleForm(TenantForm):
    """A rule."""

    type = forms.ChoiceField(choices=[(name, name) for name in TYPES], widget=UnfoldAdminSelectWidget())
    condition = forms.JSONField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4, "spellcheck": "false"}),
        help_text=f'JSON such as {{"keywords": ["plan"]}}; all of it must hold. Names: {", ".join(RULES)}.',
    )
    targets = JsonLinesField(
        help_text='One a line, tried in this order, such as {"channel": "large", "model": "some-model"}.'
    )

    class Meta:
        model = RoutingRule
        fields = ("slug", "type", "condition", "targets", "priority", "is_enabled", "description")

    def clean_condition(self) -> dict[str, Any]:
        """Take an empty field for no condition."""
        return self.cleaned_data["condition"] or {}


@admin.register(RoutingRule, site=tenant_site)
class RuleAdmin(TenantAdmin):
    """Rules, in the order in which they are looked at."""

    noun = "rule"
    form = RuleForm
    list_display = ("slug", "type", "priority", "is_enabled", "goes_to")
    list_filter = ("is_enabled",)
    search_fields = ("slug", "description")

    @admin.display(description="Goes to")
    def goes_to(self, obj: RoutingRule) -> str:
        """Return the targets."""
        return " → ".join(", ".join(f"{name} {value}" for name, value in target.items()) for target in obj.targets)


class AliasForm(TenantForm):
    """An alias; its name is its identity, so a renamed alias is a new one."""

    class Meta:
        model = ModelAlias
        fields = ("name", "target")
        help_texts: ClassVar = {
            "name": "What clients ask for.",
            "target": "The model that answers: a public model name.",
        }


@admin.register(ModelAlias, site=tenant_site)
class AliasAdmin(TenantAdmin):
    """Other names for models."""

    noun = "alias"
    form = AliasForm
    list_display = ("name", "target")
    search_fields = ("name", "target")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep the name once it exists."""
        return () if obj is None else ("name",)


class FallbackForm(TenantForm):
    """What is tried after a model."""

    fallbacks = LinesField(required=True, help_text="Models to try in this order, one a line.")

    class Meta:
        model = ModelFallback
        fields = ("model", "fallbacks")
        help_texts: ClassVar = {"model": "When every channel of this model failed."}


@admin.register(ModelFallback, site=tenant_site)
class FallbackAdmin(TenantAdmin):
    """Models to try when every channel of a model failed."""

    noun = "fallback"
    form = FallbackForm
    list_display = ("model", "then")
    search_fields = ("model",)

    @admin.display(description="Then")
    def then(self, obj: ModelFallback) -> str:
        """Return the models to try."""
        return ", ".join(obj.fallbacks)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep the model once it exists."""
        return () if obj is None else ("model",)


class PolicyForm(TenantForm):
    """The policy."""

    strategy = forms.ChoiceField(
        choices=lambda: [(name, name.replace("_", " ").capitalize()) for name in STRATEGIES],
        widget=UnfoldAdminSelectWidget(),
        help_text="How channels that serve a model are ordered.",
    )

    class Meta:
        model = RoutingPolicy
        exclude = ("singleton",)
        labels: ClassVar = {
            "has_cooldown": "Cooldown",
            "is_session_enabled": "Sessions",
            "is_session_sticky": "Keep a session on its channel",
            "session_ttl_s": "Session life, seconds",
            "session_cleanup_interval_s": "Session clean-up every, seconds",
        }


@admin.register(RoutingPolicy, site=tenant_site)
class PolicyAdmin(TenantAdmin):
    """How requests are tried. There is one policy, so its page is the form."""

    noun = "policy"
    form = PolicyForm
    fieldsets = (
        (None, {"fields": ("strategy", ("attempts", "retry_total_s"), "has_cooldown")}),
        ("Breaker", {"fields": (("breaker_failures", "breaker_open_s"),)}),
        (
            "Sessions",
            {
                "fields": (
                    ("is_session_enabled", "is_session_sticky"),
                    ("session_ttl_s", "session_cleanup_interval_s"),
                )
            },
        ),
    )

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Go to the one policy; until somebody stores one, the defaults hold."""
        policy = RoutingPolicy.objects.first()
        if policy is not None:
            return redirect("admin:routing_routingpolicy_change", policy.pk)
        if self.has_add_permission(request):
            return redirect("admin:routing_routingpolicy_add")
        return super().changelist_view(request, extra_context)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A second policy is no policy."""
        return super().has_add_permission(request, obj) and not RoutingPolicy.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """It is changed, not deleted."""
        return False


@admin.register(ConfigBackup, site=tenant_site)
class BackupAdmin(ReadOnly, TenantAdmin):
    """Configuration documents of earlier days, without secrets."""

    noun = "backup"
    list_display = ("at", "reason")
    fields = ("at", "reason", "document")
