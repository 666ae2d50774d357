"""DRF: /api/prices: the public prices, taking over those of a newer package, and rating requests again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import msgspec
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import public_prices
from analytics.engine.price_book import PriceBook, PricedModel
from analytics.models import PriceBook as StoredPrices
from analytics.price_books import price_book_read, price_book_update
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.rates import Rates
from routing.rerating import requests_rerate
from tenants.engine.money import usd_text
from tenants.models import Role
from tenants.problems import FieldError, Problem
from tenants.rest.paging import envelope
from tenants.rest.resources import Resource
from tenants.rest.serializers import Strict

#: Most models that one answer lists.
MAX_LISTED = 500
#: Requests that one step of a re-rating looks at; a month takes many, so that none outlasts its caller's patience.
STEP_ROWS = 5000


class PriceSerializer(serializers.Serializer):
    """What a public price list says about a model, now; USD as decimal strings, per million tokens or apiece."""

    provider = serializers.CharField(help_text="A name from GET /api/providers.")
    model = serializers.CharField(help_text="The list's own name for it; other spellings may match too.")
    rates = serializers.DictField(child=serializers.CharField(), help_text="By kind, per million tokens.")
    tiers = serializers.DictField(help_text="Rates of requests whose prompt has more tokens than this.")
    request_usd = serializers.CharField()
    web_search_usd = serializers.CharField()
    version = serializers.CharField()


class UpdatedSerializer(serializers.Serializer):
    """Which prices are in force now."""

    version = serializers.CharField()
    is_new = serializers.BooleanField()


class RerateSerializer(Strict):
    """Which requests to rate again, and how."""

    since = serializers.DateTimeField(help_text="Requests that began then or later.")
    until = serializers.DateTimeField(required=False, help_text="And before then; now by default.")
    version = serializers.CharField(default="", allow_blank=True, help_text="A stored price book; the one in force.")
    dry_run = serializers.BooleanField(default=False, help_text="Tell the difference, and change nothing.")
    after = serializers.CharField(default="", allow_blank=True, help_text="`next` of the step before.")


class ReratedSerializer(serializers.Serializer):
    """What one step found; the next one begins `after` its `next`, the last one has none."""

    looked_at = serializers.IntegerField()
    changed = serializers.IntegerField()
    unpriced = serializers.IntegerField(help_text="No price today: they keep what they cost.")
    before_usd = serializers.CharField()
    after_usd = serializers.CharField()
    version = serializers.CharField()
    next = serializers.CharField()


class PricesResource(Resource):
    """Prices of models as their vendors publish them, which channels may override."""

    serializer_class = PriceSerializer
    needs_tenant = False
    noun = "price"
    pagination_class = None
    filter_backends = ()

    def query_parameters(self) -> list[str]:
        """The list is narrowed and never paged."""
        return ["model", "provider"] if self.action == "list" else []

    @extend_schema(
        parameters=[
            OpenApiParameter("model", str, description="A model's name, or a part of names."),
            OpenApiParameter("provider", str, description="A name from GET /api/providers."),
        ]
    )
    def list(self, request: Request) -> Response:
        """Return the prices of today, at most 500 models; a name that is matched whole goes before parts of names."""
        provider = request.query_params.get("provider", "")
        if provider and provider not in PROVIDERS:
            raise _wrong("?provider", f"There is no provider `{provider}`. There are: {', '.join(PROVIDERS)}.")
        found = _listed(price_book_read(), request.query_params.get("model", ""), [provider] if provider else PROVIDERS)
        rows = [row for _, row in zip(range(MAX_LISTED + 1), found, strict=False)]
        return Response(envelope(rows[:MAX_LISTED]) | {"has_more": len(rows) > MAX_LISTED})

    @extend_schema(request=None, responses=UpdatedSerializer)
    @action(detail=False, methods=["post"], url_path="update")
    def update_book(self, request: Request) -> Response:
        """Take over the prices of the installed package; every gateway has them within seconds."""
        self._check_platform()
        version, is_new = price_book_update(public_prices.resolve_apart)
        return Response({"version": version, "is_new": is_new})

    @extend_schema(request=RerateSerializer, responses=ReratedSerializer)
    @action(detail=False, methods=["post"])
    def rerate(self, request: Request) -> Response:
        """Rate stored requests of one tenant again by the prices of today, some thousands at a step."""
        self._check_platform()
        tenant_id = self.tenant_id
        given = RerateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        book = _book(values["version"])
        try:
            found = requests_rerate(
                tenant_id=tenant_id,
                since=values["since"],
                until=values.get("until") or timezone.now() + dt.timedelta(minutes=1),
                book=book,
                limit=STEP_ROWS,
                after=values["after"],
                is_dry_run=values["dry_run"],
            )
        except ValueError:
            raise _wrong("/after", "This is not the `next` of an earlier step.") from None
        told = asdict(found)
        before, after = told.pop("before_nano_usd"), told.pop("after_nano_usd")
        return Response(told | {"before_usd": usd_text(before), "after_usd": usd_text(after), "version": book.version})

    def _check_platform(self) -> None:
        if not self.caller.is_platform or self.caller.role != Role.ADMIN:
            raise Problem("forbidden", "Prices are the platform's: this takes a platform administrator or token.")


def _book(version: str) -> PriceBook:
    try:
        return price_book_read(version=version)
    except StoredPrices.DoesNotExist:
        known = ", ".join(StoredPrices.objects.values_list("version", flat=True)[:5])
        raise _wrong("/version", f"There are no prices {version!r}. The newest are: {known or 'none'}.") from None


def _wrong(pointer: str, text: str) -> Problem:
    return Problem("validation-error", text, errors=[FieldError(pointer, "invalid", text)])


def _listed(book: PriceBook, asked: str, providers: Any) -> Iterator[dict[str, Any]]:
    """Yield what the providers' lists have for a name or a part of one."""
    parts: list[dict[str, Any]] = []
    at_s = timezone.now().timestamp()
    for provider in providers:
        name, model = PROVIDERS[provider].priced_as("", asked)
        prices = book.list_of(name) if name else None
        exact = book.model(name, model) if prices and asked else None
        if exact is not None:
            yield from _row(provider, exact, book.version, at_s)
        for entry in prices.models if prices else ():
            if (exact is None or entry.id != exact.id) and model.lower() in entry.id.lower():
                parts += _row(provider, entry, book.version, at_s)
    yield from parts


def _row(provider: str, entry: PricedModel, version: str, at_s: float) -> Iterator[dict[str, Any]]:
    price = entry.price(at_s)
    if price is None:
        return
    yield {
        "provider": provider,
        "model": entry.id,
        "rates": _rates(price.rates),
        "tiers": {str(tier.above): _rates(tier.rates) for tier in price.tiers},
        "request_usd": usd_text(price.request_nano_usd),
        "web_search_usd": usd_text(price.web_search_nano_usd),
        "version": version,
    }


def _rates(rates: Rates) -> dict[str, str]:
    return {kind: usd_text(rate) for kind, rate in msgspec.structs.asdict(rates).items() if rate is not None}
