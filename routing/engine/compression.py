"""Compressed bodies (RFC 9110 §8.4): clients' and upstreams', decoded within a limit."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable

import zstandard

from channels_app.engine.errors import UpstreamBroken
from routing.engine.errors import BadRequest, RequestTooLarge, named

#: Window bits by which zlib finds out by itself whether it is gzip or zlib.
_ANY_WINDOW = 47
#: What upstreams are asked for, and what they answer in all the same.
_ZLIB = frozenset({b"gzip", b"x-gzip", b"deflate"})
_PIECE = 256 * 1024
#: The largest window of zstd in HTTP (RFC 9659).
_ZSTD_WINDOW = 8 * 1024 * 1024
#: zstd makes up to 128 KB of four bytes and knows no bound of its own, so it is fed by little: 32 MB at a time at most.
_ZSTD_STEP = 1024


def is_plain(encoding: bytes) -> bool:
    """Whether a content-encoding says that nothing was compressed."""
    return encoding.strip().lower() in {b"", b"identity"}


def decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Return a request's body as it was before compression.

    Raises:
        BadRequest: the encoding is not known here, or the body is not of that encoding.
        RequestTooLarge: it would be longer than `limit` bytes.
    """
    unpack = _UNPACKING.get(encoding.strip().lower())
    if unpack is None:
        raise BadRequest(
            f"content-encoding `{named(encoding.decode('latin-1'))}` is not understood here. "
            "Send gzip, deflate, zstd, or plain.",
            code="unsupported_encoding",
        )
    try:
        plain, rest = unpack(body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise BadRequest(f"The body is not {encoding.decode('latin-1')}: {error}.", code="invalid_encoding") from error
    if len(plain) > limit:
        raise RequestTooLarge(f"Unpacked, the body is more than the limit of {limit / 1024 / 1024:.0f} MB.")
    if rest:
        raise BadRequest(
            f"The compressed body ends {len(rest)} B before the body does. Send it as one piece.",
            code="invalid_encoding",
        )
    return plain


def _inflated(body: bytes, limit: int) -> tuple[bytes, bytes]:
    """Return a gzip or zlib body, cut off behind its limit, and what follows it; raises zlib.error, EOFError."""
    decoder = zlib.decompressobj(_ANY_WINDOW)
    plain = decoder.decompress(body, limit + 1)
    if len(plain) <= limit and not decoder.eof:
        raise EOFError("it ends before its end")
    return plain, decoder.unused_data


def _unzstd(body: bytes, limit: int) -> tuple[bytes, bytes]:
    """Return a zstd frame (RFC 8878), cut off behind its limit, and what follows it; raises ZstdError, EOFError."""
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
    plain = bytearray()
    for place in range(0, len(body), _ZSTD_STEP):
        plain += decoder.decompress(body[place : place + _ZSTD_STEP])
        if decoder.eof:
            return bytes(plain), decoder.unused_data + body[place + _ZSTD_STEP :]
        if len(plain) > limit:
            return bytes(plain), b""
    raise EOFError("it ends before its end")


_UNPACKING: dict[bytes, Callable[[bytes, int], tuple[bytes, bytes]]] = {
    **dict.fromkeys(_ZLIB, _inflated),
    b"zstd": _unzstd,
}


async def unpacked(chunks: AsyncIterator[bytes], encoding: bytes) -> AsyncIterator[bytes]:
    """Yield an upstream's body as it was before compression, in pieces of bounded size.

    Raises:
        UpstreamBroken: it is not of the encoding that it says, or of one that nobody asked for.
    """
    if encoding.strip().lower() not in _ZLIB:
        raise UpstreamBroken(f"it answered in an encoding that was not asked for ({encoding.decode('latin-1')[:40]})")
    decoder = zlib.decompressobj(_ANY_WINDOW)
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
