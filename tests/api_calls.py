"""Calls to the management API as tests write them: JSON in, JSON out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.test import Client

from tenants.models import User

#: The one backend that knows people; the other only answers for permissions.
LOGIN_BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@dataclass(frozen=True)
class Answer:
    """Status, decoded body and headers of an answer."""

    status: int
    body: Any
    headers: Any
    text: str

    @property
    def pointers(self) -> list[str]:
        return [error["pointer"] for error in self.body["errors"]]


class Api:
    """A caller of the management API."""

    def __init__(self, *, token: str = "", user: User | None = None, tenant: str = "", checks_csrf: bool = False):
        self.client = Client(enforce_csrf_checks=checks_csrf, raise_request_exception=False)
        self.headers = {}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        if tenant:
            self.headers["X-Routex-Tenant"] = tenant
        if user is not None:
            self.client.force_login(user, backend=LOGIN_BACKEND)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        content = b"" if body is None else json.dumps(body).encode() if not isinstance(body, bytes) else body
        response = self.client.generic(method, path, content, content_type="application/json", headers=sent)
        text = response.content.decode() if not response.streaming else ""
        is_json = "json" in response.headers.get("Content-Type", "")
        return Answer(response.status_code, json.loads(text) if is_json and text else None, response.headers, text)

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Answer:
        return self.call("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Answer:
        return self.call("DELETE", path, **headers)
