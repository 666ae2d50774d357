"""What is sent, what comes back and how a body ends."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import pytest

from channels_app.engine.errors import UpstreamBlocked, UpstreamBroken, UpstreamRefused
from channels_app.engine.upstream import HttpUpstreams
from tests.channels_app.engine.scripted_upstream import Exchange, Serve, ok, request_to

pytestmark = pytest.mark.asyncio


async def read(upstreams: HttpUpstreams, url: str, **request: Any) -> tuple[int, bytes]:
    response = await upstreams.send(request_to(url, **request))
    body = b"".join([chunk async for chunk in response.chunks])
    await response.close()
    return response.status, body


# What is sent


async def test_given_headers_are_sent_as_they_are_and_none_are_invented(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(ok)
    headers = [("X-Api-Key", "s3cret"), ("content-type", "application/json"), ("X-Title", "Café"), ("x-twice", "1")]
    assert await read(upstreams, upstream.url(), headers=[*headers, ("x-twice", "2")], body=b'{"a":1}') == (200, b"ok")

    lines = upstream.exchanges[0].head.split(b"\r\n")
    assert lines[0] == b"POST /v1/x HTTP/1.1"
    assert sorted(lines[1:-2]) == sorted(
        [
            b"Host: 127.0.0.1:%d" % upstream.port,
            b"X-Api-Key: s3cret",
            b"content-type: application/json",
            "X-Title: Café".encode(),
            b"x-twice: 1",
            b"x-twice: 2",
            b"accept-encoding: identity",
            b"Content-Length: 7",
        ]
    )
    assert upstream.exchanges[0].body == b'{"a":1}'


async def test_headers_that_frame_the_message_follow_from_url_and_body(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(ok)
    forged = [("Host", "elsewhere"), ("Content-Length", "1"), ("Transfer-Encoding", "chunked"), ("Connection", "close")]
    await read(upstreams, upstream.url(), headers=[*forged, ("Expect", "100-continue")], body=b"abc")
    head = upstream.exchanges[0].head.lower()
    assert b"host: 127.0.0.1:%d\r\n" % upstream.port in head
    assert b"content-length: 3\r\n" in head
    for word in (b"elsewhere", b"chunked", b"connection", b"expect"):
        assert word not in head


async def test_a_header_that_would_split_the_message_is_refused(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(ok)
    with pytest.raises(UpstreamBlocked, match="a header") as caught:
        await read(upstreams, upstream.url(), headers=[("x-a", "b\r\nx-c: d")])
    assert "x-c" not in str(caught.value)
    assert upstream.exchanges == []


@pytest.mark.parametrize("path", ["/v1/models/a%2Fb%3Ac:generate?alt=sse&x=%20", "/v1//x", "/"])
async def test_the_path_is_sent_as_given(serve: Serve, upstreams: HttpUpstreams, path: str) -> None:
    upstream = await serve(ok)
    await read(upstreams, upstream.url(path), method="GET", body=b"")
    assert upstream.exchanges[0].head.split()[1] == path.encode()
    assert b"content-length" not in upstream.exchanges[0].head.lower()


async def test_a_large_body_is_sent_whole(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(ok)
    body = bytes(range(256)) * 16_000
    await read(upstreams, upstream.url(), body=body)
    assert upstream.exchanges[0].body == body


# What comes back


async def test_status_and_headers_come_back_as_sent(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(lambda e: e.answer(b"{}", b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nx-a: 1\r\nX-A: 2\r\n"))
    response = await upstreams.send(request_to(upstream.url()))
    assert response.status == 429
    assert response.header(b"retry-after") == b"7"
    assert [item for item in response.headers if item[0].lower() == b"x-a"] == [(b"x-a", b"1"), (b"X-A", b"2")]
    await response.close()


async def test_a_redirect_is_not_followed(serve: Serve, upstreams: HttpUpstreams) -> None:
    elsewhere = await serve(ok)
    location = elsewhere.url().encode()
    upstream = await serve(lambda e: e.answer(b"", b"HTTP/1.1 307 Moved\r\nlocation: %s\r\n" % location))
    assert (await read(upstreams, upstream.url()))[0] == 307
    assert (await read(upstreams, upstream.url(), method="GET", body=b""))[0] == 307
    assert elsewhere.connections == 0


async def test_a_compressed_body_is_passed_on_as_it_is(serve: Serve, upstreams: HttpUpstreams) -> None:
    packed = gzip.compress(b"hello")
    upstream = await serve(lambda e: e.answer(packed, b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n"))
    assert await read(upstreams, upstream.url(), headers=[("Accept-Encoding", "gzip")]) == (200, packed)
    assert b"Accept-Encoding: gzip\r\n" in upstream.exchanges[0].head
    assert b"identity" not in upstream.exchanges[0].head


async def test_cookies_are_not_kept(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(lambda e: e.answer(b"", b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\n"))
    await read(upstreams, upstream.url())
    await read(upstreams, upstream.url())
    assert b"cookie" not in upstream.exchanges[1].head.lower()


async def test_early_hints_are_skipped(serve: Serve, upstreams: HttpUpstreams) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        await exchange.answer(b"ok")

    assert await read(upstreams, (await serve(answer)).url()) == (200, b"ok")


async def test_chunks_arrive_one_by_one(serve: Serve, upstreams: HttpUpstreams) -> None:
    turns: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        while data := await turns.get():
            await exchange.chunk(data)
        await exchange.chunk(b"")

    response = await upstreams.send(request_to((await serve(answer)).url()))
    for data in (b"data: 1\n\n", b"data: 2\n\n", b"d", b"ata: 3\n\n"):
        turns.put_nowait(data)
        assert await anext(response.chunks) == data
    turns.put_nowait(b"")
    assert [chunk async for chunk in response.chunks] == []
    await response.close()


# How a body ends


async def test_a_body_without_length_ends_with_its_connection(serve: Serve, upstreams: HttpUpstreams) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        exchange.close()

    assert await read(upstreams, (await serve(answer)).url()) == (200, b"all of it")


HEAD = b"HTTP/1.1 200 OK\r\n"


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
    await read(upstreams, upstream.url())
    await upstreams.aclose()
    with pytest.raises(UpstreamRefused, match="stopping"):
        await read(upstreams, upstream.url())
