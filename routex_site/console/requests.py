"""The request list, its exports, and the page of one request."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec
from django.conf import settings
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_safe

from analytics.engine.record import AttemptRecord
from analytics.live import live_row
from analytics.models import RequestRecord
from analytics.selectors import request_cursor, request_get, requests_newest
from channels_app.models import Channel
from channels_app.selectors import models_served
from routex_site.console.decisions import decision_view
from routex_site.console.exports import EXPORTS
from routex_site.console.rows import OUTCOMES, duration_text, moment_text, row_view, tone_of, zone_of
from tenants.middleware import TenantRequest
from tenants.models import GatewayKey

PAGE_ROWS = 50
EXPORT_ROWS = 10_000
STATUS_CLASSES = {"2": "2xx answered", "4": "4xx", "5": "5xx"}
CHANNEL_CHOICES = 500


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list is narrowed to; everything that makes no sense is left out."""

    status: str = ""
    outcome: str = ""
    model: str = ""
    channel: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> Filters:
        """Return the filters of a query string."""
        status, outcome = query.get("status", ""), query.get("outcome", "")
        return cls(
            status=status if status in STATUS_CLASSES else "",
            outcome=outcome if outcome in OUTCOMES else "",
            model=query.get("model", "").strip(),
            channel=query.get("channel", "").strip(),
        )

    @property
    def chosen(self) -> dict[str, str]:
        """Return the filters that are set, as the query string has them."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name))}

    @property
    def sentence(self) -> str:
        """Return the filters in words."""
        return ", ".join(f"{name} {value}{'xx' if name == 'status' else ''}" for name, value in self.chosen.items())

    def records(self, tenant_id: str, *, limit: int, before: str) -> list[RequestRecord]:
        """Return the newest records that pass."""
        return requests_newest(
            tenant_id=tenant_id,
            limit=limit,
            before=before,
            channel=self.channel,
            model=self.model,
            status_class=int(self.status) if self.status else None,
            outcome=self.outcome,
        )


@require_safe
def requests_list(request: TenantRequest) -> HttpResponse:
    """Show the newest requests, or the same list as a file with `?format=json|ndjson|csv`."""
    tenant = request.membership.tenant
    # Before the rows are read: what is recorded from here on comes over the websocket.
    since_us = time.time_ns() // 1000
    filters = Filters.read(request.GET)
    before = request.GET.get("before", "")
    form = request.GET.get("format", "")
    if form:
        return _export(filters, tenant.id, before, form)
    records = _records(filters, tenant.id, PAGE_ROWS + 1, before)
    shown = records[:PAGE_ROWS]
    zone = zone_of(tenant.timezone)
    context = {
        "page": "requests",
        "state": "ready" if shown else "empty",
        "rows": [row_view(live_row(record), zone) for record in shown],
        "filters": filters,
        "outcomes": OUTCOMES,
        "status_classes": STATUS_CLASSES,
        "channels": _channel_choices(filters.channel),
        "models": sorted({name for record in shown for name in (record.asked_model, record.upstream_model) if name}),
        "is_first_page": not before,
        "older": _link(filters, before=request_cursor(record=shown[-1])) if len(records) > PAGE_ROWS else "",
        "newest": _link(filters),
        "exports": {name: _link(filters, before=before, format=name) for name in EXPORTS},
        "live": {
            "since": str(since_us),
            "socket": f"/ws/t/{tenant.slug}/requests/",
            "timezone": tenant.timezone if str(zone) == tenant.timezone else "UTC",
            "filters": filters.chosen,
            "outcomes": OUTCOMES,
            "has_older": len(records) > PAGE_ROWS,
        },
        "timezone": tenant.timezone,
    }
    if not shown and not filters.chosen and not before:
        context["first_steps"] = _first_steps()
    return render(request, "console/requests.html", context)


@require_safe
def request_detail(request: TenantRequest, request_id: str) -> HttpResponse:
    """Show everything that is on record about one request."""
    tenant = request.membership.tenant
    record = request_get(tenant_id=tenant.id, request_id=request_id)
    if record is None:
        raise Http404("No such request.")
    zone = zone_of(tenant.timezone)
    context = {
        "page": "requests",
        "record": record,
        "row": row_view(live_row(record), zone),
        "finished": moment_text(record.finished_at, zone),
        "recorded": moment_text(record.recorded_at, zone),
        "timezone": tenant.timezone,
        "attempts": _attempts(record),
        "decision": decision_view(record.decision),
        "spans": _spans(record),
    }
    return render(request, "console/request.html", context)


def _records(filters: Filters, tenant_id: str, limit: int, before: str) -> list[RequestRecord]:
    try:
        return filters.records(tenant_id, limit=limit, before=before)
    except ValueError:
        raise Http404("This is no mark of a place in the list.") from None


def _export(filters: Filters, tenant_id: str, before: str, form: str) -> HttpResponse:
    if form not in EXPORTS:
        raise Http404(f"There is no export as {form}.")
    content_type, write = EXPORTS[form]
    rows = [live_row(record) for record in _records(filters, tenant_id, EXPORT_ROWS, before)]
    headers = {"Content-Disposition": f'attachment; filename="requests.{form}"', "Cache-Control": "no-store"}
    return HttpResponse(write(rows), content_type=content_type, headers=headers)


def _link(filters: Filters, **more: str) -> str:
    query = urlencode(filters.chosen | {name: value for name, value in more.items() if value})
    return f"?{query}" if query else "?"


def _channel_choices(chosen: str) -> list[str]:
    slugs = list(Channel.objects.order_by("slug").values_list("slug", flat=True)[:CHANNEL_CHOICES])
    return slugs if not chosen or chosen in slugs else [chosen, *slugs]


def _first_steps() -> dict[str, Any]:
    """Return what the empty list shows a newcomer: the next step and a line that makes the first row."""
    served = list(models_served())
    return {
        "has_channel": Channel.objects.filter(is_enabled=True).exists(),
        "has_key": GatewayKey.objects.exists(),
        "base_url": settings.PUBLIC_URL,
        "model": served[0] if served else "MODEL",
    }


def _attempts(record: RequestRecord) -> list[dict[str, Any]]:
    return [
        {
            "attempt": attempt,
            "duration": duration_text(attempt.duration_ms),
            "tone": "ok" if attempt.reason == "ok" else tone_of("", attempt.status or 500),
        }
        for attempt in msgspec.convert(record.attempts, list[AttemptRecord])
    ]


def _spans(record: RequestRecord) -> list[dict[str, Any]]:
    """Return the parts of the request's time, each with its place on a scale of 100."""
    ends = [("In Routex", record.queue_ms), ("Connecting", record.queue_ms + record.connect_ms)]
    if record.first_token_ms is not None:
        ends.append(("Until the first token", record.first_token_ms))
    ends.append(("Answering", record.total_ms))
    whole_ms = max(record.total_ms, 0.001)
    spans, begin_ms = [], 0.0
    for label, end_ms in ends:
        end_ms = min(max(end_ms, begin_ms), whole_ms)
        spans.append(
            {
                "label": label,
                "text": duration_text(end_ms - begin_ms),
                "x": f"{begin_ms / whole_ms * 100:.2f}",
                "width": f"{max((end_ms - begin_ms) / whole_ms * 100, 0.4):.2f}",
            }
        )
        begin_ms = end_ms
    return spans
