"""Thought signatures: what a slot of base64 holds, and which blobs an upstream may be sent."""

from __future__ import annotations

from msgspec.structs import replace

from routing.engine.codec import Exchange
from routing.engine.formats.gemini.members import Members, text
from routing.engine.messages import Opaque
from routing.engine.provenance import family, is_ours, unwrap_bytes, wrap_bytes

#: What stands for a signature where a model demands one and none was ever issued, as Google's own clients send it.
SKIP = "skip_thought_signature_validator"
FORMAT = "gemini"
#: Where a signature belonged.
ON_CALL, ON_TEXT, ON_THOUGHT = "call", "text", ""
#: The place of another format's artefact that stood for thinking nobody may see.
_REDACTED = "redacted"


def decode_signature(part: Members, path: str) -> Opaque | None:
    """Return what a client's `thoughtSignature` holds, None where there is none.

    Raises:
        BadRequest: it is no string.
    """
    signature = text(part, "thoughtSignature", path)
    # What says that there is no signature is none; the encoder says it again where it has to be said.
    return unwrap_bytes(signature) if signature and signature != SKIP else None


def is_foreign(state: Opaque, own: str) -> bool:
    """Whether an artefact was issued in another format: it then belongs to reasoning, wherever it was put."""
    return state.origin is not None and state.origin.format != own


def decode_redacted(state: Opaque) -> tuple[Opaque, bool]:
    """Return an artefact as its issuer named its place, and whether it stands for hidden thinking."""
    is_redacted = state.place == _REDACTED
    return (replace(state, place="") if is_redacted else state), is_redacted


def encode_signature(state: Opaque, *, is_redacted: bool = False) -> str:
    """Return an artefact for a client's slot."""
    if is_redacted and not state.place and state.origin is not None:
        state = replace(state, place=_REDACTED)
    return wrap_bytes(state)


def sendable(state: Opaque | None, exchange: Exchange) -> str:
    """Return the blob to send to the exchange's upstream, "" when it is not this upstream's.

    A signature holds for the models of one family, whoever hosts them; one that came unwrapped is passed on where the
    client speaks the upstream's own format, or put it where only this format's signatures belong.
    """
    if state is None:
        return ""
    target, origin = exchange.target, state.origin
    if origin is None:
        is_own = (exchange.request.format == target.format or state.place == FORMAT) and not is_ours(state)
    else:
        is_own = origin.format == target.format and origin.family == family(target.model)
    return state.blob if is_own else ""
