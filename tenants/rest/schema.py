"""What the OpenAPI document says beyond what the views say themselves."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from tenants.callers import TENANT_HEADER
from tenants.problems import CONTENT_TYPE, TYPES


class ApiSchema(AutoSchema):
    """Name each operation's tenant header."""

    def get_override_parameters(self) -> list[Any]:
        """Return the header that says which tenant a call is for."""
        header = OpenApiParameter(
            TENANT_HEADER,
            str,
            OpenApiParameter.HEADER,
            description="The tenant's slug. Needed with a session or a platform token; a tenant's token has its own.",
        )
        return [*super().get_override_parameters(), header]


class CallerScheme(OpenApiAuthenticationExtension):
    """A management token, or a session with its CSRF token."""

    target_class = "tenants.rest.access.CallerAuthentication"
    name = ["managementToken", "session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Return both schemes."""
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "rtxm_…"},
            {
                "type": "apiKey",
                "in": "cookie",
                "name": "routex_session",
                "description": "Writes need X-CSRFToken too.",
            },
        ]


def only_management_paths(endpoints: list[Any], **_: Any) -> list[Any]:
    """Keep what stands under /api/."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/")]


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Say of every operation that it refuses with a problem document."""
    text = {"type": "string"}
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = {
        "type": "object",
        "description": "RFC 9457.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "enum": [f"/errors/{name}" for name in TYPES]},
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "errors": {
                "type": "array",
                "items": {"type": "object", "properties": {"pointer": text, "code": text, "detail": text}},
            },
        },
    }
    refusal = {
        "description": "A problem document",
        "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": _examples()}},
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"].setdefault("default", refusal)
    return result


def _examples() -> dict[str, Any]:
    """Return a problem of each type."""
    return {
        name: {
            "summary": kind.title,
            "value": {
                "type": f"/errors/{name}",
                "title": kind.title,
                "status": kind.status,
                "detail": kind.meaning,
            },
        }
        for name, kind in TYPES.items()
    }
