"""Every exception that a management view may raise → one problem document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import singledispatch
from typing import Any

from django.core import exceptions as django
from django.db import DataError, IntegrityError
from django.http import Http404, HttpResponse
from rest_framework import exceptions as drf
from rest_framework.settings import api_settings

from tenants.problems import FieldError, Problem, name_of_status, problem_response

_TAKEN = frozenset({"unique", "unique_together"})


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Return the problem document of an exception, or None for one that is a bug; DRF's setting names this."""
    pointers: Mapping[str, str] = getattr(context.get("view"), "pointers", {})
    problem = problem_of(error, pointers)
    return None if problem is None else problem_response(problem)


@singledispatch
def problem_of(error: Exception, pointers: Mapping[str, str]) -> Problem | None:
    """Return the problem of an exception. `pointers` says where in the body a model's field stands."""
    return None


@problem_of.register
def _(error: Problem, pointers: Mapping[str, str]) -> Problem:
    return error


@problem_of.register
def _(error: Http404, pointers: Mapping[str, str]) -> Problem:
    return Problem("not-found", str(error) or "There is no such object.")


@problem_of.register
def _(error: django.PermissionDenied, pointers: Mapping[str, str]) -> Problem:
    return Problem("forbidden", str(error) or "You may not do that.")


@problem_of.register
def _(error: django.RequestDataTooBig, pointers: Mapping[str, str]) -> Problem:
    return Problem("request-too-large", "The body is too large. Send less at once.")


@problem_of.register
def _(error: IntegrityError, pointers: Mapping[str, str]) -> Problem:
    # Two writers raced past the checks; the text of the database may hold what another tenant owns.
    return Problem("conflict", "An object with the same name or identity exists already.")


@problem_of.register
def _(error: DataError, pointers: Mapping[str, str]) -> Problem:
    return Problem("validation-error", "A value cannot be stored: it is too large or holds characters such as NUL.")


@problem_of.register
def _(error: django.ValidationError, pointers: Mapping[str, str]) -> Problem:
    errors = [
        FieldError(pointers.get(field, "" if field == django.NON_FIELD_ERRORS else f"/{field}"), *_code_and_text(one))
        for field, found in _by_field(error).items()
        for one in found
    ]
    is_taken = any(one.code in _TAKEN for one in errors)
    return Problem("conflict" if is_taken else "validation-error", _summary(errors), errors=errors)


def _by_field(error: django.ValidationError) -> dict[str, list[django.ValidationError]]:
    by_field: dict[str, list[django.ValidationError]] = error.update_error_dict({})
    return by_field


def _code_and_text(error: django.ValidationError) -> tuple[str, str]:
    return error.code or "invalid", " ".join(error.messages)


@problem_of.register
def _(error: drf.ValidationError, pointers: Mapping[str, str]) -> Problem:
    errors = list(_flat(error.detail, ""))
    return Problem("validation-error", _summary(errors), errors=errors)


def _flat(detail: Any, pointer: str) -> Iterator[FieldError]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flat(inner, pointer if name == api_settings.NON_FIELD_ERRORS_KEY else f"{pointer}/{name}")
    elif isinstance(detail, list):
        for place, inner in enumerate(detail):
            # A list of texts is several complaints about one place; a list of objects is one per item.
            yield from _flat(inner, pointer if isinstance(inner, str) else f"{pointer}/{place}")
    else:
        yield FieldError(pointer, str(getattr(detail, "code", "invalid")), str(detail))


def _summary(errors: list[FieldError]) -> str:
    if len(errors) == 1:
        return f"{errors[0].pointer.lstrip('/') or 'Body'}: {errors[0].detail}"
    return f"{len(errors)} values are wrong: {', '.join(error.pointer or 'the body' for error in errors)}."


@problem_of.register
def _(error: drf.APIException, pointers: Mapping[str, str]) -> Problem:
    challenge = getattr(error, "auth_header", None)
    headers = {"WWW-Authenticate": challenge} if challenge else {}
    return Problem(name_of_status(error.status_code), str(error.detail), headers=headers)
