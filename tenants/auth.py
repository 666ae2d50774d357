"""Who may do what: the Membership role of the request's tenant decides, never a flag on the person."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from tenants.models import Membership, Role, User

#: What an operator may change; everything else of a tenant is an admin's.
OPERATOR_APPS = frozenset({"channels_app", "routing"})
OPERATOR_MODELS = frozenset({"sessionpin"})
#: Written by Routex only: nobody adds, changes or deletes these by hand.
READ_ONLY_MODELS = frozenset({"auditevent", "channelhealth", "requestrecord", "usagequarter", "configbackup"})


def role_allows(role: str, app_label: str, action: str, model: str) -> bool:
    """Whether a role may do an action (`view`, `add`, `change`, `delete`) to a model of an app."""
    if action == "view":
        return True
    if model in READ_ONLY_MODELS:
        return False
    return role == Role.ADMIN or (role == Role.OPERATOR and (app_label in OPERATOR_APPS or model in OPERATOR_MODELS))


class MembershipBackend(BaseBackend):
    """Permissions inside a tenant's pages, from the membership that the tenant middleware put on the person."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Whether the person's membership allows `<app>.<action>_<model>`."""
        membership: Membership | None = getattr(user_obj, "membership", None)
        if membership is None or not user_obj.is_active:
            return False
        app_label, _, codename = perm.partition(".")
        action, _, model = codename.partition("_")
        return role_allows(membership.role, app_label, action, model)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Whether the person sees the app at all in the tenant's admin."""
        return getattr(user_obj, "membership", None) is not None


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by administrators and invitations, not by whoever finds the sign-up page."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Sign-up is closed."""
        return False

    def populate_username(self, request: HttpRequest, user: User) -> None:
        """Leave the user name to the model: people sign in by e-mail."""
