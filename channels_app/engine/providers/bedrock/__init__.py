"""AWS Bedrock."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.errors import UpstreamBlocked
from channels_app.engine.profiles import CLAUDE, CLAUDE_MODELS
from channels_app.engine.provider import Headers, Provider, UpstreamRequest, Upstreams
from channels_app.engine.providers.bedrock.signature import parse_access_key, signed_headers

#: The region stands in the host, also in those for FIPS, for private links and of other partitions.
_RUNTIME = re.compile(r"(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
_OWN_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_EXAMPLE = "https://bedrock-runtime.us-east-1.amazonaws.com"

_INVOKE = msgspec.structs.replace(
    CLAUDE, image_urls=False, web_search=False, max_tool_name=64, max_tool_id=64, service_tier=False
)
_CONVERSE = Capabilities(
    image_urls=False,
    own_urls=("s3://",),
    prefill="refused",
    strict_alternation=True,
    strict_tools=False,
    parallel_tool_calls=False,
    required_choice="",
    named_choice=False,
    max_temperature=1.0,
    seed=False,
    penalties=False,
    logit_bias=False,
    logprobs=False,
    choices=False,
    structured_output=False,
    json_object=False,
    user=False,
    default_max_output=4096,
)
_CHOOSING: dict[str, Any] = {"required_choice": "required", "named_choice": True}
_CLAUDE: dict[str, Any] = {
    **_CHOOSING,
    "tool_message_images": True,
    "cache_control": True,
    "efforts": CLAUDE.efforts,
    "thinking": "adaptive",
    "sampling_params": False,
    "sampling_with_reasoning": False,
    "top_k": True,
    "max_stop": 100,
    "default_max_output": 32000,
}

_NOVA: dict[str, Any] = {
    **_CHOOSING,
    "tool_message_images": True,
    "cache_control": True,
    "cached_tools": False,
    "top_k": True,
}


class Bedrock(Provider):
    """Bedrock's runtime, https://docs.aws.amazon.com/bedrock/latest/APIReference/.

    The base URL names the region. `now` is the clock that signatures carry.
    """

    name = "bedrock"
    label = "AWS Bedrock"
    price_list = "aws"
    base_url_example = _EXAMPLE
    endpoints = {
        # Claude's own body says everything, Converse what all models have in common.
        "bedrock-invoke": "/model/{model}/invoke",
        "bedrock-invoke:stream": "/model/{model}/invoke-with-response-stream",
        "bedrock-converse": "/model/{model}/converse",
        "bedrock-converse:stream": "/model/{model}/converse-stream",
    }
    model_formats = (
        ("*claude*", ("bedrock-invoke", "bedrock-converse")),
        ("*", ("bedrock-converse",)),
    )
    # An id may be an ARN with slashes and colons: one segment all the same.
    model_safe = ""
    credential = (
        "an API key, or ACCESS_KEY_ID:SECRET_ACCESS_KEY with :SESSION_TOKEN behind it where there is one, "
        "or the same as a JSON object"
    )
    capabilities = {"bedrock-converse": _CONVERSE, "bedrock-invoke": _INVOKE}
    models = (
        ("*claude*", _CLAUDE),
        *CLAUDE_MODELS,
        ("*claude*", {"mid_system": False}),
        ("*nova*", _NOVA),
        ("*mistral-large*", _CHOOSING),
    )
    # The runtime has no question without a price; lists of models are another service's.
    probe = None

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    def fit_base_url(self, base_url: str) -> str:
        """Return the base URL; of Amazon's own hosts, only the runtime of a region will do."""
        host = urlsplit(base_url).hostname or ""
        if host.endswith(_OWN_DOMAINS) and not _RUNTIME.search(host):
            raise ValueError(f"{self.label}'s base URL is the runtime of a region, such as {_EXAMPLE}.")
        return base_url

    def check_secret(self, secret: str) -> None:
        """Refuse what begins like an access key and is none."""
        parse_access_key(secret)

    def auth_headers(self, secret: str) -> Headers:
        """Return the header of an API key; an access key signs instead."""
        return [] if parse_access_key(secret) else super().auth_headers(secret)

    async def sign(self, request: UpstreamRequest, secret: str, upstreams: Upstreams) -> UpstreamRequest:
        """Return the request signed with an access key, or with the API key."""
        try:
            key = parse_access_key(secret)
        except ValueError as error:
            raise UpstreamBlocked(str(error)) from None
        if key is None:
            return await super().sign(request, secret, upstreams)
        found = _RUNTIME.search(urlsplit(request.url).hostname or "")
        region = key.region or (found[1] if found else "")
        if not region:
            raise UpstreamBlocked(
                f"The base URL names no region as {_EXAMPLE} does. Correct it, or write the access key as JSON "
                "with a member region."
            )
        signed = await signed_headers(
            request.method,
            request.url,
            request.headers,
            request.body,
            key=key,
            region=region,
            service="bedrock",
            at=self._now(),
        )
        return replace(request, headers=[*request.headers, *signed])
