"""Messages requests: what routing needs of them."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.body import read_any, read_flag, read_members, read_model, refuse_other_kinds
from routing.engine.format import Asked


def read_request(body: bytes) -> Asked:
    """Return the facts of a request; those of a token count are the same.

    Raises:
        BadRequest: see the contract.
    """
    members = read_members(body)
    refuse_other_kinds(members, ("messages",), "/v1/messages")
    return Asked(
        read_model(members),
        is_stream=read_flag(members, "stream"),
        session_hint=_session(read_any(members, "metadata")),
        members=members,
    )


def _session(metadata: Any) -> str:
    """Return the session inside `metadata.user_id`.

    Claude Code puts a JSON object there, older releases `user_…_account_…_session_<id>`; for others the user id
    itself is the best there is.
    """
    user_id = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user_id, str):
        return ""
    if user_id.startswith("{"):
        try:
            return msgspec.json.decode(user_id, type=_UserId).session_id
        except ValueError:
            return ""
    return user_id.rpartition("_session_")[2]


class _UserId(msgspec.Struct):
    session_id: str = ""
