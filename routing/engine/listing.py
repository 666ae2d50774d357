"""The model listings, in the shape of whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from urllib.parse import unquote

from routing.engine.call import Call
from routing.engine.format import Format
from routing.engine.formats import DEFAULT, FORMATS
from routing.engine.gateway import Gateway
from routing.engine.pipeline import admit, authenticate
from routing.engine.resolution import is_served, not_served

_PATHS = ("/v1/models", "/v1beta/models")
#: Paths beyond this length are not compared with those that exist.
_MAX_PATH_CHARS = 300


def is_listing(path: str, method: str) -> bool:
    """Whether a path is a listing of models or the card of one; what is posted to a model is neither."""
    if method == "POST" and ":" in path:
        return False
    return any(path == known or path.startswith(f"{known}/") for known in _PATHS)


def format_of(headers: Mapping[bytes, bytes], path: str) -> Format:
    """Return the format whose listing or error shape the caller expects: the first that recognises its headers."""
    for name in FORMATS:
        if FORMATS[name].speaks(headers, path):
            return FORMATS[name]
    return FORMATS[DEFAULT]


def closest_path(path: str, known: list[str]) -> str:
    """Return the known path that looks most like this one, or an empty string."""
    if len(path) > _MAX_PATH_CHARS:
        return ""
    model, mark, _ = path.rpartition(":")
    # Some libraries ask a version of the paths that is not served (`/v1alpha/…`).
    served = "/v1beta/" + model.removeprefix("/").partition("/")[2]
    methods = [
        asked
        for name in (FORMATS if mark else ())
        for method in FORMATS[name].methods
        for asked in (f"{model}:{method}", f"{served}:{method}")
        if FORMATS[name].route(asked) is not None
    ]
    return next(iter(get_close_matches(path, [*known, *methods], n=1, cutoff=0.75)), "")


async def answer(call: Call, gateway: Gateway, path: str) -> bytes:
    """Return the body of a listing, or of one model's card.

    Raises:
        GatewayError: the caller is not known, or the model is not served for it.
    """
    call.principal = authenticate(call, gateway)
    await admit(call, gateway)
    assert call.snapshot is not None
    created_s = call.snapshot.created_s
    prefix = next(known for known in reversed(_PATHS) if path.startswith(known))
    asked = unquote(path[len(prefix) :].strip("/"))
    if not asked:
        served = [name for name in call.snapshot.models if is_served(call.snapshot, call.principal, name)]
        return call.format.model_list(served, created_s, call.query)
    if not is_served(call.snapshot, call.principal, asked):
        raise not_served(call.snapshot, call.principal, asked)
    return call.format.model_card(asked, created_s)
