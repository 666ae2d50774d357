"""Staff pages: the platform's tenants, domains and people, a tenant's members, and both audit trails."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget

from tenants import admin_secrets  # noqa: F401  its pages are registered by being imported
from tenants.admin_fields import NetworksField, PairsField
from tenants.admin_sites import (
    PlatformAdmin,
    ReadOnly,
    TenantAdmin,
    TenantForm,
    platform_site,
    tenant_site,
)
from tenants.models import (
    AuditEvent,
    Domain,
    Membership,
    Role,
    Tenant,
    User,
)
from tenants.services import tenant_create, user_create

# --- Platform -------------------------------------------------------------------------------------------------------


class TenantAsPlatformForm(forms.ModelForm):
    """A tenant as the platform sees it."""

    private_upstreams = NetworksField(
        help_text="Private address ranges that this tenant's channels may reach, one a line, such as 10.0.0.0/8."
    )
    tags = PairsField(help_text="What routing rules may ask for (tenantTag), one name=value a line.")

    class Meta:
        model = Tenant
        fields = ("slug", "name", "timezone", "state", "suspended_reason", "private_upstreams", "tags")

    def clean(self) -> dict[str, Any] | None:
        """Ask for the reason of a suspension: callers are told it."""
        values = super().clean() or {}
        if values.get("state") == Tenant.State.SUSPENDED and not values.get("suspended_reason"):
            self.add_error("suspended_reason", "Say why: every caller who is refused is told this.")
        return values


@admin.register(Tenant, site=platform_site)
class TenantAsPlatformAdmin(PlatformAdmin):
    """Tenants. Suspending refuses all keys; deleting is no button, since it would take everything along."""

    noun = "tenant"
    is_configuration = True
    audited_by_service = frozenset({"created"})
    form = TenantAsPlatformForm
    list_display = ("slug", "name", "state", "timezone", "created_at")
    list_filter = ("state",)
    search_fields = ("slug", "name")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tenants are suspended, not deleted."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Create the tenant with its schema, or save what changed."""
        if change:
            super().save_model(request, obj, form, change)
        else:
            made = tenant_create(actor=str(request.user), **form.cleaned_data)
            obj.pk, obj._state.adding = made.pk, False


@admin.register(Domain, site=platform_site)
class DomainAdmin(PlatformAdmin):
    """Host names whose pages belong to one tenant."""

    noun = "domain"
    list_display = ("domain", "tenant", "is_primary")
    search_fields = ("domain",)


class UserForm(forms.ModelForm):
    """A person, with a password to set."""

    new_password = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Empty keeps the present one. A new person without a password cannot sign in yet.",
    )

    class Meta:
        model = User
        fields = ("email", "is_active", "is_superuser")
        labels: ClassVar = {"is_superuser": "Platform administrator"}
        help_texts: ClassVar = {
            "is_superuser": "May do everything on these pages. Memberships decide about a tenant's pages.",
            "is_active": "Switched off, the person cannot sign in.",
        }

    def clean_email(self) -> str:
        """Refuse an address that another local account has: people sign in with it."""
        email = BaseUserManager.normalize_email(self.cleaned_data["email"])
        twins = User.objects.filter(issuer="local", email__iexact=email).exclude(pk=self.instance.pk)
        if not email or twins.exists():
            raise ValidationError("Another person signs in with this address." if email else "An address is needed.")
        return email

    def clean_new_password(self) -> str:
        """Hold the password to the rules."""
        password: str = self.cleaned_data["new_password"]
        if password:
            validate_password(password, self.instance)
        return password


@admin.register(User, site=platform_site)
class UserAdmin(PlatformAdmin):
    """People. Django's groups and permissions mean nothing in Routex, so they are not here."""

    noun = "user"
    form = UserForm
    list_display = ("email", "is_active", "is_superuser", "issuer", "last_login")
    list_filter = ("is_active", "is_superuser")
    search_fields = ("email",)
    readonly_fields = ("issuer", "last_login", "date_joined")
    ordering = ("email",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Nobody switches their own account off, nor gives their own administration away."""
        own = ("is_active", "is_superuser") if obj is not None and obj.pk == request.user.pk else ()
        return (*super().get_readonly_fields(request, obj), *own)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """People are switched off: the audit trail names them."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Save the person and, where one was typed, the password."""
        password = form.cleaned_data["new_password"] or None
        if not change:
            made = user_create(email=obj.email, password=password)
            obj.pk, obj.username, obj.password, obj._state.adding = made.pk, made.username, made.password, False
        elif password:
            obj.set_password(password)
        obj.is_staff = obj.is_superuser
        super().save_model(request, obj, form, change=True)


class AuditPages(ReadOnly):
    """What both audit pages share."""

    noun = "audit"
    list_display: tuple[str, ...] = ("at", "actor", "action", "object_label")
    list_filter = ("action",)
    search_fields = ("actor", "action", "object_label", "object_id")
    date_hierarchy = "at"


@admin.register(AuditEvent, site=platform_site)
class PlatformAuditAdmin(AuditPages, PlatformAdmin):
    """Every write on the install."""

    list_display = ("at", "tenant", "actor", "action", "object_label")
    list_select_related = ("tenant",)


# --- One tenant -----------------------------------------------------------------------------------------------------


class MemberForm(TenantForm):
    """A member: the address when they are added, the role later too."""

    email = forms.EmailField(
        widget=UnfoldAdminEmailInputWidget(),
        help_text="Whoever signs in with this address. A new person needs a password from a platform administrator.",
    )

    class Meta:
        model = Membership
        fields = ("role",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and not self.instance._state.adding:
            self.fields["email"].initial = self.instance.user.email
            self.fields["email"].disabled = True

    def clean_email(self) -> str:
        """Refuse somebody who is a member already."""
        email = BaseUserManager.normalize_email(self.cleaned_data["email"])
        members = Membership.objects.filter(tenant_id=self.instance.tenant_id, user__email__iexact=email)
        if self.instance._state.adding and members.exists():
            raise ValidationError("This person is a member already; change the role there.")
        return email

    def clean_role(self) -> str:
        """Keep one administrator at least."""
        role: str = self.cleaned_data["role"]
        if role != Role.ADMIN and not self.instance._state.adding and is_last_admin(self.instance):
            raise ValidationError("This is the last administrator; make somebody else one first.")
        return role


def is_last_admin(membership: Membership) -> bool:
    """Whether a tenant would have no administrator without this membership."""
    admins = Membership.objects.filter(tenant_id=membership.tenant_id, role=Role.ADMIN)
    stored = admins.filter(pk=membership.pk).exists()
    return stored and not admins.exclude(pk=membership.pk).exists()


@admin.register(Membership, site=tenant_site)
class MembershipAdmin(TenantAdmin):
    """Who may do what in the tenant."""

    noun = "membership"
    is_configuration = False
    form = MemberForm
    fields = ("email", "role")
    list_display = ("email", "role", "created_at")
    list_select_related = ("user",)
    search_fields = ("user__email",)

    @admin.display(description="person", ordering="user__email")
    def email(self, obj: Membership) -> str:
        """Return the person's address."""
        return str(obj.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The last administrator cannot be removed; nor many people at once, since the last might be among them."""
        return obj is not None and super().has_delete_permission(request, obj) and not is_last_admin(obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Members are removed one by one."""
        return {name: found for name, found in super().get_actions(request).items() if name != "delete_selected"}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Add the local person with the address, made if there is none; or change the role."""
        if not change:
            email = form.cleaned_data["email"]
            obj.user = User.objects.filter(issuer="local", email__iexact=email).first() or user_create(email=email)
        super().save_model(request, obj, form, change)


@admin.register(AuditEvent, site=tenant_site)
class AuditAdmin(AuditPages, TenantAdmin):
    """The tenant's audit trail."""
