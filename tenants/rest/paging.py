"""Lists by keyset: `?limit=&after=&before=&sort=`, stable while rows come and go, one envelope for all."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, Q
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenants.problems import FieldError, Problem

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
PARAMETERS = ("limit", "after", "before", "sort")


@dataclass(frozen=True, slots=True)
class _Page:
    limit: int
    sort: str
    cursor: str
    is_backward: bool

    @property
    def field(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def is_descending(self) -> bool:
        return self.sort.startswith("-")


class KeysetPaging(BasePagination):
    """Pages of rows ordered by one field and then by id.

    A cursor says after which row to go on, not how many rows to skip, so that page 1,000 costs what page 1 does.
    The view names what may be sorted by in `sort_fields` and the default in `default_sort`.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """Return the rows of one page; raises Problem for a parameter that makes no sense."""
        self.request = request
        page = self.page = _read(request, view)
        goes_down = page.is_descending != page.is_backward
        mark = "-" if goes_down else ""
        if page.cursor:
            queryset = queryset.filter(_beyond(queryset.model, page, goes_down))
        rows = list(queryset.order_by(f"{mark}{page.field}", f"{mark}pk")[: page.limit + 1])
        has_beyond = len(rows) > page.limit
        rows = rows[: page.limit]
        if page.is_backward:
            rows.reverse()
        has_next = page.is_backward or has_beyond
        has_prev = has_beyond if page.is_backward else bool(page.cursor)
        self.next_cursor = _cursor(page, rows[-1]) if rows and has_next else None
        self.prev_cursor = _cursor(page, rows[0]) if rows and has_prev else None
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        """Return the envelope, and the neighbours in the Link header."""
        neighbours = (("next", "after", self.next_cursor), ("prev", "before", self.prev_cursor))
        links = [
            f'<{self._address(name, cursor)}>; rel="{relation}"' for relation, name, cursor in neighbours if cursor
        ]
        body = envelope(data, self.next_cursor, self.prev_cursor)
        return Response(body, headers={"Link": ", ".join(links)} if links else None)

    def _address(self, parameter: str, cursor: str) -> str:
        query = {
            name: value for name, value in self.request.query_params.items() if name not in {"after", "before"}
        } | {parameter: cursor}
        return f"{self.request.path}?{urlencode(query)}"

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the envelope's schema for the OpenAPI document."""
        cursor = {"type": ["string", "null"]}
        return {
            "type": "object",
            "required": ["object", "data", "has_more", "next_cursor", "prev_cursor"],
            "properties": {
                "object": {"const": "list"},
                "data": schema,
                "has_more": {"type": "boolean"},
                "next_cursor": cursor | {"description": "Pass it as `after`."},
                "prev_cursor": cursor | {"description": "Pass it as `before`."},
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """Return the parameters of a list for the OpenAPI document."""
        sorts = [f"{mark}{name}" for name in _sort_fields(view) for mark in ("", "-")]
        return [
            _parameter("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
            _parameter("after", {"type": "string", "description": "The `next_cursor` of the page before."}),
            _parameter("before", {"type": "string", "description": "The `prev_cursor` of the page after."}),
            _parameter("sort", {"type": "string", "enum": sorts, "default": getattr(view, "default_sort", "")}),
        ]


def envelope(data: Any, next_cursor: str | None = None, prev_cursor: str | None = None) -> dict[str, Any]:
    """Return what every list answers."""
    return {
        "object": "list",
        "data": data,
        "has_more": next_cursor is not None,
        "next_cursor": next_cursor,
        "prev_cursor": prev_cursor,
    }


def wrong_parameter(name: str, code: str, detail: str) -> Problem:
    """Return the problem of a query parameter."""
    return Problem("validation-error", detail, errors=[FieldError(f"?{name}", code, detail)])


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return ` Did you mean …?`, or an empty string when nothing is like the word."""
    close = get_close_matches(word, known, n=1)
    return f" Did you mean `{close[0]}`?" if close else ""


def _read(request: Request, view: APIView | None) -> _Page:
    query = request.query_params
    limit_text = query.get("limit", str(DEFAULT_LIMIT))
    limit = int(limit_text) if limit_text.isascii() and limit_text.isdigit() and len(limit_text) < 6 else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise wrong_parameter("limit", "out-of-range", f"`limit` is a whole number from 1 to {MAX_LIMIT}.")
    sort = str(query.get("sort") or getattr(view, "default_sort", "id"))
    known = _sort_fields(view)
    if sort.removeprefix("-") not in known:
        detail = f"`sort` takes one of {', '.join(known)}, with - in front for the highest first."
        raise wrong_parameter("sort", "unknown", f"{detail}{suggestion(sort, known)}")
    after, before = query.get("after", ""), query.get("before", "")
    if after and before:
        raise wrong_parameter("before", "exclusive", "Give `after` or `before`, not both.")
    return _Page(limit, sort, after or before, is_backward=bool(before))


def _sort_fields(view: APIView | None) -> Sequence[str]:
    fields: Sequence[str] = getattr(view, "sort_fields", ())
    return fields


def _cursor(page: _Page, row: Model) -> str:
    value = _field(type(row), page).value_to_string(row)
    text = json.dumps([page.sort, value, row.pk], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _beyond(model: type[Model], page: _Page, goes_down: bool) -> Q:
    name = "before" if page.is_backward else "after"
    problem = wrong_parameter(name, "invalid", f"`{name}` is no cursor of this list with this order.")
    try:
        padded = page.cursor + "=" * (-len(page.cursor) % 4)
        sort, text, pk = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        value = _field(model, page).to_python(text)
    except (ValueError, TypeError, binascii.Error, ValidationError):
        raise problem from None
    if sort != page.sort or not isinstance(pk, str) or not f"{text}{pk}".isprintable():
        raise problem
    compare = "lt" if goes_down else "gt"
    # The bound stands apart from the choice, so that an index and the partitions of a table can be narrowed by it.
    bound = Q(**{f"{page.field}__{compare}e": value})
    return bound & (Q(**{f"{page.field}__{compare}": value}) | Q(**{f"pk__{compare}": pk}))


def _field(model: type[Model], page: _Page) -> Field[Any, Any]:
    field = model._meta.get_field(page.field)
    assert isinstance(field, Field), "lists are sorted by columns"
    return field


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}
