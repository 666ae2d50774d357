"""Filters of the lists of keys, limits, quotas and tenants."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet

from tenants.models import GatewayKey, KeyState, Limit, LimitScope, Quota, QuotaScope, Tenant


class KeyFilter(django_filters.FilterSet):
    """`?slug=&state=&q=`"""

    slug = django_filters.CharFilter()
    state = django_filters.ChoiceFilter(choices=KeyState.choices)
    q = django_filters.CharFilter(method="matching", label="Part of the slug, or the key's prefix or last characters.")

    class Meta:
        model = GatewayKey
        fields: tuple[str, ...] = ()

    def matching(self, rows: QuerySet[GatewayKey], name: str, text: str) -> QuerySet[GatewayKey]:
        """Return the keys that the text fits."""
        return rows.filter(Q(slug__icontains=text) | Q(prefix=text) | Q(last_four=text))


class LimitFilter(django_filters.FilterSet):
    """`?scope=&scope_id=&kind=`"""

    scope = django_filters.ChoiceFilter(choices=LimitScope.choices)
    scope_id = django_filters.CharFilter()
    kind = django_filters.ChoiceFilter(choices=Limit.Kind.choices)

    class Meta:
        model = Limit
        fields: tuple[str, ...] = ()


class QuotaFilter(django_filters.FilterSet):
    """`?scope=&scope_id=&kind=&window=`"""

    scope = django_filters.ChoiceFilter(choices=QuotaScope.choices)
    scope_id = django_filters.CharFilter()
    kind = django_filters.ChoiceFilter(choices=Quota.Kind.choices)
    window = django_filters.ChoiceFilter(choices=Quota.Window.choices)

    class Meta:
        model = Quota
        fields: tuple[str, ...] = ()


class TenantFilter(django_filters.FilterSet):
    """`?slug=&state=&q=`"""

    slug = django_filters.CharFilter()
    state = django_filters.ChoiceFilter(choices=Tenant.State.choices)
    q = django_filters.CharFilter(method="matching", label="Part of the slug or the name.")

    class Meta:
        model = Tenant
        fields: tuple[str, ...] = ()

    def matching(self, rows: QuerySet[Tenant], name: str, text: str) -> QuerySet[Tenant]:
        """Return the tenants that the text fits."""
        return rows.filter(Q(slug__icontains=text) | Q(name__icontains=text))
