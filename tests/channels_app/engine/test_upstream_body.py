"""How a body ends: whole, cut, held back, closed early or with its reader cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from channels_app.engine.errors import UpstreamBroken, UpstreamRefused
from channels_app.engine.upstream import HttpUpstreams
from tests.channels_app.engine.scripted_upstream import Exchange, Serve, ok, request_to

pytestmark = pytest.mark.asyncio

HEAD = b"HTTP/1.1 200 OK\r\n"


async def test_a_body_without_length_ends_with_its_connection(serve: Serve, upstreams: HttpUpstreams) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        exchange.close()

    response = await upstreams.send(request_to((await serve(answer)).url()))
    assert b"".join([chunk async for chunk in response.chunks]) == b"all of it"
    await response.close()


@pytest.mark.parametrize("end", [Exchange.close, Exchange.reset])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HEAD + b"content-length: 10\r\n\r\nabc", id="length"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", id="between chunks"),
        pytest.param(HEAD + b"transfer-encoding: chunked\r\n\r\n9\r\nabc", id="inside a chunk"),
    ],
)
async def test_a_cut_body_is_broken(
    serve: Serve, upstreams: HttpUpstreams, sent: bytes, end: Callable[[Exchange], None]
) -> None:
    may_end = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.write(sent)
        await may_end.wait()
        end(exchange)

    response = await upstreams.send(request_to((await serve(answer)).url()))
    assert await anext(response.chunks) == b"abc"
    may_end.set()
    for _ in range(2):
        with pytest.raises(UpstreamBroken, match="broke off"):
            await anext(response.chunks)
    await response.close()


async def test_a_reset_is_not_taken_for_the_end_of_a_body_without_length(
    serve: Serve, upstreams: HttpUpstreams
) -> None:
    may_end = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.write(HEAD + b"\r\nabc")
        await may_end.wait()
        exchange.reset()

    response = await upstreams.send(request_to((await serve(answer)).url()))
    assert await anext(response.chunks) == b"abc"
    may_end.set()
    with pytest.raises(UpstreamBroken, match="reset"):
        await anext(response.chunks)
    await response.close()


async def test_a_malformed_chunk_is_broken(serve: Serve, upstreams: HttpUpstreams) -> None:
    may_go_on = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.chunk(b"abc")
        await may_go_on.wait()
        await exchange.write(b"zz\r\nabc\r\n")
        await exchange.gone()

    response = await upstreams.send(request_to((await serve(answer)).url()))
    assert await anext(response.chunks) == b"abc"
    may_go_on.set()
    with pytest.raises(UpstreamBroken, match="not well-formed"):
        await anext(response.chunks)
    await response.close()


@pytest.mark.parametrize("sent", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"])
async def test_an_answer_that_is_not_http_is_broken(serve: Serve, upstreams: HttpUpstreams, sent: bytes) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.write(sent)
        await exchange.gone()

    upstream = await serve(answer)
    with pytest.raises(UpstreamBroken, match="not HTTP") as caught:
        await upstreams.send(request_to(upstream.url(), headers=[("authorization", "Bearer s3cret")]))
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert upstreams.stats().in_flight == 0


# Back-pressure


async def test_an_upstream_is_held_back_while_nobody_reads(serve: Serve, upstreams: HttpUpstreams) -> None:
    sent = 0

    async def answer(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.start_chunks()
        while True:
            await exchange.chunk(b"x" * 8192)
            sent += 8192

    response = await upstreams.send(request_to((await serve(answer)).url()))
    await anext(response.chunks)
    seen = -1
    while seen < sent:  # until its write blocks
        seen = sent
        await asyncio.sleep(0.1)
    # What is left are socket buffers and some ten kilobytes of ours.
    assert sent < 8 * 2**20

    for _ in range(sent // 8192):
        await anext(response.chunks)
    assert sent > seen  # and it goes on when somebody reads
    await response.close()


@pytest.mark.parametrize("is_chunked", [True, False])
async def test_a_body_that_was_held_back_still_arrives_whole(
    serve: Serve, upstreams: HttpUpstreams, is_chunked: bool
) -> None:
    piece = b"0123456789abcdef" * 1000

    async def answer(exchange: Exchange) -> None:
        if is_chunked:
            await exchange.write(HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(50):
                exchange.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await exchange.write(b"0\r\n\r\n")
        else:
            await exchange.write(HEAD + b"content-length: %d\r\n\r\n" % (50 * len(piece)) + 50 * piece)
        exchange.close()

    response = await upstreams.send(request_to((await serve(answer)).url()))
    received = b""
    async for chunk in response.chunks:
        received += chunk
        for _ in range(5):
            await asyncio.sleep(0)
    assert received == 50 * piece
    await response.close()


# Closing


async def test_closing_early_drops_the_connection_and_may_be_repeated(serve: Serve, upstreams: HttpUpstreams) -> None:
    gone = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.chunk(b"abc")
        await exchange.gone()
        gone.set()

    upstream = await serve(answer)
    response = await upstreams.send(request_to(upstream.url()))
    assert await anext(response.chunks) == b"abc"
    assert upstreams.stats().in_flight == 1
    await response.close()
    await response.close()
    await gone.wait()
    assert upstreams.stats().in_flight == 0
    assert upstreams.stats().open_connections == 0
    with pytest.raises(UpstreamBroken, match="closed"):
        await anext(response.chunks)


async def test_a_connection_is_kept_once_its_body_has_ended(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(ok)
    first = await upstreams.send(request_to(upstream.url()))
    assert first.connect_ms > 0
    assert [chunk async for chunk in first.chunks] == [b"ok"]
    await first.close()
    second = await upstreams.send(request_to(upstream.url()))
    assert second.connect_ms == 0
    await second.close()
    assert upstream.connections == 1
    assert (upstreams.stats().open_connections, upstreams.stats().in_flight) == (1, 0)


async def test_cancelling_while_the_head_is_awaited_drops_the_connection(
    serve: Serve, upstreams: HttpUpstreams
) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        asked.set()
        await exchange.gone()
        gone.set()

    task = asyncio.create_task(upstreams.send(request_to((await serve(answer)).url())))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone.wait()
    assert upstreams.stats().in_flight == 0


async def test_cancelling_while_a_chunk_is_awaited_drops_the_connection(serve: Serve, upstreams: HttpUpstreams) -> None:
    gone = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.chunk(b"abc")
        await exchange.gone()
        gone.set()

    response = await upstreams.send(request_to((await serve(answer)).url()))
    assert await anext(response.chunks) == b"abc"
    task = asyncio.ensure_future(anext(response.chunks))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone.wait()
    await response.close()
    assert upstreams.stats().in_flight == 0


@pytest.mark.parametrize("early", [b"", HEAD + b"transfer-encoding: chunked\r\n\r\n"], ids=["no head", "early head"])
async def test_dropping_a_stalled_upload_does_not_wait_until_it_is_sent(upstreams: HttpUpstreams, early: bytes) -> None:
    is_over = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(early)
        await is_over.wait()
        writer.close()

    server = await asyncio.start_server(stall, "127.0.0.1", 0, limit=2**12)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    task = asyncio.create_task(upstreams.send(request_to(url, body=b"x" * 32 * 2**20)))
    await asyncio.sleep(0.1)  # until every socket buffer is full
    if early:
        await (await task).close()
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    while upstreams.stats().open_connections:
        await asyncio.sleep(0.01)
    is_over.set()
    server.close()


async def test_after_closing_the_client_nothing_is_sent(serve: Serve) -> None:
    upstream = await serve(ok)
    upstreams = HttpUpstreams()
    await (await upstreams.send(request_to(upstream.url()))).close()
    await upstreams.aclose()
    with pytest.raises(UpstreamRefused, match="stopping"):
        await upstreams.send(request_to(upstream.url()))
