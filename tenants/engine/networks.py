"""Networks that a key may be used from: written in one form, read once, looked at with each request."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

logger = logging.getLogger("routex.keys")

#: How many networks one key may have: each request of the key is compared with all of them.
MAX_NETWORKS: Final = 500
#: How many of them a refusal names.
_SHOWN = 5
#: Where IPv6 keeps the addresses of IPv4.
_MAPPED: Final = IPv6Network("::ffff:0:0/96")


def network_of(text: str) -> Network:
    """Return the network that a text means; an address alone is a network of one.

    Raises:
        ValueError: it is no network, or it names a host inside the network that is meant.
    """
    text = text.strip()
    try:
        found = ip_interface(text if "%" not in text else "")  # a zone means something on one machine only
    except ValueError:
        raise ValueError(
            f"{text[:64]!r} is neither a network such as 10.0.0.0/8 or 2001:db8::/32 nor a single address."
        ) from None
    network = found.network
    if found.ip != network.network_address:
        raise ValueError(f"{text} has host bits set. Write the network, {network}, or the single address, {found.ip}.")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - 96))
    return network


def written(network: Network) -> str:
    """Return a network as it is stored and shown: a single address without its length."""
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def written_networks(texts: Sequence[str]) -> list[str]:
    """Return a list of networks in the form in which it is stored, without repetitions.

    Raises:
        ValueError: one of them is no network, or they are too many.
    """
    found = list(dict.fromkeys(written(network_of(text)) for text in texts))
    if len(found) > MAX_NETWORKS:
        raise ValueError(f"These are {len(found)} networks; a key takes {MAX_NETWORKS}. Write wider ones.")
    return found


def read_networks(texts: Sequence[str]) -> tuple[Network, ...] | None:
    """Return a stored list, ready to be compared with; None where it is empty, which means everywhere.

    One that cannot be read is left out and told: it admits nobody, and the others hold.
    """
    if not texts:
        return None
    found = []
    for text in texts:
        try:
            found.append(network_of(text))
        except ValueError as error:
            logger.error("a network of a key cannot be used here: %s", error)
    return tuple(found)


def address_of(text: str) -> Address | None:
    """Return a peer's address, one of IPv4 inside IPv6 as IPv4; None where there is none, as on a Unix socket."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def listed(networks: Sequence[Network]) -> str:
    """Return networks for a message: the first few, and how many more there are."""
    more = len(networks) - _SHOWN
    shown = ", ".join(map(written, networks[:_SHOWN])) or "no address"
    return f"{shown} and {more} more" if more > 0 else shown
