"""How the two APIs say no: problem documents (RFC 9457) for operators, a code and a message for key holders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from django.http import HttpResponse, JsonResponse

CONTENT_TYPE = "application/problem+json"

#: Type → (status, title). The type's address is /errors/<type>.
TYPES: Mapping[str, tuple[int, str]] = {
    "validation-error": (400, "Not valid"),
    "unauthenticated": (401, "Not signed in"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "not-acceptable": (406, "Not offered in this form"),
    "conflict": (409, "Conflict"),
    "stale-version": (412, "Changed in the meantime"),
    "request-too-large": (413, "Body too large"),
    "unsupported-media-type": (415, "Body in another form"),
    "internal-error": (500, "Internal error"),
}
_BY_STATUS = {status: name for name, (status, _) in TYPES.items()}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong: where (a JSON pointer into the body, `?name` or a header's name), and why."""

    pointer: str
    code: str
    detail: str


class Problem(Exception):
    """A refusal that becomes a problem document. The detail says what happened, why, and what to do."""

    def __init__(
        self, name: str, detail: str, *, errors: Iterable[FieldError] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.name = name
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.status, self.title = TYPES[name]


def problem_response(problem: Problem) -> HttpResponse:
    """Return the answer of a problem."""
    body = {"type": f"/errors/{problem.name}", "title": problem.title, "status": problem.status}
    body["detail"] = problem.detail
    if problem.errors:
        body["errors"] = [asdict(error) for error in problem.errors]
    return JsonResponse(body, status=problem.status, content_type=CONTENT_TYPE, headers=problem.headers)


def client_error_response(status: int, code: str, message: str) -> HttpResponse:
    """Return a refusal of the client API, which answers as programs expect: a code and a message."""
    headers = {"WWW-Authenticate": 'Bearer realm="routex"'} if status == 401 else {}
    return JsonResponse({"error": {"code": code, "message": message}}, status=status, headers=headers)


def name_of_status(status: int) -> str:
    """Return the type for a status that something else than a Problem made."""
    return _BY_STATUS.get(status, "validation-error" if status < 500 else "internal-error")
