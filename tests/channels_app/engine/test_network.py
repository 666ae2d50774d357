"""Which addresses count as globally routable, and what a grant opens."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_app.engine.network import Address, parse_address, parse_networks, refusal

EVERYTHING = parse_networks(("0.0.0.0/0", "::/0"))

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "104.18.7.192",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "2606:4700::6812:7c0",
        "2a00:1450:4001:80e::200a",
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
    ],
)
def test_a_public_address_needs_no_grant(text: str) -> None:
    assert refusal(parse_address(text), ()) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("127.0.0.1", "a loopback address"),
        ("127.255.255.254", "a loopback address"),
        ("::1", "a loopback address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("64:ff9b::7f00:1", "a loopback address"),
        ("10.0.0.1", "a private address"),
        ("172.16.0.1", "a private address"),
        ("192.168.1.1", "a private address"),
        ("fd12::1", "a private address"),
        ("64:ff9b::a00:1", "a private address"),
        ("169.254.1.1", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
        ("100.64.0.1", "a carrier-grade NAT address"),
        ("192.0.0.9", "a reserved address"),
        ("192.88.99.1", "a reserved address"),
        ("240.0.0.1", "a reserved address"),
        ("2002:7f00:1::", "a reserved address"),
        ("2001::7f00:1", "a reserved address"),
    ],
)
def test_a_special_address_is_refused_by_its_kind(text: str, kind: str) -> None:
    found = refusal(parse_address(text), ())
    assert found is not None
    assert found.kind == kind
    assert "private_upstreams" in str(found)
    assert refusal(parse_address(text), EVERYTHING) is None


@pytest.mark.parametrize(
    "text", ["198.18.0.1", "203.0.113.7", "fec0::1", "::127.0.0.1", "100::1", "3fff::1", "4000::1"]
)
def test_other_special_ranges_are_refused(text: str) -> None:
    assert refusal(parse_address(text), ()) is not None


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "::ffff:0.0.0.0",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fd00:ec2::254",
        "fd00:ec2::254%1",
        "168.63.129.16",
        "100.100.100.200",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_no_grant_opens_it(text: str) -> None:
    found = refusal(parse_address(text), EVERYTHING)
    assert found is not None
    assert "No setting" in str(found)


@pytest.mark.parametrize("text", ["localhost", "0x7f.1", "127.1", "2130706433", ""])
def test_what_is_not_an_address_is_not_guessed(text: str) -> None:
    with pytest.raises(ValueError):
        parse_address(text)


def test_a_range_may_be_written_with_host_bits() -> None:
    assert parse_networks(("10.1.2.3/8",)) == {ip_network("10.0.0.0/8")}
    with pytest.raises(ValueError):
        parse_networks(("10.0.0.0/33",))


@given(addresses)
def test_nothing_that_python_calls_private_is_permitted(address: Address) -> None:
    if not address.is_global or address.is_multicast:
        # 64:ff9b::/96 and ::ffff:0:0/96 are judged by the IPv4 address inside.
        assert refusal(address, ()) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_inside_ipv6(address: IPv4Address) -> None:
    plain = refusal(address, ())
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        inside = IPv6Address(int(IPv6Address(prefix)) | int(address))
        assert refusal(parse_address(str(inside)), ()) == plain


@given(addresses, st.integers(0, 128))
def test_a_grant_opens_its_range_and_nothing_else(address: Address, prefix: int) -> None:
    network = ip_network((address, min(prefix, address.max_prefixlen)), strict=False)
    before = refusal(address, ())
    after = refusal(address, [network])
    assert after is None or (before is not None and not after.is_grantable)
    outside = ip_address("10.0.0.1" if ip_address("10.0.0.1") not in network else "192.168.0.1")
    if outside not in network:
        assert refusal(outside, [network]) is not None
