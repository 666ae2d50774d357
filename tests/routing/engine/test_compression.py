"""Compressed bodies are unpacked within the limit, or refused with a sentence."""

import asyncio
import gzip
import os
import zlib

import pytest
import zstandard

from channels_app.engine.errors import UpstreamBroken
from routing.engine.compression import decompressed, unpacked
from routing.engine.errors import BadRequest, RequestTooLarge


def streamed(body: bytes) -> bytes:
    """Pack without saying the length beforehand."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(body) + packer.flush()


def far_reaching(body: bytes) -> bytes:
    """Pack with a window larger than HTTP allows."""
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    return packer.compress(body) + packer.flush()


PACKERS = [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"zstd", zstandard.compress), (b"ZSTD", streamed)]


@pytest.mark.parametrize(("encoding", "pack"), PACKERS)
@pytest.mark.parametrize("random_bytes", [0, 99_000])
def test_a_packed_body_is_unpacked(encoding, pack, random_bytes):
    plain = b'{"a":"%s"}' % os.urandom(random_bytes).hex().encode()
    assert decompressed(pack(plain), encoding, 200_000) == plain


@pytest.mark.parametrize(("encoding", "pack"), PACKERS)
@pytest.mark.parametrize("size", [1001, 10_000_000])
def test_a_bomb_is_stopped_at_the_limit(encoding, pack, size):
    assert len(decompressed(pack(b"0" * 1000), encoding, 1000)) == 1000
    with pytest.raises(RequestTooLarge):
        decompressed(pack(b"0" * size), encoding, 1000)


@pytest.mark.parametrize(("encoding", "pack"), PACKERS)
@pytest.mark.parametrize("broken", [lambda body: b"no such body", lambda body: body[:-5], lambda body: body + b"more"])
def test_a_broken_body_is_a_bad_request(encoding, pack, broken):
    with pytest.raises(BadRequest) as refused:
        decompressed(broken(pack(b"cut short")), encoding, 1000)
    assert refused.value.code == "invalid_encoding"


def test_a_window_larger_than_http_allows_is_refused():
    with pytest.raises(BadRequest, match="zstd"):
        decompressed(far_reaching(os.urandom(1000)), b"zstd", 1000)


def test_an_unknown_encoding_is_named():
    with pytest.raises(BadRequest, match="br") as refused:
        decompressed(b"x", b"br", 1000)
    assert refused.value.status == 415


async def pieces(body: bytes, size: int):
    for place in range(0, len(body), size):
        yield body[place : place + size]


def unpack(body: bytes, size: int, encoding: bytes) -> bytes:
    async def run() -> bytes:
        return b"".join([piece async for piece in unpacked(pieces(body, size), encoding)])

    return asyncio.run(run())


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_an_upstreams_packed_answer_comes_out_plain_however_it_is_cut(size):
    body = b'{"a":"' + b"x" * 10_000 + b'"}'
    assert unpack(gzip.compress(body), size, b"gzip") == body


@pytest.mark.parametrize(("body", "encoding"), [(b"x", b"br"), (b"no gzip at all", b"gzip")])
def test_an_upstream_whose_encoding_cannot_be_read_is_broken(body, encoding):
    with pytest.raises(UpstreamBroken):
        unpack(body, 1, encoding)
