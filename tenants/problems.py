"""How the two APIs say no: problem documents (RFC 9457) for operators, a code and a message for key holders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from django.http import HttpResponse, JsonResponse

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """What the problems of one type have in common; `meaning` says why it is answered, and what to do."""

    status: int
    title: str
    meaning: str


#: Name → type. The type's address is /errors/<name>.
TYPES: Mapping[str, ProblemType] = {
    "validation-error": ProblemType(
        400, "Not valid", "Something in the body or the query is wrong; `errors` says what and where. Correct it."
    ),
    "unauthenticated": ProblemType(
        401, "Not signed in", "The call has neither a management token that counts nor a session. Send one."
    ),
    "forbidden": ProblemType(
        403, "Not allowed", "The caller is known and its role does not suffice, or a session sent no CSRF token."
    ),
    "not-found": ProblemType(
        404, "Not found", "There is no such object, or it belongs to a tenant that is not the caller's."
    ),
    "method-not-allowed": ProblemType(
        405, "Method not allowed", "The path takes other methods; `/api/docs/` lists them."
    ),
    "not-acceptable": ProblemType(406, "Not offered in this form", "`accept` asks for a form that is not offered."),
    "conflict": ProblemType(
        409, "Conflict", "An object with this name or identity exists already. Take another name, or change that one."
    ),
    "stale-version": ProblemType(
        412, "Changed in the meantime", "The object is no longer the one that `if-match` names. Read it again."
    ),
    "request-too-large": ProblemType(413, "Body too large", "The body is larger than allowed. Send less at once."),
    "unsupported-media-type": ProblemType(
        415, "Body in another form", "The body's `content-type` is not understood here. Send JSON."
    ),
    "internal-error": ProblemType(
        500, "Internal error", "Routex itself failed, which is a bug. The log tells more to whoever runs it."
    ),
}
_BY_STATUS = {kind.status: name for name, kind in TYPES.items()}


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
        self.status, self.title = TYPES[name].status, TYPES[name].title


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
