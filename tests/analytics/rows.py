"""A row of the request log, written inside the test's own transaction, which takes it back."""

from __future__ import annotations

import datetime as dt
import json

from django.db import connection

from analytics.models import RequestRecord
from analytics.record_table import TABLE, WRITER
from tenants.engine.ids import new_id


def request_write(**given: object) -> str:
    """Write one request as the writer role and return its id; what is not given is empty or zero."""
    row: dict[str, object] = {}
    for field in RequestRecord._meta.fields:
        kind = field.get_internal_type()
        empty = {"TextField": "", "BooleanField": False, "DateTimeField": dt.datetime.now(dt.UTC), "JSONField": "[]"}
        row[field.name] = None if field.null else empty.get(kind, 0)
    row |= {"id": new_id("req"), "status": 200, "outcome": "answered"} | given
    for name in ("attempts", "decision"):
        if not isinstance(row[name], str):
            row[name] = json.dumps(row[name])
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {WRITER}")
        names, places = ", ".join(row), ", ".join(["%s"] * len(row))
        cursor.execute(f"INSERT INTO {TABLE} ({names}) VALUES ({places})", list(row.values()))
        cursor.execute("RESET ROLE")
    return str(row["id"])
