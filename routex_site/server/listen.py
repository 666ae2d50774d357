"""Make, adopt and open the listening sockets."""

from __future__ import annotations

import errno
import resource
import socket

from routex_site.server.options import BACKLOG, CannotStart

#: A peer that takes nothing for this long is gone, however politely its kernel answers window probes.
STALLED_READER_MS = 300_000
#: A stream holds two sockets, the client's and the upstream's; many systems allow a process 1024 unless it asks.
DESCRIPTORS = 65_536


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a TCP socket bound to the address, not yet listening.

    Args:
        host: A name or an IPv4 or IPv6 address.
        port: 0 takes a free one.
        shared: Let other processes bind the same port with `shared`; the kernel spreads connections over them.

    Raises:
        CannotStart: The address is taken, forbidden or not of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotStart(f"ROUTEX_HOST is {host!r}, which is no address of this machine: {error.strerror}.") from error
    family, kind, proto, _, address = found[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_READER_MS)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise _cannot_listen(host, port, error) from error
    return sock


def adopt(descriptor: int) -> socket.socket:
    """Return the socket that a supervisor handed over as an open file descriptor.

    Raises:
        CannotStart: The descriptor is not an open TCP socket.
    """
    try:
        sock = socket.socket(fileno=descriptor)  # not a copy: the last one closed refuses connections
    except OSError as error:
        raise CannotStart(f"--fd {descriptor} is not an open socket: {error.strerror}.") from error
    if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        sock.detach()
        raise CannotStart(f"--fd {descriptor} is not a TCP socket.")
    return sock


def start_listening(sock: socket.socket) -> None:
    """Open a bound socket for connections; harmless on one that listens already.

    Raises:
        CannotStart: Another process began to listen since the socket was bound.
    """
    sock.setblocking(False)
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        host, port = sock.getsockname()[:2]
        raise _cannot_listen(host, port, error) from error


def allow_many_sockets() -> None:
    """Raise this process's limit on open files as far as the system allows, up to `DESCRIPTORS`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _cannot_listen(host: str, port: int, error: OSError) -> CannotStart:
    if error.errno == errno.EADDRINUSE:
        return CannotStart(f"Port {port} on {host} is taken. Stop the program that uses it, or set ROUTEX_PORT.")
    if error.errno == errno.EACCES:
        return CannotStart(f"Port {port} on {host} needs more rights than this user has. Set ROUTEX_PORT above 1023.")
    if error.errno == errno.EADDRNOTAVAIL:
        return CannotStart(f"ROUTEX_HOST is {host}, which is no address of this machine.")
    return CannotStart(f"Cannot listen on {host}, port {port}: {error.strerror}.")
