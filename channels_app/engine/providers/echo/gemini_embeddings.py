"""Echo in Gemini embedContent and batchEmbedContents."""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.gemini_json import error, read
from channels_app.engine.providers.echo.unit_vectors import Dimensions, unit_vectors
from channels_app.engine.providers.echo.wire import Wire


class _Part(Struct):
    text: str = ""


class _Content(Struct):
    parts: list[_Part]


class _Body(Struct, rename="camel"):
    content: _Content
    output_dimensionality: Dimensions | None = None

    def text(self) -> str:
        return " ".join(part.text for part in self.content.parts)


class _Batch(Struct):
    requests: list[_Body]


def one(request: UpstreamRequest) -> bytes:
    """Answer embedContent."""
    body = read(request.body, _Body)
    [vector] = unit_vectors([body.text()], body.output_dimensionality)
    return encode({"embedding": {"values": vector}})


def batch(request: UpstreamRequest) -> bytes:
    """Answer batchEmbedContents; every request of a batch has the dimensions of the first."""
    bodies = read(request.body, _Batch).requests
    dimensions = bodies[0].output_dimensionality if bodies else None
    vectors = unit_vectors([body.text() for body in bodies], dimensions)
    return encode({"embeddings": [{"values": vector} for vector in vectors]})


OPERATIONS = {
    "gemini:embedContent": Wire(one, error),
    "gemini:batchEmbedContents": Wire(batch, error),
}
