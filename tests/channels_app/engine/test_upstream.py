"""What is sent and what comes back."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from channels_app.engine.errors import UpstreamBlocked
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


@pytest.mark.parametrize("value", ["b\r\nx-c: d", "b\0", "\ud800"])
async def test_a_header_that_would_spoil_the_message_is_refused(
    serve: Serve, upstreams: HttpUpstreams, value: str
) -> None:
    upstream = await serve(ok)
    with pytest.raises(UpstreamBlocked, match=r"[Aa] header") as caught:
        await read(upstreams, upstream.url(), headers=[("x-a", value)])
    assert value not in str(caught.value)
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
