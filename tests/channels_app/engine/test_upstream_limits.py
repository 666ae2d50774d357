"""Every wait for an upstream ends, and only the upstream's own slowness counts as idle."""

from __future__ import annotations

import asyncio

import pytest

from channels_app.engine.errors import UpstreamTimeout
from channels_app.engine.upstream import HttpUpstreams
from tests.channels_app.engine.scripted_upstream import Exchange, Serve, request_to

pytestmark = pytest.mark.asyncio

SHORT_S = 0.05


class Stalling:
    """Sends what it is given, then nothing, and notices when the client hangs up."""

    def __init__(self, *sent: bytes) -> None:
        self.sent = sent
        self.is_gone = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        for data in self.sent:
            await exchange.write(data)
        await exchange.gone()
        self.is_gone.set()


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_a_handshake_that_never_ends_is_a_connect_timeout(upstreams: HttpUpstreams) -> None:
    is_gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        is_gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    with pytest.raises(UpstreamTimeout) as caught:
        await upstreams.send(request_to(url, connect_s=SHORT_S))
    assert (caught.value.wait, caught.value.limit_s) == ("connect", SHORT_S)
    await is_gone.wait()
    server.close()


async def test_waiting_for_a_free_connection_counts_as_connecting(serve: Serve) -> None:
    upstreams = HttpUpstreams(max_connections=1)
    upstream = await serve(Stalling(CHUNKED_HEAD))
    busy = await upstreams.send(request_to(upstream.url()))
    with pytest.raises(UpstreamTimeout) as caught:
        await upstreams.send(request_to(upstream.url(), connect_s=SHORT_S))
    assert caught.value.wait == "connect"
    await busy.close()
    await upstreams.aclose()


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_head_that_never_comes_is_a_first_byte_timeout(
    serve: Serve, upstreams: HttpUpstreams, method: str
) -> None:
    stalling = Stalling()
    upstream = await serve(stalling)
    with pytest.raises(UpstreamTimeout) as caught:
        await upstreams.send(request_to(upstream.url(), method=method, first_byte_s=SHORT_S))
    assert (caught.value.wait, caught.value.limit_s) == ("first_byte", SHORT_S)
    await stalling.is_gone.wait()
    assert upstream.connections == 1
    assert upstreams.stats().in_flight == 0


async def test_a_connection_slower_than_the_first_byte_may_be_is_a_first_byte_timeout(
    serve: Serve, upstreams: HttpUpstreams
) -> None:
    upstream = await serve(Stalling())
    with pytest.raises(UpstreamTimeout) as caught:
        await upstreams.send(request_to(upstream.url(scheme="https"), first_byte_s=SHORT_S))
    assert caught.value.wait == "first_byte"


async def test_a_head_without_a_body_is_a_first_byte_timeout(serve: Serve, upstreams: HttpUpstreams) -> None:
    stalling = Stalling(CHUNKED_HEAD)
    response = await upstreams.send(request_to((await serve(stalling)).url(), first_byte_s=SHORT_S))
    for _ in range(2):
        with pytest.raises(UpstreamTimeout) as caught:
            await anext(response.chunks)
        assert (caught.value.wait, caught.value.limit_s) == ("first_byte", SHORT_S)
    await stalling.is_gone.wait()
    await response.close()
    assert upstreams.stats().in_flight == 0


@pytest.mark.parametrize("is_with_head", [True, False])
async def test_silence_after_a_chunk_is_an_idle_timeout(
    serve: Serve, upstreams: HttpUpstreams, is_with_head: bool
) -> None:
    chunk = b"3\r\nabc\r\n"
    stalling = Stalling(CHUNKED_HEAD + chunk) if is_with_head else Stalling(CHUNKED_HEAD, chunk)
    response = await upstreams.send(request_to((await serve(stalling)).url(), idle_s=SHORT_S))
    assert await anext(response.chunks) == b"abc"
    with pytest.raises(UpstreamTimeout) as caught:
        await anext(response.chunks)
    assert (caught.value.wait, caught.value.limit_s) == ("idle", SHORT_S)
    await stalling.is_gone.wait()
    await response.close()


async def drip(exchange: Exchange) -> None:
    """Send for ever, a little at a time."""
    await exchange.start_chunks()
    while True:
        await exchange.chunk(b"x")
        await asyncio.sleep(0.01)


async def test_an_answer_without_end_is_a_total_timeout(serve: Serve, upstreams: HttpUpstreams) -> None:
    response = await upstreams.send(request_to((await serve(drip)).url(), total_s=4 * SHORT_S))
    with pytest.raises(UpstreamTimeout) as caught:
        async for _ in response.chunks:
            pass
    assert (caught.value.wait, caught.value.limit_s) == ("total", 4 * SHORT_S)
    await response.close()


async def test_total_also_bounds_the_head(serve: Serve, upstreams: HttpUpstreams) -> None:
    with pytest.raises(UpstreamTimeout) as caught:
        await upstreams.send(request_to((await serve(Stalling())).url(), total_s=SHORT_S))
    assert caught.value.wait == "total"


async def test_total_ends_an_answer_that_nobody_reads(serve: Serve, upstreams: HttpUpstreams) -> None:
    stalling = Stalling(CHUNKED_HEAD + b"3\r\nabc\r\n")
    response = await upstreams.send(request_to((await serve(stalling)).url(), total_s=SHORT_S))
    await stalling.is_gone.wait()
    with pytest.raises(UpstreamTimeout):
        await anext(response.chunks)
    await response.close()


async def test_an_answer_that_arrived_in_time_may_be_read_later(serve: Serve, upstreams: HttpUpstreams) -> None:
    may_go_on = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await may_go_on.wait()
        await exchange.chunk(b"abc")
        await exchange.chunk(b"")

    response = await upstreams.send(request_to((await serve(answer)).url(), total_s=2 * SHORT_S))
    may_go_on.set()
    await asyncio.sleep(4 * SHORT_S)
    assert [chunk async for chunk in response.chunks] == [b"abc"]
    await response.close()


async def test_a_slow_reader_does_not_make_the_upstream_idle(serve: Serve, upstreams: HttpUpstreams) -> None:
    turns: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        while data := await turns.get():
            await exchange.chunk(data)
        await exchange.chunk(b"")

    response = await upstreams.send(request_to((await serve(answer)).url(), idle_s=2 * SHORT_S))
    for data in (b"one", b"two"):
        waiting = asyncio.ensure_future(anext(response.chunks))
        await asyncio.sleep(0)
        turns.put_nowait(data)
        assert await waiting == data
    await asyncio.sleep(6 * SHORT_S)
    turns.put_nowait(b"three")
    turns.put_nowait(b"")
    assert b"".join([chunk async for chunk in response.chunks]) == b"three"
    await response.close()
