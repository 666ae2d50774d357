"""Whose certificates are accepted, and what is said of the others."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from channels_app.engine.errors import UpstreamRefused
from channels_app.engine.provider import UpstreamResponse
from channels_app.engine.upstream import HttpUpstreams
from tests.channels_app.engine.scripted_upstream import Serve, ok, request_to

pytestmark = pytest.mark.asyncio


async def fetch(upstreams: HttpUpstreams, url: str) -> UpstreamResponse:
    response = await upstreams.send(request_to(url))
    async for _ in response.chunks:
        pass
    await response.close()
    return response


def certificate(folder: Path, name: x509.GeneralName) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a self-signed certificate for `name`, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "upstream")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + private)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


LOCAL = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


async def test_tls_to_a_trusted_upstream(serve: Serve, tmp_path: Path) -> None:
    server, client = certificate(tmp_path, LOCAL)
    upstream = await serve(ok, tls=server)
    upstreams = HttpUpstreams(tls=client)
    assert (await fetch(upstreams, upstream.url(scheme="https"))).status == 200
    assert (await fetch(upstreams, upstream.url(scheme="https"))).connect_ms == 0
    await upstreams.aclose()


async def test_an_untrusted_certificate_is_refused(serve: Serve, upstreams: HttpUpstreams, tmp_path: Path) -> None:
    upstream = await serve(ok, tls=certificate(tmp_path, LOCAL)[0])
    with pytest.raises(UpstreamRefused, match=r"certificate was not accepted \(self"):
        await fetch(upstreams, upstream.url(scheme="https"))


async def test_a_certificate_of_another_name_is_refused(serve: Serve, tmp_path: Path) -> None:
    server, client = certificate(tmp_path, x509.DNSName("elsewhere.example"))
    upstream = await serve(ok, tls=server)
    upstreams = HttpUpstreams(tls=client)
    with pytest.raises(UpstreamRefused, match="not accepted") as caught:
        await fetch(upstreams, upstream.url(scheme="https"))
    assert "127.0.0.1" not in str(caught.value)
    await upstreams.aclose()


async def test_plain_text_where_tls_was_expected_is_refused(upstreams: HttpUpstreams) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    with pytest.raises(UpstreamRefused):
        await fetch(upstreams, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()
