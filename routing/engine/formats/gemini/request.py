"""Gemini requests: what routing needs of them, and the bytes for an upstream."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from routing.engine.body import Members, read_any, read_members, refuse_other_kinds, splice
from routing.engine.errors import BadRequest
from routing.engine.format import Asked, Route

_OWN = ("contents", "content", "requests", "generateContentRequest")
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def read_request(route: Route, query: Mapping[str, str], body: bytes) -> Asked:
    """Return the facts of a request; the path names the model.

    Raises:
        BadRequest: see the contract.
    """
    members = read_members(body)
    method = route.operation.partition(":")[2]
    refuse_other_kinds(members, _OWN, f"a :{method} path")
    return Asked(
        route.model,
        is_stream=method == "streamGenerateContent",
        wants_sse=query.get("alt") == "sse",
        members=members,
    )


def write_request(body: bytes, asked: Asked, model: str) -> bytes:
    """Return the body, which seldom needs a change: the path names the model.

    Where the body repeats it (each request of a batch must, an embedContent may), it has to agree with the path.
    """
    if model == asked.model:
        return body
    changes = _renamed(asked.members, model)
    if "requests" in asked.members:
        changes["requests"] = _rename_each(bytes(asked.members.values["requests"]), model)
    return splice(body, asked.members, changes) if changes else body


def _renamed(members: Members, model: str) -> dict[str, bytes]:
    if not isinstance(read_any(members, "model"), str):
        return {}
    return {"model": _encode(model if model.startswith("tunedModels/") else f"models/{model}")}


def _rename_each(requests: bytes, model: str) -> bytes:
    try:
        elements = [bytes(element) for element in _ELEMENTS.decode(requests)]
    except ValueError:
        return requests  # no list; the upstream says what it thinks of that
    return b"[" + b",".join(_rename_one(element, model) for element in elements) + b"]"


def _rename_one(request: bytes, model: str) -> bytes:
    try:
        members = read_members(request)
    except BadRequest:
        return request
    return splice(request, members, _renamed(members, model))
