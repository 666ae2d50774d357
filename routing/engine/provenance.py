"""Provenance of opaque artefacts: wrap them with their origin for the client's slot, unwrap them on the way back.

A signature or encrypted item means something only to who issued it, and draws a 400 from everyone else. Clients carry
it between turns without looking inside, so the origin travels with it:

    rtx1:<format>:<provider>:<account>:<family>:<base64 of place|blob>
"""

from __future__ import annotations

import base64
import binascii
import re

from routing.engine.messages import Opaque, Origin

PREFIX = "rtx1:"
#: How a wrapper begins inside a body's bytes, plain and in base64 (Gemini's signatures are bytes): a body without
#: either holds none, whatever else it holds.
MARKS = (PREFIX.encode(), base64.b64encode(PREFIX.encode())[:6])

#: How hosts write the region and the vendor before a model's name: `us.vendor.model-1`.
_HOSTED = re.compile(r"^(?:[a-z-]+\.)+(?=[a-z])")
_FAMILY = re.compile(r"[a-z]+(?:-?\d+(?:\.\d+)?)?")


def family(model: str) -> str:
    """Return a model's name without vendor, variant and date: `gemini-3`, `gpt-5.6`, `claude`.

    Artefacts outlive a change of variant within a family, not one between families.
    """
    name = _HOSTED.sub("", model.rpartition("/")[2].lower(), count=1)
    found = _FAMILY.match(name)
    return found[0] if found else name[:32]


def wrap(state: Opaque) -> str:
    """Return the text that stands for an artefact in a client's opaque slot; one of unknown origin stays as it is."""
    origin = state.origin
    if origin is None:
        return state.blob
    payload = base64.b64encode(f"{state.place}|{state.blob}".encode()).decode()
    return f"{PREFIX}{origin.format}:{origin.provider}:{origin.account}:{origin.family}:{payload}"


def wrap_bytes(state: Opaque) -> str:
    """Return the same for a slot that holds base64 (Gemini's `thoughtSignature`)."""
    return state.blob if state.origin is None else base64.b64encode(wrap(state).encode()).decode()


def unwrap(text: str) -> Opaque:
    """Return what a client's opaque slot holds: our wrapper with its origin, or anything else as it is."""
    fields = text.split(":")
    if not text.startswith(PREFIX) or len(fields) != 6:
        return Opaque(text)
    try:
        place, _, blob = base64.b64decode(fields[5], validate=True).decode().partition("|")
    except (binascii.Error, ValueError):
        return Opaque(text)
    return Opaque(blob, Origin(fields[1], fields[2], fields[3], fields[4]), place)


def unwrap_bytes(text: str) -> Opaque:
    """Return what a slot that holds base64 holds."""
    if not text.startswith(MARKS[1].decode()):
        return Opaque(text)
    try:
        wrapper = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return Opaque(text)
    state = unwrap(wrapper)
    return state if state.origin is not None else Opaque(text)


def is_ours(state: Opaque) -> bool:
    """Whether an artefact came in our wrapper, whole or torn: only the former may ever be unwrapped for its issuer."""
    return state.origin is not None or state.blob.startswith((PREFIX, MARKS[1].decode()))


def may_hold_wrapper(body: bytes) -> bool:
    """Whether a request's bytes may hold a wrapper, so that they must not be passed on unread."""
    return any(mark in body for mark in MARKS)
