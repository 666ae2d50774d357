"""Staff pages of one tenant: channels with their credentials, health history, limits and quotas."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from channels_app.channel_checks import clean_secret
from channels_app.engine.providers import PROVIDERS
from channels_app.models import Channel, ChannelHealth, UpstreamCredential
from channels_app.services import (
    channel_create,
    channel_disable,
    channel_enable,
    channel_update,
    is_credential_needed_again,
)
from tenants.admin_fields import JsonLinesField, LinesField, ServedModelsField
from tenants.admin_sites import ReadOnly, TenantAdmin, TenantForm, TenantInline, member_of, tenant_site
from tenants.engine.quota import amount_text
from tenants.limit_checks import check_limit
from tenants.models import GatewayKey, Limit, LimitScope, Quota, QuotaScope, Scope
from tenants.selectors import QuotaStanding, quota_standings

NANO_USD = 1_000_000_000


def provider_choices() -> list[tuple[str, str]]:
    """Return the registered providers; asked for each form, since packages from outside may add some."""
    return [(name, PROVIDERS[name].label) for name in PROVIDERS]


def format_choices() -> list[tuple[str, str]]:
    """Return the formats that a channel may be told to speak."""
    names = sorted({name for provider in PROVIDERS for name in PROVIDERS[provider].formats()})
    return [("", "The client's, where the provider offers it"), *((name, name) for name in names)]


# --- Channels -------------------------------------------------------------------------------------------------------


class ChannelForm(TenantForm):
    """A channel; what its fields may hold is the model's own check."""

    provider = forms.ChoiceField(choices=provider_choices, widget=UnfoldAdminSelectWidget())
    format = forms.ChoiceField(
        choices=format_choices, required=False, widget=UnfoldAdminSelectWidget(), label="Format spoken upstream"
    )
    served_models = ServedModelsField(
        rows=5,
        help_text="One a line: the name that clients ask for, or <code>public name = upstream name</code>. "
        "A name may be a pattern such as <code>gpt-*</code>; <code>*</code> takes every name.",
    )
    transformers = JsonLinesField(rows=2, help_text='One a line: a name, or an object such as {"maxtoken": {…}}.')
    tags = LinesField(rows=2, help_text="One a line, for rules.")

    class Meta:
        model = Channel
        fields = (
            *("slug", "provider", "format", "base_url", "is_enabled", "served_models", "priority", "weight"),
            *("connect_s", "first_byte_s", "idle_s", "total_s", "region", "tags", "transformers", "prices"),
        )
        labels: ClassVar = {
            "base_url": "Base URL",
            "is_enabled": "Takes requests",
            "connect_s": "Connect, seconds",
            "first_byte_s": "First byte, seconds",
            "idle_s": "Silence in a stream, seconds",
            "total_s": "Whole answer, seconds",
        }

    def _update_errors(self, errors: ValidationError) -> None:
        # Django would put its own "This field is required." in the place of the model's more helpful sentences.
        self.add_error(None, errors)


class CredentialForm(forms.ModelForm):
    """One credential: its secret goes in and never comes out."""

    secret = forms.CharField(
        required=False,
        label="Secret",
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off", "placeholder": "unchanged"}),
    )

    class Meta:
        model = UpstreamCredential
        fields = ("slug", "secret")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_stored = bool(self.instance.last_four or self.instance.sealed)
        # The name is how an import finds the credential again; a stored secret is kept under it.
        self.fields["slug"].disabled = is_stored
        if not is_stored:
            self.fields["secret"].widget.attrs["placeholder"] = "the upstream's key"

    def clean_secret(self) -> str:
        """Hold the secret to what a header can carry; a new credential needs one."""
        secret: str = self.cleaned_data["secret"]
        if secret:
            return clean_secret(secret)
        if not self.instance.sealed:
            raise ValidationError("A new credential needs its secret.")
        return ""


class CredentialFormSet(forms.BaseInlineFormSet):
    """The pool of a channel; `instance` is the channel as the form would store it."""

    def secrets(self) -> dict[str, str | None]:
        """Return slug → new secret, None where the stored one stays; what is to be deleted is not in it."""
        return {
            form.cleaned_data["slug"]: form.cleaned_data["secret"] or None
            for form in self.forms
            if form.cleaned_data.get("slug") and not form.cleaned_data.get("DELETE")
        }

    def clean(self) -> None:
        """Ask for a secret where the provider needs one, and again when it would now be sent to another server."""
        super().clean()
        channel = self.instance
        if any(self.errors) or channel.provider not in PROVIDERS:
            return
        secrets = self.secrets()
        provider = PROVIDERS[channel.provider]
        if not secrets and provider.needs_credential:
            raise ValidationError(f"{provider.label} needs a credential: {provider.credential}.")
        for secret in filter(None, secrets.values()):
            clean_secret(secret, provider)
        kept = [slug for slug, secret in secrets.items() if secret is None]
        stored = Channel.objects.filter(pk=channel.pk).first() if kept else None
        if stored and is_credential_needed_again(old=stored, provider=channel.provider, base_url=channel.base_url):
            raise ValidationError(
                "The channel would now lead to another server. Type the secrets again, so that no stored one is sent "
                f"there unseen: {', '.join(kept)}."
            )


class CredentialInline(TenantInline):
    """The credentials of a channel; several make a pool."""

    model = UpstreamCredential
    form = CredentialForm
    formset = CredentialFormSet
    fields = ("slug", "secret", "ends_in", "created_at")
    readonly_fields = ("ends_in", "created_at")
    verbose_name = "credential"
    verbose_name_plural = "credentials"
    hide_title = True

    @admin.display(description="Stored secret ends in")
    def ends_in(self, obj: UpstreamCredential) -> str:
        """Return the last four characters, which is all that is ever shown."""
        return f"…{obj.last_four}" if obj.last_four else "-"


@admin.register(Channel, site=tenant_site)
class ChannelAdmin(TenantAdmin):
    """Ways to reach providers."""

    noun = "channel"
    audited_by_service = frozenset({"created", "updated"})
    form = ChannelForm
    inlines = (CredentialInline,)
    list_display = ("slug", "provider", "takes_requests", "models", "priority", "weight")
    list_filter = ("is_enabled", "provider")
    search_fields = ("slug", "base_url")
    actions = ("enable", "disable")
    fieldsets = (
        (None, {"fields": ("slug", "provider", "base_url", "is_enabled", "served_models")}),
        ("Order", {"fields": ("priority", "weight"), "description": "Higher priority first; weight shares within it."}),
        ("Longest waits", {"classes": ("collapse",), "fields": (("connect_s", "first_byte_s"), ("idle_s", "total_s"))}),
        ("More", {"classes": ("collapse",), "fields": ("format", "region", "tags", "transformers", "prices")}),
    )

    @admin.display(description="Takes requests", boolean=True, ordering="is_enabled")
    def takes_requests(self, obj: Channel) -> bool:
        """Return whether the channel is on."""
        return obj.is_enabled

    @admin.display(description="Models")
    def models(self, obj: Channel) -> str:
        """Return the first public names."""
        names = [entry if isinstance(entry, str) else entry["name"] for entry in obj.served_models]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Wait: a channel and its credentials are written together, in save_related."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Hand the whole page to the service."""
        [credentials] = formsets
        common = {
            "tenant_id": member_of(request).tenant_id,
            "actor": str(request.user),
            "credentials": credentials.secrets(),
            **form.cleaned_data,
        }
        if change:
            channel_update(channel=form.instance, **common)
        else:
            channel_create(id=form.instance.pk, **common)

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        """Return nothing: the service wrote the audit line."""
        return {}

    @admin.action(description="Let them take requests", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        """Switch channels on."""
        for channel in queryset:
            channel_enable(tenant_id=member_of(request).tenant_id, channel=channel, actor=str(request.user))

    @admin.action(description="Give them no requests", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        """Switch channels off."""
        for channel in queryset:
            channel_disable(tenant_id=member_of(request).tenant_id, channel=channel, actor=str(request.user))


@admin.register(ChannelHealth, site=tenant_site)
class HealthAdmin(ReadOnly, TenantAdmin):
    """What the health checks found."""

    noun = "health"
    list_display = ("at", "channel", "is_up", "status", "duration_ms", "detail")
    list_filter = ("is_up", "channel")
    list_select_related = ("channel",)
    date_hierarchy = "at"


# --- Limits and quotas: here, above `tenants`, because one may be meant for a channel -------------------------------


class ScopedForm(TenantForm):
    """A limit or quota: what it is counted for is given by slug and stored by id, which outlives a renaming."""

    scope_slug = forms.CharField(
        required=False,
        label="Key or channel",
        widget=UnfoldAdminTextInputWidget(),
        help_text="Its slug; empty for the whole tenant.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.scope in {LimitScope.MODEL, QuotaScope.TAG}:
            self.fields["scope_slug"].initial = self.instance.scope_id
        elif self.instance.scope_id:
            row = _scoped_rows(self.instance.scope).filter(pk=self.instance.scope_id).first()
            self.fields["scope_slug"].initial = row.slug if row else ""

    def clean(self) -> dict[str, Any] | None:
        """Find what the slug names."""
        values = super().clean() or {}
        scope, slug = values.get("scope", ""), values.get("scope_slug", "").strip()
        self.instance.scope_id = ""
        if scope == Scope.TENANT and slug:
            self.add_error("scope_slug", "Leave this empty, or count for a key or channel.")
        elif scope == LimitScope.MODEL:
            self.instance.scope_id = slug
            if not slug:
                self.add_error("scope_slug", "Which models? Write a name, or a pattern such as gpt-*.")
        elif scope == QuotaScope.TAG:
            name, sign, value = (part.strip() for part in slug.partition("="))
            self.instance.scope_id = f"{name}={value}"
            if not (name and sign):
                self.add_error("scope_slug", "Write the tag that keys must have as name=value, such as team=core.")
        elif scope and scope != Scope.TENANT:
            row = _scoped_rows(scope).filter(slug=slug).first()
            if row is None:
                self.add_error("scope_slug", f"There is no {scope} with this slug." if slug else f"Which {scope}?")
            else:
                self.instance.scope_id = row.pk
        return values

    def _get_validation_exclusions(self) -> set[str]:
        return super()._get_validation_exclusions() - {"scope_id"}


def _scoped_rows(scope: str) -> QuerySet[Any]:
    """Return the rows that a scope may name: this tenant's, by row security and by schema."""
    return Channel.objects.all() if scope == Scope.CHANNEL else GatewayKey.objects.all()


class ScopedAdmin(TenantAdmin):
    """What limits and quotas share."""

    list_filter = ("scope", "kind")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows with the slug of what they are counted for."""
        keys = GatewayKey.objects.filter(pk=OuterRef("scope_id")).values("slug")
        channels = Channel.objects.filter(pk=OuterRef("scope_id")).values("slug")
        return super().get_queryset(request).annotate(key_slug=Subquery(keys), channel_slug=Subquery(channels))

    @admin.display(description="Counted for")
    def counted_for(self, obj: Any) -> str:
        """Return what the row is counted for."""
        if obj.scope == Scope.TENANT:
            return "the whole tenant"
        if obj.scope == LimitScope.MODEL:
            return f"model {obj.scope_id}"
        if obj.scope == QuotaScope.TAG:
            return f"keys tagged {obj.scope_id}"
        return f"{obj.scope} {obj.key_slug or obj.channel_slug or '(deleted)'}"


class LimitForm(ScopedForm):
    """A limit; what its limiter may be told is the limiter's own check."""

    options = forms.JSONField(
        required=False,
        initial=dict,
        widget=UnfoldAdminTextInputWidget(),
        help_text='The algorithm\'s own, such as {"burst": 20}. on_outage: "local" or "closed", for the time that '
        "the counters cannot be reached.",
    )

    class Meta:
        model = Limit
        fields = ("scope", "kind", "limit", "window_s", "algorithm", "options")
        labels: ClassVar = {"scope": "Counted for", "window_s": "Window, seconds"}
        help_texts: ClassVar = {
            "algorithm": "sliding_window, token_bucket, leaky_bucket, warm_up or adaptive; "
            "requests at once have only their own."
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["algorithm"].required = False  # an empty one is the usual one
        self.fields["scope_slug"].label = "Key, channel or models"
        self.fields[
            "scope_slug"
        ].help_text = (
            "Slug of the key or channel; for models a name or a pattern such as gpt-*; empty for the whole tenant."
        )

    def clean(self) -> dict[str, Any] | None:
        """Let the limiter check its options."""
        values = super().clean() or {}
        values["algorithm"] = values.get("algorithm") or "sliding_window"
        values["options"] = values.get("options") or {}
        if not isinstance(values["options"], dict):
            self.add_error("options", 'Write an object such as {"burst": 20}.')
        elif not self.errors:
            names = ("kind", "algorithm", "limit", "window_s", "options")
            check_limit(**{name: values[name] for name in names})
        return values


@admin.register(Limit, site=tenant_site)
class LimitAdmin(ScopedAdmin):
    """How fast."""

    noun = "limit"
    form = LimitForm
    fields = ("scope", "scope_slug", "kind", "limit", "window_s", "algorithm", "options")
    list_display = ("limit_text", "counted_for")

    @admin.display(description="Limit", ordering="limit")
    def limit_text(self, obj: Limit) -> str:
        """Return the limit as a person says it."""
        return str(obj)


class QuotaForm(ScopedForm):
    """A quota; money is typed in US dollars and stored in integer nano-dollars."""

    amount = forms.CharField(
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}),
        help_text="US dollars, such as 50 or 0.25, for a money quota; whole tokens or requests otherwise.",
    )

    class Meta:
        model = Quota
        fields = ("scope", "kind", "amount", "window")
        labels: ClassVar = {"scope": "Counted for"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scope_slug"].label = "Key, channel or tag"
        self.fields["scope_slug"].help_text = "Slug of the key or channel, or a tag of keys as name=value."
        if self.instance.kind == Quota.Kind.USD and self.instance.amount is not None:
            self.initial["amount"] = dollars(self.instance.amount)

    def clean(self) -> dict[str, Any] | None:
        """Read the amount in the unit of its kind."""
        values = super().clean() or {}
        is_money = values.get("kind") == Quota.Kind.USD
        try:
            amount = Decimal(values.get("amount", "").replace(",", "").strip()) * (NANO_USD if is_money else 1)
        except InvalidOperation:
            amount = Decimal(-1)
        if not amount.is_finite() or not 0 <= amount <= 2**63 - 1 or amount != amount.to_integral_value():
            self.add_error("amount", "Write an amount of US dollars." if is_money else "Write a whole number.")
        else:
            values["amount"] = int(amount)
        return values


def dollars(nano_usd: int) -> str:
    """Return integer nano-dollars as a decimal text without useless zeros."""
    return f"{Decimal(nano_usd) / NANO_USD:f}"


@admin.register(Quota, site=tenant_site)
class QuotaAdmin(ScopedAdmin):
    """How much per calendar window."""

    noun = "quota"
    form = QuotaForm
    fields = ("scope", "scope_slug", "kind", "amount", "window")
    list_display = ("quota_text", "counted_for", "used_text", "resets_at")

    @admin.display(description="Quota", ordering="amount")
    def quota_text(self, obj: Quota) -> str:
        """Return the quota as a person says it."""
        if obj.kind == Quota.Kind.USD:
            return f"${dollars(obj.amount)} per {obj.window}"
        return str(obj)

    @admin.display(description="Used")
    def used_text(self, obj: Quota) -> str:
        """Return what is used of the present window."""
        used = _standing(obj).used
        share = f" ({used * 100 // obj.amount} %)" if obj.amount else ""
        return amount_text(obj.kind, used) + share

    @admin.display(description="Resets")
    def resets_at(self, obj: Quota) -> dt.datetime | None:
        """Return when the next window begins."""
        return _standing(obj).resets_at


def _standing(quota: Quota) -> QuotaStanding:
    return quota_standings(quotas=[quota], zone=quota.tenant.timezone)[quota.pk]
