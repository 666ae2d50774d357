"""Access tokens for a service account: a signed claim is exchanged for one, which is kept until it is nearly over."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from channels_app.engine.errors import UpstreamBroken, UpstreamStatus
from channels_app.engine.provider import Timeouts, UpstreamRequest, UpstreamResponse, Upstreams

#: Where tokens come from. A key file names an address too; it is not asked, as it would be told the claim.
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME_S = 3600
#: A token is replaced this long before it is over, so that none runs out on its way.
_SPARE_S = 60.0
_MAX_ANSWER_BYTES = 64 * 1024
_MAX_TOKENS = 1024


class ServiceAccount(msgspec.Struct, frozen=True):
    """What a service account's key file says."""

    client_email: str
    private_key: str
    private_key_id: str = ""

    def __repr__(self) -> str:
        return f"ServiceAccount({self.client_email!r})"


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = _LIFETIME_S


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    ends_at_s: float


def load_account(secret: str) -> tuple[ServiceAccount, RSAPrivateKey]:
    """Return the account of a key file, and its key.

    Raises:
        ValueError: it is no service account's key; the message holds nothing of it.
    """
    # Their own errors quote what they were given, and would be chained to ours.
    with contextlib.suppress(ValueError, TypeError, UnsupportedAlgorithm, RecursionError):
        account = msgspec.json.decode(secret, type=ServiceAccount)
        key = load_pem_private_key(account.private_key.encode(), password=None)
        if isinstance(key, RSAPrivateKey):
            return account, key
    raise ValueError(
        "The credential is a service account's key: the whole JSON file, with client_email and private_key."
    )


def signed_claim(secret: str, *, audience: str, now_s: float) -> str:
    """Return the JWT with which a service account asks for a token (RFC 7523); raises ValueError for no account."""
    account, key = load_account(secret)
    head = {"alg": "RS256", "typ": "JWT", **({"kid": account.private_key_id} if account.private_key_id else {})}
    claim = {
        "iss": account.client_email,
        "scope": _SCOPE,
        "aud": audience,
        "iat": int(now_s),
        "exp": int(now_s) + _LIFETIME_S,
    }
    text = f"{_base64(msgspec.json.encode(head))}.{_base64(msgspec.json.encode(claim))}"
    return f"{text}.{_base64(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class Tokens:
    """The tokens of this process, by key file.

    However many requests need a token at once, one asks for it and the others wait. A failure is told to all of them
    and kept for nobody. `now_s` is the wall clock, which tokens go by.
    """

    def __init__(self, token_url: str = TOKEN_URL, now_s: Callable[[], float] = time.time) -> None:
        self._url = token_url
        self._now_s = now_s
        self._tokens: dict[str, _Token] = {}
        # Health checks run in event loops of their own, and a task cannot be waited for from another loop.
        self._asking: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Task[str]]] = WeakKeyDictionary()

    async def get(self, secret: str, request: UpstreamRequest, upstreams: Upstreams) -> str:
        """Return a token that is good for a minute at least; `request` lends its timeouts.

        Raises:
            UpstreamError: there is none; 401 when the account was refused.
        """
        token = self._tokens.get(secret)
        if token is not None and self._now_s() < token.ends_at_s - _SPARE_S:
            return token.text
        asking = self._asking.setdefault(asyncio.get_running_loop(), {})
        task = asking.get(secret)
        if task is None:
            task = asking[secret] = asyncio.create_task(self._ask(secret, request, upstreams))
            task.add_done_callback(lambda done: _forget(asking, secret, done))
        # Whoever leaves must not take the token from the others.
        return await asyncio.shield(task)

    async def _ask(self, secret: str, request: UpstreamRequest, upstreams: Upstreams) -> str:
        now_s = self._now_s()
        try:
            claim = signed_claim(secret, audience=TOKEN_URL, now_s=now_s)
        except ValueError:
            raise UpstreamStatus(401) from None
        response = await upstreams.send(self._request(claim, request.timeouts, request.private_networks))
        try:
            body = await _read(response)
        finally:
            await response.close()
        if response.status != 200:
            # A refused claim is a 400 there; for the channel it is a credential that is no good.
            raise UpstreamStatus(401 if response.status in {400, 401, 403} else response.status)
        try:
            granted = msgspec.json.decode(body, type=_Granted)
        except msgspec.DecodeError:
            raise UpstreamBroken("its token endpoint answered with something else than a token") from None
        if len(self._tokens) >= _MAX_TOKENS:
            self._tokens.clear()
        self._tokens[secret] = _Token(granted.access_token, now_s + granted.expires_in)
        return granted.access_token

    def _request(self, claim: str, timeouts: Timeouts, private_networks: tuple[str, ...]) -> UpstreamRequest:
        return UpstreamRequest(
            operation="token",
            model="",
            is_stream=False,
            method="POST",
            url=self._url,
            headers=[("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")],
            body=urlencode({"grant_type": _GRANT, "assertion": claim}).encode(),
            timeouts=timeouts,
            private_networks=private_networks,
        )


def _forget(asking: dict[str, asyncio.Task[str]], secret: str, done: asyncio.Task[str]) -> None:
    asking.pop(secret, None)
    if not done.cancelled():
        done.exception()  # everybody who waited may have left


async def _read(response: UpstreamResponse) -> bytes:
    body = b""
    async for chunk in response.chunks:
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise UpstreamBroken("its token endpoint answered with more than a token")
    return body


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
