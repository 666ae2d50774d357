"""The client API: what a program that holds a tenant key may ask about itself."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import ValidationError

from routex_site import VERSION
from routing.client_api import router as models_router
from tenants.client_api import ClientError, KeyAuth
from tenants.client_api import router as key_router
from tenants.problems import client_error_response

client_api = NinjaAPI(
    title="Routex client API",
    version=VERSION,
    description="For programs that hold a tenant key. Operators use the management API at /api/.",
    urls_namespace="client",
    docs_url=None,
    auth=KeyAuth(),
)
client_api.add_router("", key_router)
client_api.add_router("", models_router)


@client_api.exception_handler(ClientError)
def refuse(request: HttpRequest, error: ClientError | type[ClientError]) -> HttpResponse:
    """Answer a refusal."""
    assert isinstance(error, ClientError)
    return client_error_response(error.status, error.code, error.message)


@client_api.exception_handler(ValidationError)
def refuse_value(request: HttpRequest, error: Any) -> HttpResponse:
    """Answer a parameter or body that does not fit."""
    first = error.errors[0]
    return client_error_response(400, "invalid_value", f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}")


@client_api.exception_handler(Http404)
def refuse_unknown(request: HttpRequest, error: Any) -> HttpResponse:
    """Answer what is not there."""
    return client_error_response(404, "not_found", str(error) or "There is no such object.")
