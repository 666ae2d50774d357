"""DRF: /api/requests, /api/sessions."""

from __future__ import annotations

from django.db.models import QuerySet

from analytics.filters import RequestFilter, SessionFilter
from analytics.models import RequestRecord, SessionPin
from analytics.selectors import request_get, sessions_pinned
from analytics.serializers import RequestSerializer, SessionSerializer
from analytics.services import session_unpin
from tenants.problems import Problem
from tenants.rest.resources import Deleting, Listing, Reading


class Requests(Listing, Reading):
    """Requests: what went through the gateway, newest first; written by the gateways only."""

    queryset = RequestRecord.objects.all()
    serializer_class = RequestSerializer
    filterset_class = RequestFilter
    noun = "request"
    id_prefix = "req"
    has_slug = False
    sort_fields = ("started_at",)
    default_sort = "-started_at"

    def get_queryset(self) -> QuerySet[RequestRecord]:
        """Return the tenant's requests."""
        return RequestRecord.objects.filter(tenant_id=self.tenant_id)

    def get_object(self) -> RequestRecord:
        """Return one request by its id, the way that opens one partition's row and not all of a tenant's."""
        reference = str(self.kwargs["id"])
        found = request_get(tenant_id=self.tenant_id, request_id=reference) if reference.isprintable() else None
        if found is None:
            raise Problem("not-found", f"There is no request {reference!r}.")
        return found


class Sessions(Listing, Reading, Deleting):
    """Sessions: which channel and credential each conversation stays on. Deleting one lets it go."""

    queryset = SessionPin.objects.all()
    serializer_class = SessionSerializer
    filterset_class = SessionFilter
    noun = "session"
    id_prefix = "ses"
    has_slug = False
    sort_fields = ("used_at", "begun_at")
    default_sort = "-used_at"

    def get_queryset(self) -> QuerySet[SessionPin]:
        """Return the tenant's sessions that are pinned now."""
        return sessions_pinned(tenant_id=self.tenant_id)

    def delete_object(self, found: SessionPin) -> None:
        """Unpin it."""
        session_unpin(tenant_id=self.tenant_id, session=found, actor=self.caller.actor)
