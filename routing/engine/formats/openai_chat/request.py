"""Chat Completions requests: what routing needs of them, and the bytes for an upstream."""

from __future__ import annotations

import msgspec

from routing.engine.body import read_any, read_flag, read_members, read_model, refuse_other_kinds, splice
from routing.engine.format import Asked
from routing.engine.openai_shape import text_of

_encode = msgspec.json.Encoder().encode


def read_request(body: bytes) -> Asked:
    """Return the facts of a request.

    Raises:
        BadRequest: see the contract.
    """
    members = read_members(body)
    refuse_other_kinds(members, ("messages",), "/v1/chat/completions")
    asked = Asked(read_model(members), is_stream=read_flag(members, "stream"), members=members)
    asked.session_hint = text_of(read_any(members, "prompt_cache_key"))
    if asked.is_stream:
        options = read_any(members, "stream_options")
        asked.wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        choices = read_any(members, "n")
        asked.choices = choices if isinstance(choices, int) else 1
    return asked


def write_request(body: bytes, asked: Asked, model: str) -> bytes:
    """Return the body with the upstream's model name.

    A stream tells its usage only when asked to; we always ask, and take the answer out again for a client that did
    not (ADR 7).
    """
    changes = {"model": _encode(model)}
    if asked.is_stream and not asked.wants_usage:
        options = read_any(asked.members, "stream_options")
        kept = options if isinstance(options, dict) else {}
        changes["stream_options"] = _encode({**kept, "include_usage": True})
    return splice(body, asked.members, changes)
