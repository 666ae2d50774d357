"""Forms that are sent to echo: read in passing, never held."""

from __future__ import annotations

from msgspec import Struct
from msgspec.json import encode

from channels_app.engine.multipart import FormScanner, Part, boundary_of
from channels_app.engine.provider import UpstreamRequest


class File(Struct):
    """A file that was uploaded."""

    name: str
    size: int


class Form(Struct):
    """What a form holds, by the fields' names; the last one of a repeated name."""

    fields: dict[str, str]
    files: dict[str, File]


async def form_of(request: UpstreamRequest) -> bytes:
    """Return a request's form as the JSON of a `Form`.

    Raises:
        MalformedForm: it is none.
    """
    content_type = next((value for name, value in request.headers if name.lower() == "content-type"), "")
    scanner = FormScanner(boundary_of(content_type.encode()))
    parts: list[Part] = scanner.feed(request.body)
    if request.source is not None:
        async for chunk in request.source:
            parts += scanner.feed(chunk)
    scanner.finish()
    fields = {part.name: part.value.decode("utf-8", "replace") for part in parts if not part.is_file}
    files = {part.name: File(part.filename, part.end - part.start) for part in parts if part.is_file}
    return encode(Form(fields, files))
