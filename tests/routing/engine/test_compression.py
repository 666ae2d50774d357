"""Compressed bodies are unpacked within the limit, or refused with a sentence."""

import asyncio
import gzip
import zlib

import pytest

from channels_app.engine.errors import UpstreamBroken
from routing.engine.compression import decompressed, unpacked
from routing.engine.errors import BadRequest, RequestTooLarge


@pytest.mark.parametrize(("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_a_packed_body_is_unpacked(encoding, pack):
    assert decompressed(pack(b'{"a":1}'), encoding, 100) == b'{"a":1}'


def test_a_bomb_is_stopped_at_the_limit():
    with pytest.raises(RequestTooLarge):
        decompressed(gzip.compress(b"0" * 10_000_000), b"gzip", 1000)


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"cut short")[:-9]])
def test_a_broken_body_is_a_bad_request(body):
    with pytest.raises(BadRequest):
        decompressed(body, b"gzip", 1000)


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
