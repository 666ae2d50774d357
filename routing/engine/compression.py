"""Compressed bodies (RFC 9110 §8.4): clients' and upstreams', decoded within a limit."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from channels_app.engine.errors import UpstreamBroken
from routing.engine.errors import BadRequest, RequestTooLarge, named

#: Encoding → zlib's window bits; 47 finds out by itself whether it is gzip or zlib.
_WINDOWS = {b"gzip": 47, b"x-gzip": 47, b"deflate": 47}
_PIECE = 256 * 1024


def is_plain(encoding: bytes) -> bool:
    """Whether a content-encoding says that nothing was compressed."""
    return encoding.strip().lower() in {b"", b"identity"}


def decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Return a request's body as it was before compression.

    Raises:
        BadRequest: the encoding is not known here, or the body is not of that encoding.
        RequestTooLarge: it would be longer than `limit` bytes.
    """
    window = _WINDOWS.get(encoding.strip().lower())
    if window is None:
        raise BadRequest(
            f"content-encoding `{named(encoding.decode('latin-1'))}` is not understood here. "
            "Send gzip, deflate, or plain.",
            code="unsupported_encoding",
        )
    decoder = zlib.decompressobj(window)
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadRequest(f"The body is not {encoding.decode('latin-1')}: {error}.", code="invalid_encoding") from error
    if len(plain) > limit:
        raise RequestTooLarge(f"Unpacked, the body is more than the limit of {limit / 1024 / 1024:.0f} MB.")
    if not decoder.eof:
        raise BadRequest("The compressed body ends before its end.", code="invalid_encoding")
    return plain


async def unpacked(chunks: AsyncIterator[bytes], encoding: bytes) -> AsyncIterator[bytes]:
    """Yield an upstream's body as it was before compression, in pieces of bounded size.

    Raises:
        UpstreamBroken: it is not of the encoding that it says, or of one that nobody asked for.
    """
    window = _WINDOWS.get(encoding.strip().lower())
    if window is None:
        raise UpstreamBroken(f"it answered in an encoding that was not asked for ({encoding.decode('latin-1')[:40]})")
    decoder = zlib.decompressobj(window)
    try:
        async for chunk in chunks:
            while chunk:
                plain = decoder.decompress(chunk, _PIECE)
                chunk = decoder.unconsumed_tail
                if plain:
                    yield plain
        if rest := decoder.flush():
            yield rest
    except zlib.error as error:
        raise UpstreamBroken(f"its {encoding.decode('latin-1')} body cannot be unpacked: {error}") from error
