"""Staff pages of what has a secret: the tenant's gateway keys, and management tokens of both sites."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from tenants.admin_fields import KeyNetworksField, LinesField, PairsField
from tenants.admin_sites import (
    PlatformAdmin,
    ShowsSecretOnce,
    TenantAdmin,
    TenantForm,
    member_of,
    platform_site,
    tenant_site,
)
from tenants.models import GatewayKey, KeyState, ManagementToken, everything
from tenants.services import key_issue, key_revoke, token_issue, token_revoke


class TokenForm(TenantForm):
    """A management token."""

    class Meta:
        model = ManagementToken
        fields = ("slug", "role", "expires_at")


class TokenPages(ShowsSecretOnce):
    """What token pages of both sites share: shown once, changed never, revoked for good."""

    noun: ClassVar[str] = "token"
    is_configuration = False
    audited_by_service = frozenset({"created"})
    form: type[TenantForm] = TokenForm
    list_display: tuple[str, ...] = ("slug", "recognise", "role", "state", "expires_at", "created_at")
    list_filter = ("state",)
    search_fields = ("slug",)
    actions = ("revoke",)
    actions_submit_line = ("revoke_this",)

    @admin.display(description="token")
    def recognise(self, obj: Any) -> str:
        """Return what may be shown of the secret."""
        return f"{obj.prefix}…{obj.last_four}"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A token is not changed after it was made."""
        return () if obj is None else ("slug", "role", "expires_at", "state", "recognise", "created_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Revoked tokens stay, so that the audit trail can name them."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Issue the token; its secret waits for the answer to this request."""
        if change:
            super().save_model(request, obj, form, change)  # type: ignore[misc]
            return
        made, secret = token_issue(
            tenant_id=self.tenant_of(request, obj),  # type: ignore[attr-defined]
            actor=str(request.user),
            slug=form.cleaned_data["slug"],
            role=form.cleaned_data["role"],
            expires_at=form.cleaned_data["expires_at"],
        )
        obj.__dict__.update({name: value for name, value in made.__dict__.items() if name != "_state"})
        obj._state.adding = False
        request.secret = secret  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Show the secret, this once."""
        return self.show_secret(request, obj, request.secret)  # type: ignore[attr-defined]

    @admin.action(description="Revoke for good", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Revoke the chosen tokens."""
        for token in queryset.exclude(state=KeyState.REVOKED):
            token_revoke(token=token, actor=str(request.user))
        messages.success(request, "Revoked. Programs that use them are refused from now on.")

    @action(description="Revoke for good", permissions=["revoke"])
    def revoke_this(self, request: HttpRequest, obj: Any) -> None:
        """Revoke the token of the page."""
        self.revoke(request, self.get_queryset(request).filter(pk=obj.pk))  # type: ignore[attr-defined]

    def has_revoke_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Whether the person may revoke."""
        return self.has_change_permission(request)  # type: ignore[attr-defined]


@admin.register(ManagementToken, site=platform_site)
class PlatformTokenAdmin(TokenPages, PlatformAdmin):
    """The platform's own management tokens; a tenant's are on its own pages."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the tokens that belong to no tenant."""
        return super().get_queryset(request).filter(tenant=None)


class KeyForm(TenantForm):
    """A gateway key."""

    allowed_models = LinesField(
        required=True, initial=everything, help_text="Models that the key may use, one pattern a line; * is all."
    )
    allowed_channels = LinesField(
        required=True, initial=everything, help_text="Channels by slug, one pattern a line; * is all."
    )
    allowed_ips = KeyNetworksField(
        label="Allowed IPs",
        help_text="Networks or addresses that requests may come from, such as 10.0.0.0/8, one a line; none is all.",
    )
    tags = PairsField(help_text="For reports and routing, one name=value a line.")

    class Meta:
        model = GatewayKey
        fields = ("slug", "state", "allowed_models", "allowed_channels", "allowed_ips", "tags", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "state" in self.fields:
            # Revoking is a button of its own, because it is final.
            usable = [(KeyState.ACTIVE, "Active"), (KeyState.DISABLED, "Disabled: refused until it is active again")]
            self.fields["state"].choices = usable  # type: ignore[attr-defined]


@admin.register(GatewayKey, site=tenant_site)
class KeyAdmin(TokenPages, TenantAdmin):
    """The tenant's gateway keys."""

    noun = "key"
    form = KeyForm
    list_display = ("slug", "recognise", "state", "expires_at", "created_at")
    fields = ("slug", "state", "allowed_models", "allowed_channels", "allowed_ips", "tags", "expires_at")

    @admin.display(description="key")
    def recognise(self, obj: Any) -> str:
        """Return what may be shown of the secret."""
        return f"{obj.prefix}…{obj.last_four}"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new key is active; an old one shows what to recognise it by."""
        return [name for name in self.fields if name != "state"] if obj is None else ["recognise", *self.fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Revoked is final: nothing of such a key changes any more."""
        if obj is None:
            return ()
        return ("recognise", *self.fields) if obj.state == KeyState.REVOKED else ("recognise",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Issue the key, whose secret waits for the answer to this request; or save what changed."""
        if change:
            TenantAdmin.save_model(self, request, obj, form, change)
            return
        made, secret = key_issue(tenant_id=member_of(request).tenant_id, actor=str(request.user), **form.cleaned_data)
        obj.__dict__.update({name: value for name, value in made.__dict__.items() if name != "_state"})
        obj._state.adding = False
        request.secret = secret  # type: ignore[attr-defined]

    @admin.action(description="Revoke for good", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Revoke the chosen keys."""
        for key in queryset.exclude(state=KeyState.REVOKED):
            key_revoke(key=key, actor=str(request.user))
        messages.success(request, "Revoked. Gateways refuse them within a second.")


@admin.register(ManagementToken, site=tenant_site)
class TenantTokenAdmin(TokenPages, TenantAdmin):
    """The tenant's management tokens."""
