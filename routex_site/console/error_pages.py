"""The pages under /errors/: what each code of the gateway and each problem type of the APIs means."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from routing.engine.catalogue import ROWS
from tenants.problems import TYPES


@dataclass(frozen=True, slots=True)
class Entry:
    """One error as the pages show it."""

    name: str
    status: int
    what: str
    texts: tuple[str, ...]
    advice: str = ""


def _advice(should_retry: bool) -> str:
    return "Trying again helps." if should_retry else "Trying the same again does not help."


GATEWAY = tuple(Entry(row.code, row.status, row.what, (row.why, row.remedy), _advice(row.should_retry)) for row in ROWS)
PROBLEMS = tuple(Entry(name, kind.status, f"{kind.title}.", (kind.meaning,)) for name, kind in TYPES.items())
_BY_NAME = {entry.name: entry for entry in (*GATEWAY, *PROBLEMS)}


@require_safe
def errors(request: HttpRequest) -> HttpResponse:
    """List every error."""
    return render(request, "console/errors.html", {"gateway": GATEWAY, "problems": PROBLEMS})


@require_safe
def error(request: HttpRequest, name: str) -> HttpResponse:
    """Explain one error: where `docs` of an error and `type` of a problem document lead."""
    if name not in _BY_NAME:
        raise Http404("There is no such error.")
    return render(request, "console/error.html", {"entry": _BY_NAME[name]})
