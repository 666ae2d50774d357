"""DRF: /api/requests."""

from __future__ import annotations

from django.db.models import QuerySet

from analytics.filters import RequestFilter
from analytics.models import RequestRecord
from analytics.selectors import request_get
from analytics.serializers import RequestSerializer
from tenants.problems import Problem
from tenants.rest.resources import Listing, Reading


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
