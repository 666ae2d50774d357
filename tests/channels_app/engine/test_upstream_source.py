"""Bodies that are not in memory: sent as they become known, with their length, and again where that is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from channels_app.engine.errors import UpstreamTimeout
from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.upstream import HttpUpstreams
from tests.channels_app.engine.scripted_upstream import Exchange, Serve, ok, request_to

pytestmark = pytest.mark.asyncio

SHORT_S = 0.05


class Pieces:
    """A source of a few pieces; an event among them is waited for."""

    def __init__(self, *pieces: bytes | asyncio.Event) -> None:
        self.pieces = pieces
        self.length = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
        self.begun = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun += 1
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                await piece.wait()


def upload_to(url: str, source: Pieces, **limits: float) -> UpstreamRequest:
    return replace(request_to(url, body=b"", **limits), source=source)


async def test_a_source_is_sent_whole_with_its_length(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(ok)
    response = await upstreams.send(upload_to(upstream.url(), Pieces(b"abc", b"", b"de")))
    await response.close()
    assert upstream.exchanges[0].body == b"abcde"
    assert b"content-length: 5\r\n" in upstream.exchanges[0].head.lower()
    assert b"chunked" not in upstream.exchanges[0].head.lower()


async def test_a_source_begins_anew_when_a_kept_connection_proves_closed(
    serve: Serve, upstreams: HttpUpstreams
) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.number == 2:
            exchange.reset()
        else:
            await exchange.answer(b"ok")

    upstream = await serve(answer)
    source = Pieces(b"x" * 100_000)
    for _ in range(2):
        response = await upstreams.send(upload_to(upstream.url(), source))
        assert [chunk async for chunk in response.chunks] == [b"ok"]
        await response.close()
    assert [len(exchange.body) for exchange in upstream.exchanges] == [100_000] * 3
    assert source.begun == 3


async def test_the_wait_for_the_head_begins_when_the_source_has_ended(serve: Serve, upstreams: HttpUpstreams) -> None:
    late = asyncio.Event()
    asyncio.get_running_loop().call_later(3 * SHORT_S, late.set)
    upstream = await serve(ok)
    response = await upstreams.send(upload_to(upstream.url(), Pieces(b"a", late, b"b"), first_byte_s=2 * SHORT_S))
    assert [chunk async for chunk in response.chunks] == [b"ok"]
    await response.close()


async def test_no_head_after_the_source_is_a_first_byte_timeout(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(Exchange.gone)
    with pytest.raises(UpstreamTimeout) as caught:
        await upstreams.send(upload_to(upstream.url(), Pieces(b"a"), first_byte_s=SHORT_S))
    assert caught.value.wait == "first_byte"


async def test_a_source_that_never_ends_is_a_total_timeout(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(ok)
    source = Pieces(b"a", asyncio.Event(), b"b")
    with pytest.raises(UpstreamTimeout) as caught:
        await upstreams.send(upload_to(upstream.url(), source, first_byte_s=SHORT_S / 2, total_s=SHORT_S))
    assert caught.value.wait == "total"
    assert upstreams.stats().in_flight == 0


async def test_an_answer_that_comes_before_the_source_has_ended_ends_the_sending(upstreams: HttpUpstreams) -> None:
    is_gone = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await reader.read()
        is_gone.set()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    response = await upstreams.send(upload_to(url, Pieces(b"a", asyncio.Event(), b"b")))
    assert (response.status, [chunk async for chunk in response.chunks]) == (413, [b"no"])
    await response.close()
    await is_gone.wait()
    assert upstreams.stats().open_connections == 0
    server.close()
