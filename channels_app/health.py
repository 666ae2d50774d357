"""Ask each channel's upstream the cheapest question there is, and keep the answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from channels_app.engine.errors import UpstreamError
from channels_app.engine.provider import Provider, Timeouts, UpstreamRequest, Upstreams
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.upstream import HttpUpstreams
from channels_app.engine.vault import CannotUnseal
from channels_app.models import Channel, ChannelHealth
from channels_app.secrets import unseal
from channels_app.selectors import channels_all
from channels_app.services import health_record
from tenants.context import tenant_scope
from tenants.models import Tenant

#: A check is patient enough for a slow answer and never holds up the others for long.
TIMEOUTS = Timeouts(connect_s=5.0, first_byte_s=10.0, idle_s=5.0, total_s=15.0)
CHECKS_AT_ONCE = 8
_ERROR_BYTES = 4096

OpenUpstreams = Callable[[], AbstractAsyncContextManager[Upstreams]]


@dataclass(frozen=True, slots=True)
class Target:
    """What a check needs of a channel, read from the database before the network is asked.

    `obstacle` says why there is nothing to ask; secrets are kept out of every repr.
    """

    channel_id: str
    provider: str
    base_url: str
    private_networks: tuple[str, ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found; `status` is None when no HTTP answer came."""

    channel_id: str
    is_up: bool
    status: int | None = None
    detail: str = ""
    duration_ms: float = 0.0


@asynccontextmanager
async def http_upstreams() -> AsyncIterator[Upstreams]:
    """Return connections of the check's own: pools belong to an event loop, and a check has its own."""
    upstreams = HttpUpstreams(own_listeners=settings.ENV.own_listeners)
    try:
        yield upstreams
    finally:
        await upstreams.aclose()


def tenant_check(*, tenant: Tenant, open_upstreams: OpenUpstreams = http_upstreams) -> int:
    """Check every enabled channel of a tenant, with no transaction open meanwhile, and return how many there were."""
    with tenant_scope(tenant.id):
        targets = targets_of(tenant=tenant, channels=channels_all().filter(is_enabled=True))
    results = asyncio.run(_ask(targets, open_upstreams))
    with tenant_scope(tenant.id):
        still_there = set(Channel.objects.filter(pk__in=[r.channel_id for r in results]).values_list("pk", flat=True))
        for result in results:
            if result.channel_id in still_there:
                _record(result)
    return len(results)


def channels_check(
    *, tenant: Tenant, channels: Iterable[Channel], open_upstreams: OpenUpstreams = http_upstreams
) -> list[ChannelHealth]:
    """Check these channels now, inside the caller's scope, and return what was recorded, in the same order."""
    targets = targets_of(tenant=tenant, channels=channels)
    return [_record(result) for result in asyncio.run(_ask(targets, open_upstreams))]


def targets_of(*, tenant: Tenant, channels: Iterable[Channel]) -> list[Target]:
    """Return what there is to check, in the tenant's scope."""
    networks = settings.ENV.networks_of(tenant.slug, tenant.private_upstreams)
    return [_target(channel, networks) for channel in channels]


def _target(channel: Channel, networks: tuple[str, ...]) -> Target:
    target = Target(channel.id, channel.provider, channel.base_url, networks)
    if channel.provider not in PROVIDERS:
        return _blocked(target, f"Provider {channel.provider!r} is not installed here.")
    try:
        secrets = tuple(unseal(credential.sealed) for credential in channel.credentials.all())
    except CannotUnseal as error:
        return _blocked(target, str(error))
    provider = PROVIDERS[channel.provider]
    if provider.needs_credential and not secrets:
        return _blocked(target, f"The channel has no credential; {provider.label} needs one.")
    base_url = channel.base_url or provider.base_url
    return Target(channel.id, channel.provider, base_url, networks, secrets)


def _blocked(target: Target, obstacle: str) -> Target:
    return Target(target.channel_id, target.provider, target.base_url, obstacle=obstacle)


async def _ask(targets: Sequence[Target], open_upstreams: OpenUpstreams) -> list[Result]:
    async with open_upstreams() as upstreams:
        return await check_all(targets, upstreams)


async def check_all(targets: Sequence[Target], upstreams: Upstreams) -> list[Result]:
    """Return what checks found, in the order of the targets; at most CHECKS_AT_ONCE run at a time."""
    slots = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def in_turn(target: Target) -> Result:
        async with slots:
            return await check(target, upstreams)

    return await asyncio.gather(*map(in_turn, targets))


async def check(target: Target, upstreams: Upstreams) -> Result:
    """Ask one upstream, with one credential after the other until one is accepted."""
    if target.obstacle:
        return Result(target.channel_id, is_up=False, detail=target.obstacle)
    provider = PROVIDERS[target.provider]
    if provider.probe is None:
        return Result(target.channel_id, is_up=True, detail=f"{provider.label} offers nothing to ask; taken as up.")
    result = Result(target.channel_id, is_up=False)
    for secret in target.secrets or ("",):
        result = await _probe(target, provider, secret, upstreams)
        if result.status not in {401, 403}:
            break
    return result


async def _probe(target: Target, provider: Provider, secret: str, upstreams: Upstreams) -> Result:
    request = UpstreamRequest(
        operation="probe",
        model="",
        is_stream=False,
        method="GET",
        url=provider.probe_url(target.base_url),
        headers=[*provider.default_headers.items()],
        body=b"",
        timeouts=TIMEOUTS,
        private_networks=target.private_networks,
    )
    began_s = time.perf_counter()
    status: int | None = None
    try:
        signed = await provider.sign(request, secret, upstreams)
        sent = [value.rpartition(" ")[2] for name, value in signed.headers if (name, value) not in request.headers]
        status, body = await _exchange(provider, signed, upstreams)
        is_up, detail = _verdict(provider.label, status, _without([secret, *sent], _reason(body)))
    except UpstreamError as error:
        is_up, detail = False, f"{provider.label}: {error}"
    return Result(target.channel_id, is_up, status, detail, round((time.perf_counter() - began_s) * 1000, 1))


async def _exchange(provider: Provider, request: UpstreamRequest, upstreams: Upstreams) -> tuple[int, bytes]:
    """Return the status and, of an error, the beginning of the body; raises UpstreamError."""
    answer = await provider.send(request, upstreams)
    try:
        body = b""
        if answer.status >= 400:
            async for chunk in answer.chunks:
                body += chunk
                if len(body) >= _ERROR_BYTES:
                    break
        return answer.status, body[:_ERROR_BYTES]
    finally:
        await answer.close()


def _verdict(label: str, status: int, reason: str) -> tuple[bool, str]:
    said = f": {reason}" if reason else ""
    if status < 300:
        return True, ""
    if status == 429:
        return True, f"{label} is up and limits this credential (HTTP 429){said}"
    if status < 400:
        return False, f"{label} redirects (HTTP {status}), which is not followed. Correct the base URL."
    if status in {401, 403}:
        return False, f"{label} refused the credential (HTTP {status}){said}"
    if status == 404:
        return False, f"{label} answered HTTP 404 to the probe. Check the path of the base URL{said}"
    return False, f"{label} answered HTTP {status}{said}"


def _reason(body: bytes) -> str:
    """Return the message in an error body of any of the usual shapes, or nothing."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return ""
    error = found.get("error", found) if isinstance(found, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    if not isinstance(message, str):
        return ""
    return "".join(char if char.isprintable() else " " for char in message)[:300]


def _without(secrets: Iterable[str], text: str) -> str:
    """Return the text with the secrets blanked, as some upstreams repeat what they refused."""
    for secret in secrets:
        text = text.replace(secret, "…") if secret else text
    return text


def _record(result: Result) -> ChannelHealth:
    return health_record(
        channel_id=result.channel_id,
        is_up=result.is_up,
        status=result.status,
        detail=result.detail,
        duration_ms=result.duration_ms,
    )
