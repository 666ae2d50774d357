"""The first administrator: a one-time token opens the door once, and a refused form does not use it up."""

from __future__ import annotations

import datetime as dt

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from tenants.context import platform_scope
from tenants.models import AuditEvent, Role, SetupToken, User
from tenants.selectors import administrator_exists, memberships_of, setup_is_open
from tenants.services import (
    FIRST_TENANT,
    SetupClosed,
    administrator_create,
    setup_complete,
    setup_token_issue,
    tenant_create,
)

pytestmark = pytest.mark.django_db
GOOD = {"email": "first@example.com", "password": "a long enough phrase"}


def test_the_token_makes_one_administrator_and_no_second(cast):
    token = setup_token_issue()
    assert setup_is_open(token=token)
    user = setup_complete(token=token, **GOOD)
    assert user.is_superuser
    assert user.check_password(GOOD["password"])
    assert not setup_is_open(token=token)
    with pytest.raises(SetupClosed):
        setup_complete(token=token, email="second@example.com", password=GOOD["password"])


def test_only_the_newest_token_counts_and_none_is_stored_readable(cast):
    old, new = setup_token_issue(), setup_token_issue()
    assert not setup_is_open(token=old)
    assert setup_is_open(token=new)
    assert new.encode() not in bytes(SetupToken.objects.get().digest)


def test_an_expired_token_opens_nothing(cast):
    token = setup_token_issue()
    SetupToken.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert not setup_is_open(token=token)
    with pytest.raises(SetupClosed):
        setup_complete(token=token, **GOOD)


@pytest.mark.parametrize("wrong", [{"email": "no address"}, {"password": "12345678"}, {"email": "alice@example.com"}])
def test_a_refused_form_leaves_the_token_usable(cast, wrong):
    token = setup_token_issue()
    with pytest.raises(ValidationError):
        setup_complete(token=token, **(GOOD | wrong))
    assert setup_is_open(token=token)
    assert not administrator_exists()


def test_no_token_is_issued_once_there_is_an_administrator(cast):
    administrator_create(**GOOD)
    with pytest.raises(SetupClosed):
        setup_token_issue()


def test_the_first_administrator_also_administers_the_first_tenant(cast):
    tenant_create(slug=FIRST_TENANT, name="Default")
    user = administrator_create(**GOOD)
    assert [(m.tenant.slug, m.role) for m in memberships_of(user=user)] == [(FIRST_TENANT, Role.ADMIN)]
    with platform_scope():
        assert AuditEvent.objects.filter(action="administrator.created", object_id=user.id).exists()


def test_without_a_first_tenant_the_administrator_has_no_membership(cast):
    assert memberships_of(user=administrator_create(**GOOD)) == []
    assert User.objects.get(email=GOOD["email"]).is_staff
