"""Filters of the rule list."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet

from channels_app.filters import TrueOrFalse
from routing.models import RoutingRule


class RuleFilter(django_filters.FilterSet):
    """`?slug=&type=&enabled=&q=`; `is_enabled` is another name of `enabled`."""

    slug = django_filters.CharFilter()
    type = django_filters.CharFilter()
    enabled = TrueOrFalse(field_name="is_enabled")
    is_enabled = TrueOrFalse(field_name="is_enabled")
    q = django_filters.CharFilter(method="matching", label="Part of the slug, the description, or what it goes to.")

    class Meta:
        model = RoutingRule
        fields: tuple[str, ...] = ()

    def matching(self, rows: QuerySet[RoutingRule], name: str, text: str) -> QuerySet[RoutingRule]:
        """Return the rules where the text occurs."""
        return rows.filter(Q(slug__icontains=text) | Q(description__icontains=text) | Q(targets__icontains=text))
