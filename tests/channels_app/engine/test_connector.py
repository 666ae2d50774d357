"""Which connections are made, which are refused, and which are kept."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import psutil
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from channels_app.engine.connector import is_of_this_machine
from channels_app.engine.errors import UpstreamBlocked, UpstreamBroken, UpstreamRefused
from channels_app.engine.network import parse_address
from channels_app.engine.provider import UpstreamResponse
from channels_app.engine.upstream import HttpUpstreams
from tests.channels_app.engine.scripted_upstream import LOOPBACK, Exchange, Serve, ok, request_to

pytestmark = pytest.mark.asyncio


class Names(AbstractResolver):
    """Stands where DNS stands: names and their addresses."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self.addresses:
            raise OSError(None, "unknown name")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self.addresses[host]
        ]

    async def close(self) -> None:
        pass


async def fetch(upstreams: HttpUpstreams, url: str, networks: tuple[str, ...] = LOOPBACK) -> UpstreamResponse:
    response = await upstreams.send(request_to(url, networks=networks))
    async for _ in response.chunks:
        pass
    await response.close()
    return response


# Refused addresses


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.9", "localhost", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"],
)
async def test_loopback_is_refused_without_a_grant(serve: Serve, upstreams: HttpUpstreams, host: str) -> None:
    upstream = await serve(ok)
    with pytest.raises(UpstreamBlocked, match=r"a loopback address.*private_upstreams") as caught:
        await fetch(upstreams, upstream.url(host=host), networks=())
    assert host not in str(caught.value)
    assert upstream.connections == 0


@pytest.mark.parametrize("host", ["127.1", "2130706433", "127.0.0.1."])
async def test_other_spellings_of_an_address_are_refused_whatever_is_granted(
    serve: Serve, upstreams: HttpUpstreams, host: str
) -> None:
    upstream = await serve(ok)
    with pytest.raises(UpstreamBlocked):
        await fetch(upstreams, upstream.url(host=host))
    assert upstream.connections == 0


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("0.0.0.0", "unspecified"),
        ("[::]", "unspecified"),
        ("169.254.169.254", "metadata"),
        ("[fd00:ec2::254]", "metadata"),
        ("[::ffff:169.254.169.254]", "metadata"),
        ("224.0.0.1", "multicast"),
    ],
)
async def test_some_addresses_are_refused_whatever_is_granted(upstreams: HttpUpstreams, host: str, kind: str) -> None:
    with pytest.raises(UpstreamBlocked, match=f"{kind}.*No setting"):
        await fetch(upstreams, f"http://{host}/", networks=("0.0.0.0/0", "::/0"))


async def test_a_name_that_resolves_to_a_private_address_is_refused(serve: Serve) -> None:
    upstream = await serve(ok)
    upstreams = HttpUpstreams(resolver=Names(rebound=["127.0.0.1", "::1", "10.0.0.1"]))
    with pytest.raises(UpstreamBlocked, match="address"):
        await fetch(upstreams, upstream.url(host="rebound"), networks=())
    assert upstream.connections == 0
    await upstreams.aclose()


async def test_a_permitted_address_is_used_where_a_name_also_has_others(serve: Serve) -> None:
    upstream = await serve(ok)
    upstreams = HttpUpstreams(resolver=Names(mixed=["10.0.0.1", "169.254.169.254", "127.0.0.1"]))
    assert (await fetch(upstreams, upstream.url(host="mixed"))).status == 200
    assert b"Host: mixed:" in upstream.exchanges[0].head
    await upstreams.aclose()


async def test_a_grant_does_not_leak_through_the_pool(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(ok)
    await fetch(upstreams, upstream.url(), networks=("127.0.0.0/8",))
    assert upstreams.stats().open_connections == 1
    for other in ((), ("10.0.0.0/8",), ("127.0.0.2/32",)):
        with pytest.raises(UpstreamBlocked):
            await fetch(upstreams, upstream.url(), networks=other)
    assert upstream.connections == 1


@pytest.mark.parametrize("own_host", ["127.0.0.1", "0.0.0.0", "::", "localhost"])
async def test_own_listeners_are_refused_even_under_a_grant(serve: Serve, own_host: str) -> None:
    upstream, other = await serve(ok), await serve(ok)
    upstreams = HttpUpstreams(own_listeners={(own_host, upstream.port), (".", upstream.port)})
    for host in ("127.0.0.1", "localhost", "127.0.0.2", "[::ffff:127.0.0.1]"):
        with pytest.raises(UpstreamBlocked, match="Routex's own services"):
            await fetch(upstreams, upstream.url(host=host), networks=("0.0.0.0/0", "::/0"))
    assert upstream.connections == 0
    assert (await fetch(upstreams, other.url())).status == 200
    await upstreams.aclose()


async def test_an_own_listener_on_another_machine_is_refused() -> None:
    upstreams = HttpUpstreams(own_listeners={("192.0.2.7", 5432)})
    with pytest.raises(UpstreamBlocked, match="Routex's own services"):
        await fetch(upstreams, "http://192.0.2.7:5432/", networks=("192.0.2.0/24",))
    await upstreams.aclose()


async def test_addresses_of_this_machine_are_known() -> None:
    ours = [item.address for items in psutil.net_if_addrs().values() for item in items if item.family == socket.AF_INET]
    assert all(is_of_this_machine(parse_address(address)) for address in ["127.0.0.9", "::1", *ours])
    assert not any(is_of_this_machine(parse_address(address)) for address in ["192.0.2.7", "2001:db8::7"])


@pytest.mark.parametrize(
    "url",
    ["ftp://h/", "file:///etc/passwd", "h/v1", "http://", "//h/", "http://u:p@h/", "http://u@h/", "http://h:x/", ""],
)
async def test_urls_that_cannot_be_used_are_refused(upstreams: HttpUpstreams, url: str) -> None:
    with pytest.raises(UpstreamBlocked, match="base URL") as caught:
        await fetch(upstreams, url)
    assert "u:p" not in str(caught.value)


async def test_a_grant_that_is_no_range_is_refused(upstreams: HttpUpstreams) -> None:
    with pytest.raises(UpstreamBlocked, match="not an address range"):
        await fetch(upstreams, "http://127.0.0.1/", networks=("intranet",))


async def test_proxies_of_the_environment_are_not_used(
    serve: Serve, upstreams: HttpUpstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, proxy = await serve(ok), await serve(ok)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url(""))
    await fetch(upstreams, upstream.url())
    assert (upstream.connections, proxy.connections) == (1, 0)


# Connections that cannot be made


async def test_a_refused_connection_says_so(upstreams: HttpUpstreams) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound but not listening
        with pytest.raises(UpstreamRefused, match=r"connection refused\.$") as caught:
            await fetch(upstreams, f"http://127.0.0.1:{sock.getsockname()[1]}/")
    assert "127.0.0.1" not in str(caught.value)
    assert upstreams.stats().in_flight == 0


async def test_a_permitted_address_that_refuses_is_not_called_blocked_for_the_others() -> None:
    upstreams = HttpUpstreams(resolver=Names(mixed=["10.0.0.1", "127.0.0.1"]))
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamRefused):
            await fetch(upstreams, f"http://mixed:{sock.getsockname()[1]}/")
    await upstreams.aclose()


async def test_an_unknown_name_says_so() -> None:
    upstreams = HttpUpstreams(resolver=Names())
    with pytest.raises(UpstreamRefused, match="name was not found"):
        await fetch(upstreams, "http://nowhere/")
    await upstreams.aclose()


# Kept connections


def closing_second(end: Callable[[Exchange], None], sent: bytes = b"") -> Callable[[Exchange], object]:
    """Answer the first request of the first connection; end that connection at its second one."""

    async def answer(exchange: Exchange) -> None:
        if exchange.number == 2:
            if sent:
                await exchange.write(sent)
            end(exchange)
        else:
            await exchange.answer(b"ok")

    return answer


@pytest.mark.parametrize("end", [Exchange.close, Exchange.reset])
async def test_a_kept_connection_that_proves_closed_is_replaced_once(
    serve: Serve, upstreams: HttpUpstreams, end: Callable[[Exchange], None]
) -> None:
    upstream = await serve(closing_second(end))
    await fetch(upstreams, upstream.url())
    second = await fetch(upstreams, upstream.url())
    assert second.status == 200
    assert second.connect_ms > 0
    assert [exchange.connection for exchange in upstream.exchanges] == [1, 1, 2]
    assert upstream.exchanges[1].body == upstream.exchanges[2].body == b"{}"
    assert upstreams.stats().in_flight == 0


async def test_the_replacement_is_a_new_connection_even_when_others_are_kept(
    serve: Serve, upstreams: HttpUpstreams
) -> None:
    both_here = asyncio.Barrier(2)

    async def answer(exchange: Exchange) -> None:
        if exchange.number <= 2:
            await both_here.wait()
        if exchange.number > 2 >= exchange.connection:
            exchange.close()
        else:
            await exchange.answer(b"ok")

    upstream = await serve(answer)
    await asyncio.gather(*(fetch(upstreams, upstream.url()) for _ in range(2)))
    assert upstreams.stats().open_connections == 2
    assert (await fetch(upstreams, upstream.url())).status == 200
    stale, new = (exchange.connection for exchange in upstream.exchanges[2:])
    assert stale in {1, 2}
    assert new == 3


async def test_the_replacement_is_not_replaced(serve: Serve, upstreams: HttpUpstreams) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.answer(b"ok")
        else:
            exchange.close()

    upstream = await serve(answer)
    await fetch(upstreams, upstream.url())
    with pytest.raises(UpstreamBroken, match="without an answer"):
        await fetch(upstreams, upstream.url())
    assert [exchange.connection for exchange in upstream.exchanges] == [1, 1, 2]


@pytest.mark.parametrize("sent", [b"HTTP/1", b"HTTP/1.1 200 OK\r\nconte"])
async def test_nothing_is_sent_again_once_an_answer_has_begun(
    serve: Serve, upstreams: HttpUpstreams, sent: bytes
) -> None:
    upstream = await serve(closing_second(Exchange.close, sent))
    await fetch(upstreams, upstream.url())
    with pytest.raises(UpstreamBroken):
        await fetch(upstreams, upstream.url())
    assert len(upstream.exchanges) == 2


async def test_nothing_is_sent_again_after_a_new_connection_was_closed(serve: Serve, upstreams: HttpUpstreams) -> None:
    async def answer(exchange: Exchange) -> None:
        exchange.close()

    upstream = await serve(answer)
    with pytest.raises(UpstreamBroken):
        await fetch(upstreams, upstream.url())
    assert len(upstream.exchanges) == 1


# Pools


async def test_the_same_grants_in_another_order_share_a_pool(serve: Serve, upstreams: HttpUpstreams) -> None:
    upstream = await serve(ok)
    await fetch(upstreams, upstream.url(), networks=("127.0.0.0/8", "10.0.0.0/8"))
    await fetch(upstreams, upstream.url(), networks=("10.0.0.0/8", "127.0.0.0/8"))
    assert upstream.connections == 1
    assert upstreams.stats().pools == 1


async def test_beyond_the_bound_idle_pools_are_closed_and_busy_ones_kept(serve: Serve) -> None:
    may_end = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        if exchange.number == 1:
            await may_end.wait()
        await exchange.chunk(b"")

    upstream = await serve(answer)
    upstreams = HttpUpstreams(max_pools=3)
    busy = await upstreams.send(request_to(upstream.url(), networks=("127.0.0.0/8", "10.0.0.0/32")))
    for last in range(1, 9):
        await fetch(upstreams, upstream.url(), networks=("127.0.0.0/8", f"10.0.0.{last}/32"))
    stats = upstreams.stats()
    assert (stats.in_flight, stats.pools) == (1, 3)
    may_end.set()
    assert [chunk async for chunk in busy.chunks] == []
    await busy.close()
    await upstreams.aclose()


async def test_a_request_is_served_though_every_pool_is_busy(serve: Serve) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start_chunks()
        await exchange.gone()

    upstream = await serve(answer)
    upstreams = HttpUpstreams(max_pools=1)
    grants = [("127.0.0.0/8", f"10.0.0.{number}/32") for number in range(3)]
    busy = [await upstreams.send(request_to(upstream.url(), networks=networks)) for networks in grants]
    assert [response.status for response in busy] == [200, 200, 200]
    for response in busy:
        await response.close()
    await upstreams.aclose()
