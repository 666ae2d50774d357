"""Networks of keys: what is taken for one, and which addresses lie in them."""

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.engine.networks import _MAPPED, MAX_NETWORKS, network_of, read_networks, written, written_networks
from tenants.engine.principal import Principal

networks = st.one_of(
    st.builds(
        lambda bits, size: IPv4Network((bits, size), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
    ),
    st.builds(
        lambda bits, size: IPv6Network((bits, size), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128)
    ),
)


def key(*texts: str) -> Principal:
    return Principal(tenant_id="ten_1", key_id="key_1", key_slug="ci-bot", networks=read_networks(texts))


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (" 10.0.0.0/8\t", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9/32", "203.0.113.9"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("2001:db8::1/128", "2001:db8::1"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_has_one_form(text, stored):
    assert written_networks([text, stored, text]) == [stored]


@given(networks)
def test_what_is_stored_reads_back_as_the_same(network):
    stored = written(network_of(str(network)))
    assert written(network_of(stored)) == stored


@pytest.mark.parametrize(
    ("text", "network", "address"),
    [("10.1.2.3/8", "10.0.0.0/8", "10.1.2.3"), ("2001:db8::1/32", "2001:db8::/32", "2001:db8::1")],
)
def test_host_bits_are_refused_with_what_may_have_been_meant(text, network, address):
    with pytest.raises(ValueError, match="host bits") as refused:
        network_of(text)
    assert str(refused.value).endswith(f"Write the network, {network}, or the single address, {address}.")


@pytest.mark.parametrize(
    "text",
    [
        *("", "everywhere", "*", "10.0.0.0/33", "010.0.0.0/8", "10.0.0.0/8/8", "10.0.0.0-10.0.0.9", "host.example"),
        *("fe80::1%eth0", "fe80::%eth0/64", "١٠.0.0.0/8", "10.0.0.0/8\n10.0.0.0", "5", "[::1]", "1.2.3.4:80"),
    ],
)
def test_what_is_no_network_is_refused_in_a_sentence(text):
    with pytest.raises(ValueError, match=r"is neither a network such as 10\.0\.0\.0/8 .* nor a single address\."):
        network_of(text)


def test_a_long_text_is_repeated_in_part():
    with pytest.raises(ValueError, match="neither") as refused:
        network_of("x" * 100_000)
    assert len(str(refused.value)) < 200


def test_there_is_an_end_to_how_many_a_key_takes():
    many = [f"10.0.{number // 256}.{number % 256}" for number in range(MAX_NETWORKS + 1)]
    assert len(written_networks(many[1:])) == MAX_NETWORKS
    with pytest.raises(ValueError, match="501 networks; a key takes 500"):
        written_networks(many)


@pytest.mark.parametrize(
    "address", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3", "2001:db8::5", "2001:0DB8:0::5", "203.0.113.9"]
)
def test_an_address_inside_is_admitted(address):
    assert key("10.0.0.0/8", "2001:db8::/32", "203.0.113.9").why_not_from(address) == ""


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("11.0.0.0", "11.0.0.0"),
        ("9.255.255.255", "9.255.255.255"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::10.0.0.1", "::a00:1"),
        ("::1", "::1"),
        *[(text, "an unknown address") for text in ("", "unix:", "testclient", "10.0.0.1, 10.0.0.2", "010.0.0.1", "1")],
    ],
)
def test_an_address_outside_or_none_is_refused(address, shown):
    assert key("10.0.0.0/8").why_not_from(address) == (
        f"Key `ci-bot` is limited to 10.0.0.0/8; request came from {shown}. "
        "Send it from there, or ask an admin of your tenant to add the address."
    )


def test_all_of_one_family_says_nothing_of_the_other():
    assert key("::/0").why_not_from("203.0.113.9") and key("0.0.0.0/0").why_not_from("2001:db8::1")
    assert key("0.0.0.0/0").why_not_from("::ffff:203.0.113.9") == ""


# What IPv6 keeps for IPv4 is IPv4's, and the standard library's answer another one.
@given(networks.filter(lambda network: not network.overlaps(_MAPPED)), st.integers(0, 2**128 - 1))
def test_the_answer_is_that_of_the_standard_library(network, bits):
    address = network.network_address + bits % network.num_addresses
    inside = key(written(network_of(str(network))))
    assert inside.why_not_from(str(address)) == ""
    beyond = int(network.broadcast_address) + 1
    if beyond < 2**network.max_prefixlen:
        assert inside.why_not_from(str(ip_network((beyond, network.max_prefixlen)).network_address))


@pytest.mark.parametrize("address", ["203.0.113.9", "::1", "", "unix:"])
def test_a_key_without_a_list_is_good_everywhere(address):
    assert key().why_not_from(address) == ""


def test_what_cannot_be_read_admits_nobody_and_the_rest_holds(caplog):
    assert "limited to no address;" in key("10.0.0.0/99").why_not_from("10.0.0.1")
    assert key("10.0.0.0/99", "192.0.2.0/24").why_not_from("192.0.2.1") == ""
    assert "10.0.0.0/99" in caplog.text


def test_a_long_list_is_told_in_part():
    told = key(*(f"10.0.0.{number}" for number in range(9))).why_not_from("::1")
    assert "limited to 10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 4 more; request" in told
