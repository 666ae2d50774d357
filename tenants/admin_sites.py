"""The two admin sites and what every page of theirs has in common: tenancy, roles, audit, no second sign-in."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib.admin.utils import unquote
from django.contrib.auth.views import LogoutView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver
from unfold.admin import ModelAdmin, TabularInline
from unfold.sites import UnfoldAdminSite

from tenants.auth import role_allows
from tenants.models import AuditEvent, Membership, Tenant
from tenants.services import audit_record, config_touch

#: Pages of Django's admin that neither site has: passwords change in the preferences, and the redirect by content
#: type looks objects up without asking any admin class.
LEFT_OUT = frozenset({"password_change", "password_change_done", "view_on_site"})
HISTORY_LENGTH = 200


class RoutexAdminSite(UnfoldAdminSite):
    """What both sites share: sign-in and sign-out are the console's own, so a second factor cannot be walked around."""

    #: Said to a person who is signed in and still may not come in.
    refusal: ClassVar[str] = ""

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Return the site's pages."""
        return [url for url in super().get_urls() if getattr(url, "name", None) not in LEFT_OUT]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send to the one sign-in page, or say why this person may not come in."""
        if request.user.is_authenticated:
            raise PermissionDenied(self.refusal)
        return redirect_to_login(request.GET.get("next", request.path))

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Sign out and go to the one sign-in page."""
        return LogoutView.as_view(next_page="/login/")(request)


class PlatformSite(RoutexAdminSite):
    """`/admin/`: tenants, people and what else belongs to nobody alone; runs in the platform's scope."""

    refusal = "It takes a platform administrator; another one can make you one, under Users."
    index_title = "Platform"

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the person administers the platform."""
        return bool(request.user.is_active and request.user.is_superuser)


class TenantSite(RoutexAdminSite):
    """`/t/<slug>/admin/`: one tenant's configuration; runs in that tenant's scope."""

    refusal = "It takes a membership of this tenant."
    index_title = "Settings"

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the person is a member of the tenant whose pages these are."""
        return bool(request.user.is_active and getattr(request, "membership", None) is not None)


# Both are called "admin": they stand in different URL tables, and templates of admin pages name the site so.
platform_site = PlatformSite(name="admin")
tenant_site = TenantSite(name="admin")


def member_of(request: HttpRequest) -> Membership:
    """Return the membership that the tenant middleware found."""
    return request.membership  # type: ignore[attr-defined]


class AuditedAdmin(ModelAdmin):
    """Every write leaves a line in the audit trail, which is also what the history page shows.

    The hooks below are the ones through which every write of Django's admin goes, also those of inlines and of
    actions on many rows; a page that calls a service, which writes its own line, says so in `audited_by_service`.
    """

    #: What the audit trail calls the object: `channel` in `channel.updated`.
    noun: ClassVar[str] = ""
    #: Whether gateways must hear of a change.
    is_configuration: ClassVar[bool] = False
    #: What services write the line of: `created`, `updated`.
    audited_by_service: ClassVar[frozenset[str]] = frozenset()
    list_filter_sheet = False
    compressed_fields = True

    def tenant_of(self, request: HttpRequest, obj: Any) -> str | None:
        """Return the tenant whose trail a write belongs to; None is the platform's."""
        raise NotImplementedError

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> dict[str, Any]:
        """Return the change as the audit trail keeps it: field → [before, after], secrets masked."""
        changes = {} if add else _changes_of(form)
        for formset in formsets or []:
            name = str(formset.model._meta.verbose_name)
            for words, objects in (("added", formset.new_objects), ("deleted", formset.deleted_objects)):
                for obj in objects:
                    changes[f"{name} {words}"] = str(obj)
            for obj, fields in formset.changed_objects:
                changes[f"{name} {obj}"] = ["", f"changed: {', '.join(fields)}"]
        return changes

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write the audit line of a new object."""
        self._note(request, obj, "created", message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write the audit line of a change."""
        self._note(request, obj, "updated", message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Write the audit lines of deletions; called before they happen."""
        for obj in queryset:
            self._note(request, obj, "deleted", {})

    def _note(self, request: HttpRequest, obj: Any, verb: str, changes: dict[str, Any]) -> None:
        tenant_id = self.tenant_of(request, obj)
        if self.is_configuration and tenant_id is not None:
            config_touch(tenant_id=tenant_id)
        if verb not in self.audited_by_service:
            audit_record(
                tenant_id=tenant_id, actor=str(request.user), action=f"{self.noun}.{verb}", target=obj, changes=changes
            )

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the object's lines of the audit trail, newest first."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        events = AuditEvent.objects.filter(
            tenant_id=self.tenant_of(request, obj), object_id=str(obj.pk)[:31], action__startswith=f"{self.noun}."
        )
        context = {
            **self.admin_site.each_context(request),
            "title": f"History: {obj}",
            "events": events[:HISTORY_LENGTH],
            "object": obj,
            "opts": self.opts,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/object_history.html", context)


def _changes_of(form: forms.BaseForm) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name in form.changed_data:
        if isinstance(form.fields[name].widget, forms.PasswordInput):
            changes[name] = ["•••", "•••"]
        else:
            before = form.get_initial_for_field(form.fields[name], name)
            changes[name] = [_plain(before), _plain(form.cleaned_data.get(name))]
    return changes


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


class TenantForm(forms.ModelForm):
    """A form whose object belongs to the tenant of the page, known before it is validated."""

    #: Set on a subclass for each request; the field itself is never in a form.
    tenant_id: ClassVar[str | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if hasattr(self.instance, "tenant_id"):
            self.instance.tenant_id = self.tenant_id

    def _get_validation_exclusions(self) -> set[str]:
        # Names are unique within a tenant: a twin must be said at the field, not by a database error.
        return super()._get_validation_exclusions() - {"tenant"}  # type: ignore[misc]


class _ByRole:
    """Permissions by the membership's role alone: a flag on the person, such as is_superuser, means nothing here."""

    opts: Any

    def _allows(self, request: HttpRequest, action: str) -> bool:
        membership = getattr(request, "membership", None)
        return membership is not None and role_allows(
            membership.role, self.opts.app_label, action, self.opts.model_name
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether the person sees the app in the list."""
        return self._allows(request, "view")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the role may look."""
        return self._allows(request, "view")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the role may add."""
        return self._allows(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the role may change."""
        return self._allows(request, "change")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the role may delete."""
        return self._allows(request, "delete")


class TenantAdmin(_ByRole, AuditedAdmin):
    """A page of one tenant's site. Its rows come from the tenant's schema, or from public tables by `tenant_id`."""

    form = TenantForm
    is_configuration = True

    def tenant_of(self, request: HttpRequest, obj: Any) -> str | None:
        """Return the tenant of the page."""
        return member_of(request).tenant_id

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the tenant's rows; row security says the same once more."""
        rows = super().get_queryset(request)
        return rows.filter(tenant_id=member_of(request).tenant_id) if _has_tenant(self.model) else rows

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the tenant out of the form: it is the page's."""
        exclude = tuple(super().get_exclude(request, obj) or ())
        return (*exclude, "tenant") if _has_tenant(self.model) else exclude

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form, which knows the tenant."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"tenant_id": member_of(request).tenant_id})


class TenantInline(_ByRole, TabularInline):
    """Rows inside a page of one tenant's site."""

    extra = 0


class PlatformAdmin(AuditedAdmin):
    """A page of the platform's site; whoever may enter the site may do everything that the page offers."""

    def tenant_of(self, request: HttpRequest, obj: Any) -> str | None:
        """Return the tenant that the object is, or belongs to."""
        return obj.pk if isinstance(obj, Tenant) else getattr(obj, "tenant_id", None)


class ReadOnly:
    """A page to look at: what Routex writes by itself."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes by hand."""
        return False


class ShowsSecretOnce:
    """A page that creates something with a secret: the answer to the creating POST shows it, and nothing ever again.

    The answer is no redirect, so that the secret is in no session, cookie, URL or cache; loading the page again
    would send the form again, which finds the name taken.
    """

    admin_site: Any
    opts: Any

    def show_secret(self, request: HttpRequest, obj: Model, secret: str) -> HttpResponse:
        """Return the page with the secret."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"{obj} was created",
            "secret": secret,
            "opts": self.opts,
            "object": obj,
        }
        response = TemplateResponse(request, "admin/secret_created.html", context)
        response.headers["Cache-Control"] = "no-store"
        return response


def _has_tenant(model: type[Model]) -> bool:
    return any(field.name == "tenant" for field in model._meta.fields)
