"""Filters of the lists of requests and sessions."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet

from analytics.models import RequestRecord, SessionPin


class RequestFilter(django_filters.FilterSet):
    """`?channel=&key=&model=&session=&status=&status_class=&outcome=&since=&until=`"""

    channel = django_filters.CharFilter(field_name="channel_slug", label="Slug of the channel that answered.")
    key = django_filters.CharFilter(field_name="key_slug", label="Slug of the key.")
    model = django_filters.CharFilter(method="about_model", label="The model that was asked for, or that answered.")
    session = django_filters.CharFilter(field_name="session_id")
    status = django_filters.NumberFilter(min_value=100, max_value=599)
    status_class = django_filters.NumberFilter(method="of_class", min_value=1, max_value=5, label="2, 4, 5: a hundred.")
    outcome = django_filters.CharFilter()
    since = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="lt")

    class Meta:
        model = RequestRecord
        fields: tuple[str, ...] = ()

    def about_model(self, rows: QuerySet[RequestRecord], name: str, model: str) -> QuerySet[RequestRecord]:
        """Return the requests that asked for the model or were answered by it."""
        return rows.filter(Q(asked_model=model) | Q(upstream_model=model))

    def of_class(self, rows: QuerySet[RequestRecord], name: str, hundred: int) -> QuerySet[RequestRecord]:
        """Return the requests whose status begins with the digit."""
        return rows.filter(status__gte=hundred * 100, status__lt=(hundred + 1) * 100)


class SessionFilter(django_filters.FilterSet):
    """`?session=&model=&channel_id=`"""

    session = django_filters.CharFilter()
    model = django_filters.CharFilter()
    channel_id = django_filters.CharFilter(label="Id of the channel that it stays on.")

    class Meta:
        model = SessionPin
        fields: tuple[str, ...] = ()
