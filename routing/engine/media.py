"""Media that a client gives by URL, fetched for upstreams that take them inline only."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.errors import UpstreamError
from channels_app.engine.provider import Timeouts, UpstreamRequest, UpstreamResponse, Upstreams
from routing.engine.errors import BadRequest, named
from routing.engine.messages import ChatRequest, Media, Message, Part, ToolResult

#: The most that one medium may weigh, and how many a request may name by URL.
MAX_BYTES = 20 * 1024 * 1024
MAX_FETCHES = 32
MAX_REDIRECTS = 3
ALL_KINDS = frozenset({"image", "document", "audio", "video"})
_AT_ONCE = 4
_TIMEOUTS = Timeouts(connect_s=5, first_byte_s=10, idle_s=10, total_s=30)
_MAGIC = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF", "application/pdf"),
)


async def inlined(
    request: ChatRequest, can: Capabilities, upstreams: Upstreams, linked: frozenset[str] = ALL_KINDS
) -> ChatRequest:
    """Return the request with every medium inline that the upstream would not fetch itself.

    `linked` are the kinds that its format can name by URL.

    The fetch goes through the same guarded client as everything else, and no grant opens private addresses to it: the
    address is the caller's, not the operator's.

    Raises:
        BadRequest: one cannot be had; the text says which and why.
    """
    wanted = list(dict.fromkeys(media.url for media in _media(request) if _must_be_fetched(media, can, linked)))
    if not wanted:
        return request
    if len(wanted) > MAX_FETCHES:
        raise _cannot(wanted[MAX_FETCHES], f"a request may name at most {MAX_FETCHES} by URL")
    gate = asyncio.Semaphore(_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        tasks = {url: group.create_task(_fetch(url, upstreams, gate)) for url in wanted}
    found = {url: task.result() for url, task in tasks.items()}

    def inline(media: Media) -> Media:
        if isinstance(fault := found.get(media.url), BadRequest):
            raise fault
        if fault is None:
            return media
        media_type, data = fault
        return replace(media, url="", data=data, media_type=media_type or media.media_type)

    return replace(request, messages=tuple(_with_media(message, inline) for message in request.messages))


def _media(request: ChatRequest) -> list[Media]:
    parts = [part for message in request.messages for part in message.parts]
    inner = [each for part in parts if isinstance(part, ToolResult) for each in part.parts]
    return [part for part in (*parts, *inner) if isinstance(part, Media) and part.url]


def _must_be_fetched(media: Media, can: Capabilities, linked: frozenset[str]) -> bool:
    return not (can.image_urls and media.kind in linked) and not media.url.startswith(can.own_urls)


def _with_media(message: Message, inline: Callable[[Media], Media]) -> Message:
    def changed(part: Part) -> Part:
        if isinstance(part, Media):
            return inline(part)
        if isinstance(part, ToolResult):
            return replace(part, parts=tuple(inline(p) if isinstance(p, Media) else p for p in part.parts))
        return part

    return replace(message, parts=tuple(changed(part) for part in message.parts))


async def _fetch(url: str, upstreams: Upstreams, gate: asyncio.Semaphore) -> tuple[str, str] | BadRequest:
    """Return the media type and the base64 of what lies at a URL, or why it cannot be had."""
    async with gate:
        try:
            address = url
            for _ in range(MAX_REDIRECTS + 1):
                if urlsplit(address).scheme not in {"http", "https"}:
                    return _cannot(url, "its address is neither http nor https")
                response = await upstreams.send(_request(address))
                try:
                    if response.status not in {301, 302, 303, 307, 308}:
                        return await _body(url, response)
                    address = urljoin(address, response.header(b"location").decode("latin-1"))
                finally:
                    await response.close()
        except (UpstreamError, ValueError) as error:
            return _cannot(url, str(error))
    return _cannot(url, "it redirects too often")


async def _body(url: str, response: UpstreamResponse) -> tuple[str, str] | BadRequest:
    if response.status != 200:
        return _cannot(url, f"its server answered {response.status}")
    data = bytearray()
    async for chunk in response.chunks:
        data += chunk
        if len(data) > MAX_BYTES:
            return _cannot(url, f"it is larger than {MAX_BYTES >> 20} MB")
    told = response.header(b"content-type").decode("latin-1").partition(";")[0].strip().lower()
    return _type_of(bytes(data[:16]), told), base64.b64encode(data).decode()


def _type_of(head: bytes, told: str) -> str:
    """Return the media type by the first bytes, which lie less than servers do."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), told)


def _request(url: str) -> UpstreamRequest:
    return UpstreamRequest(
        operation="fetch",
        model="",
        is_stream=False,
        method="GET",
        url=url,
        headers=[("accept", "*/*"), ("user-agent", "routex")],
        body=b"",
        timeouts=_TIMEOUTS,
    )


def _cannot(url: str, why: str) -> BadRequest:
    shown = urlsplit(url)
    host = shown.netloc.rpartition("@")[2]  # a name and a password may stand before it
    return BadRequest(
        f"The medium at {named(f'{shown.scheme}://{host}{shown.path}')} cannot be fetched: {why}. "
        "Send its bytes as base64 instead.",
        code="media_unavailable",
    )
