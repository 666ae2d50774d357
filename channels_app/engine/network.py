"""Which addresses an upstream may have: globally routable ones, and private ranges that the tenant was granted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: Where clouds hand credentials to the machine itself. 168.63.129.16 (Azure) is even a public address.
_METADATA = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
        ),
    )
)
_CARRIER_NAT = ip_network("100.64.0.0/10")
_THIS_NETWORK = ip_network("0.0.0.0/8")
_NAT64 = ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ip_network("2000::/3")
#: Special ranges that some Python versions call global: protocol assignments with Teredo, 6to4 and its relays,
#: documentation. https://www.iana.org/assignments/iana-ipv6-special-registry/
_SPECIAL = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an address may not be an upstream: what kind it is, and whether a grant could open it."""

    kind: str
    is_grantable: bool = True

    def __str__(self) -> str:
        hint = (
            "A platform administrator can allow the range: for this tenant with `private_upstreams` in the "
            "operator's configuration document, for every tenant with ROUTEX_ALLOW_PRIVATE_UPSTREAMS."
            if self.is_grantable
            else "No setting allows this."
        )
        return f"The channel's base URL leads to {self.kind}, which this tenant may not reach. {hint}"


OWN_LISTENER = Refusal("one of Routex's own services", is_grantable=False)


@lru_cache(maxsize=1024)
def parse_networks(texts: tuple[str, ...]) -> frozenset[Network]:
    """Return the ranges ("10.0.0.0/8") as networks; raise ValueError for one that is not a range."""
    return frozenset(ip_network(text, strict=False) for text in texts)


def parse_address(text: str) -> Address:
    """Return the address that packets to `text` end at; raise ValueError for a name.

    An IPv4 address inside IPv6 (`::ffff:127.0.0.1`, or behind the NAT64 prefix of RFC 6052) counts as the IPv4 address
    that it leads to. A zone (`fe80::1%eth0`) is dropped.
    """
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def refusal(address: Address, granted: Iterable[Network]) -> Refusal | None:
    """Return why an address from `parse_address` may not be connected to under these grants; None when it may."""
    if address in _METADATA:
        return Refusal("a cloud metadata address", is_grantable=False)
    if address.is_unspecified or address in _THIS_NETWORK:
        # Linux takes 0.0.0.0 for loopback, so a grant for "everything private" must not open it by another name.
        return Refusal("an unspecified address", is_grantable=False)
    if address.is_multicast:
        return Refusal("a multicast address", is_grantable=False)
    if _is_global(address) or any(address in network for network in granted):
        return None
    return Refusal(_kind(address))


def _is_global(address: Address) -> bool:
    if any(address in network for network in _SPECIAL):
        return False
    # Everything outside 2000::/3 is special or unallocated, which `is_global` does not say for site-local fec0::/10.
    return address.is_global and not address.is_reserved and (address.version == 4 or address in _GLOBAL_UNICAST)


def _kind(address: Address) -> str:
    if address.is_loopback:
        return "a loopback address"
    if address.is_link_local:
        return "a link-local address"
    if address in _CARRIER_NAT:
        return "a carrier-grade NAT address"
    if address.is_reserved or any(address in network for network in _SPECIAL):
        return "a reserved address"
    return "a private address"
