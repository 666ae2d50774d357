"""Filters of the channel list."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from channels_app.models import Channel


class TrueOrFalse(django_filters.TypedChoiceFilter):
    """`true` or `false`; django-filter's own takes any other word for no filter at all."""

    def __init__(self, **options: Any) -> None:
        choices = (("true", "true"), ("false", "false"))
        super().__init__(choices=choices, coerce=lambda word: word == "true", **options)


class ChannelFilter(django_filters.FilterSet):
    """`?slug=&provider=&enabled=&tag=&q=`; `is_enabled` is another name of `enabled`."""

    slug = django_filters.CharFilter()
    provider = django_filters.CharFilter()
    enabled = TrueOrFalse(field_name="is_enabled")
    is_enabled = TrueOrFalse(field_name="is_enabled")
    tag = django_filters.CharFilter(method="with_tag")
    q = django_filters.CharFilter(method="matching", label="Part of the slug, the base URL or a model's name.")

    class Meta:
        model = Channel
        fields: tuple[str, ...] = ()

    def with_tag(self, rows: QuerySet[Channel], name: str, tag: str) -> QuerySet[Channel]:
        """Return the channels that carry the tag."""
        return rows.filter(tags__contains=[tag])

    def matching(self, rows: QuerySet[Channel], name: str, text: str) -> QuerySet[Channel]:
        """Return the channels where the text occurs."""
        return rows.filter(Q(slug__icontains=text) | Q(base_url__icontains=text) | Q(served_models__icontains=text))
