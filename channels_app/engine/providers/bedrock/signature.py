"""Signature Version 4: a request's headers that prove who sends exactly these bytes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from awscrt.auth import AwsCredentialsProvider, AwsSigningAlgorithm, AwsSigningConfig, aws_sign_request
from awscrt.http import HttpHeaders, HttpRequest

from channels_app.engine.provider import Headers

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
#: Headers that the signature covers; a proxy on the way may change others.
_COVERED = frozenset({"content-type"})


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An access key; a region of its own counts more than the one that the host names."""

    id: str
    secret: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    region: str = ""


def parse_access_key(secret: str) -> AccessKey | None:
    """Return the access key in `ID:SECRET[:SESSION_TOKEN]` or in JSON; None for an API key, which is no such thing.

    Raises:
        ValueError: it begins like an access key and is none; the message holds nothing of it.
    """
    if secret.startswith("{"):
        return _parse_json(secret)
    if ":" not in secret:
        return None
    parts = secret.split(":")
    if len(parts) > 3 or not all(parts):
        raise ValueError("An access key is written ACCESS_KEY_ID:SECRET_ACCESS_KEY or with :SESSION_TOKEN behind it.")
    return AccessKey(*parts)


def _parse_json(secret: str) -> AccessKey:
    try:
        given = json.loads(secret)
    except (ValueError, RecursionError):
        given = None
    # Both the tools' names (`AccessKeyId`) and those of the environment (`AWS_ACCESS_KEY_ID`) are in use.
    plain = {
        name.replace("_", "").lower().removeprefix("aws"): value
        for name, value in (given.items() if isinstance(given, dict) else ())
        if isinstance(value, str)
    }
    if not plain.get("accesskeyid") or not plain.get("secretaccesskey"):
        raise ValueError("An access key in JSON has the members access_key_id and secret_access_key.")
    return AccessKey(
        plain["accesskeyid"], plain["secretaccesskey"], plain.get("sessiontoken", ""), plain.get("region", "")
    )


async def signed_headers(
    method: str, url: str, headers: Headers, body: bytes, *, key: AccessKey, region: str, service: str, at: datetime
) -> Headers:
    """Return the headers that sign a request: date, session token if there is one, and the signature.

    `url` is as it will be sent, its path quoted once; see
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
    """
    parts = urlsplit(url)
    covered = [(name, value) for name, value in headers if name.lower() in _COVERED]
    host = parts.netloc.removesuffix(_DEFAULT_PORTS.get(parts.scheme, ""))
    request = HttpRequest(
        method,
        f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/",
        HttpHeaders([("host", host), *covered]),
    )
    config = AwsSigningConfig(
        algorithm=AwsSigningAlgorithm.V4,
        credentials_provider=AwsCredentialsProvider.new_static(key.id, key.secret, key.session_token or None),
        region=region,
        service=service,
        date=at,
        signed_body_value=hashlib.sha256(body).hexdigest(),
    )
    given = len(covered) + 1
    await asyncio.wrap_future(aws_sign_request(request, config))
    return [(name.lower(), value) for name, value in request.headers][given:]
