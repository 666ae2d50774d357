"""Echo in OpenAI Embeddings."""

from __future__ import annotations

import base64
import struct
from typing import Literal

from msgspec import Struct
from msgspec.json import Decoder, encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import tokens_of
from channels_app.engine.providers.echo.openai_errors import error
from channels_app.engine.providers.echo.unit_vectors import Dimensions, unit_vectors
from channels_app.engine.providers.echo.wire import Wire


class _Body(Struct):
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Dimensions | None = None


_decode = Decoder(_Body).decode


def answer(request: UpstreamRequest) -> bytes:
    """Answer an embeddings request."""
    body = _decode(request.body)
    texts = _texts(body.input)
    vectors = unit_vectors(texts, body.dimensions)
    is_base64 = body.encoding_format == "base64"
    rows = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if is_base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(tokens_of(text) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return encode({"object": "list", "data": rows, "model": request.model, "usage": usage})


OPERATIONS = {"openai-embeddings": Wire(answer, error)}


def _texts(asked: str | list[str | int | list[int]]) -> list[str]:
    """Return one text for each input: a string, many strings, one list of tokens, or many."""
    if isinstance(asked, str):
        return [asked]
    if asked and all(isinstance(token, int) for token in asked):
        return [str(asked)]
    return [str(text) for text in asked]


def _base64(vector: list[float]) -> str:
    """Return the vector as little-endian 32-bit floats, which is what the official clients ask for."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
