"""Media by URL are fetched through the guarded client where an upstream wants them inline."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.errors import UpstreamBlocked
from channels_app.engine.provider import UpstreamRequest, UpstreamResponse
from routing.engine.errors import BadRequest
from routing.engine.media import MAX_BYTES, MAX_FETCHES, inlined
from routing.engine.messages import ChatRequest, Media, Message, ToolResult

INLINE_ONLY = Capabilities(image_urls=False, own_urls=("gs://",))
PNG = b"\x89PNG\r\n\x1a\nrest"


class Web:
    """Answers by URL: (status, headers, body), or an error to raise."""

    def __init__(self, **pages: Any) -> None:
        self.pages = {f"https://example.com/{name}": page for name, page in pages.items()}
        self.asked: list[UpstreamRequest] = []

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.asked.append(request)
        page = self.pages[request.url]
        if isinstance(page, Exception):
            raise page
        status, headers, body = page

        async def chunks() -> AsyncIterator[bytes]:
            for place in range(0, len(body), 1 << 20):
                yield body[place : place + (1 << 20)]

        async def close() -> None:
            return None

        return UpstreamResponse(status, headers, chunks(), close)


def image(name: str) -> Media:
    return Media("image", url=f"https://example.com/{name}")


def run(web: Web, *parts: Any, can: Capabilities = INLINE_ONLY) -> Any:
    request = ChatRequest("x", "m", (Message("user", parts),))
    return asyncio.run(inlined(request, can, web)).messages[0].parts


def test_a_picture_is_put_inline_with_the_type_of_its_bytes():
    web = Web(a=(200, [(b"content-type", b"text/plain")], PNG))
    assert run(web, image("a")) == (Media("image", "image/png", base64.b64encode(PNG).decode()),)


def test_one_inside_a_tool_result_as_well():
    web = Web(a=(200, [(b"content-type", b"image/avif; q=1")], b"whatever"))
    (result,) = run(web, ToolResult("c", (image("a"),)))
    assert (result.parts[0].url, result.parts[0].media_type) == ("", "image/avif")


def test_the_same_address_is_fetched_once():
    web = Web(a=(200, [], PNG))
    run(web, image("a"), image("a"))
    assert len(web.asked) == 1


def test_a_kind_that_the_format_cannot_link_is_fetched_though_the_upstream_reads_pictures_itself():
    web = Web(a=(200, [], b"%PDF-1.4"))
    request = ChatRequest("x", "m", (Message("user", (image("b"), Media("document", url="https://example.com/a"))),))
    picture, document = asyncio.run(inlined(request, Capabilities(), web, frozenset({"image"}))).messages[0].parts
    assert picture == image("b")
    assert (document.url, document.media_type) == ("", "application/pdf")


def test_addresses_that_the_upstream_reads_itself_stay():
    web = Web()
    assert run(web, Media("image", url="gs://bucket/a.png")) == (Media("image", url="gs://bucket/a.png"),)
    assert run(web, image("a"), can=Capabilities()) == (image("a"),)
    assert web.asked == []


def test_no_grant_and_no_credential_goes_with_the_fetch():
    web = Web(a=(200, [], PNG))
    run(web, image("a"))
    assert web.asked[0].private_networks == ()
    assert {name for name, _ in web.asked[0].headers} == {"accept", "user-agent"}


def test_a_redirect_is_followed_through_the_same_guard():
    web = Web(a=(302, [(b"location", b"/b")], b""), b=(200, [], PNG))
    assert run(web, image("a"))[0].media_type == "image/png"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ((404, [], b""), "404"),
        (UpstreamBlocked("10.0.0.1 is private"), "private"),
        ((302, [(b"location", b"/a")], b""), "too often"),
        ((302, [(b"location", b"file:///etc/passwd")], b""), "neither http"),
        ((200, [], b"x" * (MAX_BYTES + 1)), "larger"),
    ],
)
def test_what_cannot_be_had_is_a_bad_request_that_says_why(page, why):
    with pytest.raises(BadRequest, match=why):
        run(Web(a=page), image("a"))


def test_too_many_addresses_are_refused_before_the_first_fetch():
    web = Web()
    with pytest.raises(BadRequest, match=str(MAX_FETCHES)):
        run(web, *(image(str(number)) for number in range(MAX_FETCHES + 1)))
    assert web.asked == []
