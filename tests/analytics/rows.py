"""Rows of the request log and sessions, written inside the test's own transaction, which takes it back."""

from __future__ import annotations

import datetime as dt
import json

from django.db import connection
from django.utils import timezone

from analytics.models import RequestRecord, SessionPin
from analytics.record_table import TABLE, WRITER
from tenants.context import tenant_scope
from tenants.engine.ids import new_id


def request_write(**given: object) -> str:
    """Write one request as the writer role and return its id; what is not given is empty or zero."""
    row: dict[str, object] = {}
    for field in RequestRecord._meta.fields:
        kind = field.get_internal_type()
        empty = {"TextField": "", "BooleanField": False, "DateTimeField": dt.datetime.now(dt.UTC), "JSONField": "{}"}
        row[field.name] = None if field.null else empty.get(kind, 0)
    row |= {"id": new_id("req"), "attempts": "[]", "status": 200, "outcome": "answered"} | given
    for name in ("attempts", "decision"):
        if not isinstance(row[name], str):
            row[name] = json.dumps(row[name])
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {WRITER}")
        names, places = ", ".join(row), ", ".join(["%s"] * len(row))
        cursor.execute(f"INSERT INTO {TABLE} ({names}) VALUES ({places})", list(row.values()))
        cursor.execute("RESET ROLE")
    return str(row["id"])


def session_write(
    tenant_id: str, session: str, *, channel_id: str = "chn_a", life_s: float = 600, minutes_ago: int = 0
) -> SessionPin:
    """Write a session of a tenant, in its scope."""
    now = timezone.now()
    used = now - dt.timedelta(minutes=minutes_ago)
    with tenant_scope(tenant_id):
        return SessionPin.objects.create(
            id=new_id("ses"), tenant_id=tenant_id, session=session, model="m", channel_id=channel_id,
            credential="main", begun_at=used, used_at=used, expires_at=now + dt.timedelta(seconds=life_s), written_by=0,
        )  # fmt: skip
