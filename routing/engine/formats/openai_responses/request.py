"""Responses requests: what routing needs of them."""

from __future__ import annotations

from routing.engine.body import read_any, read_flag, read_members, read_model, refuse_other_kinds
from routing.engine.format import Asked
from routing.engine.openai_shape import text_of


def read_request(body: bytes) -> Asked:
    """Return the facts of a request.

    Raises:
        BadRequest: see the contract.
    """
    members = read_members(body)
    refuse_other_kinds(members, ("input",), "/v1/responses")
    return Asked(
        read_model(members),
        is_stream=read_flag(members, "stream"),
        session_hint=text_of(read_any(members, "prompt_cache_key")),
        members=members,
    )
