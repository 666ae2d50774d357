"""The contract of a provider: what Routex must know about a kind of upstream, as facts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import ClassVar, Protocol
from urllib.parse import quote

from channels_app.engine.capabilities import Capabilities, ModelFacts, of_model

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The longest that each wait may take, in seconds; every wait has a limit."""

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0


class ByteSource(Protocol):
    """A body that is not in memory: each iteration gives it anew, from its first byte."""

    @property
    def length(self) -> int:
        """How many bytes an iteration gives."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the bytes as they become known; waiting for them counts for no limit but the total."""
        ...


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """One request to one upstream, ready to send.

    `operation` names what is asked in which format: `openai-chat`, or `gemini:countTokens`, where the part before
    the colon is the format. `private_networks` are the private address ranges that the tenant may reach ("10.0.0.0/8").
    Headers hold credentials and bodies hold what people wrote, so neither is in its repr.
    A body that is not in memory comes as `source`, and `body` is empty.
    """

    operation: str
    model: str
    is_stream: bool
    method: str
    url: str
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    timeouts: Timeouts
    private_networks: tuple[str, ...] = ()
    source: ByteSource | None = None


@dataclass(slots=True)
class UpstreamResponse:
    """An answer whose head has arrived.

    Iterate `chunks` once for the body as it comes, each wait bounded by the request's timeouts; it raises
    UpstreamError. Always call `close`: it is safe to call twice and drops the connection unless the body ended.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    chunks: AsyncIterator[bytes]
    close: Callable[[], Awaitable[None]]
    connect_ms: float = 0.0

    def header(self, name: bytes) -> bytes:
        """Return the first header of that lower-case name, or empty bytes."""
        return next((value for key, value in self.headers if key.lower() == name), b"")


class Upstreams(Protocol):
    """What sends requests over the network; `channels_app.engine.upstream` implements it."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Return the answer once its head is here; raise UpstreamError when none comes."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """The cheapest request that shows whether a channel works: a GET path under the base URL."""

    path: str = "/models"


def join_url(base_url: str, path: str) -> str:
    """Return a URL under a base URL; either may have a query, and both are kept."""
    base, _, given = base_url.partition("?")
    path, _, asked = path.partition("?")
    query = "&".join(part for part in (asked, given) if part)
    return f"{base.rstrip('/')}{path}?{query}" if query else base.rstrip("/") + path


class Provider:
    """Facts about one kind of upstream. A subclass sets class attributes and rarely overrides a method."""

    name: ClassVar[str]
    label: ClassVar[str]
    #: Used when the channel gives none; empty means that a channel must give one.
    base_url: ClassVar[str] = ""
    #: Shows what to write where there is no base URL of its own.
    base_url_example: ClassVar[str] = "http://127.0.0.1:11434/v1"
    #: Names of the query parameters that belong to a base URL.
    base_url_query: ClassVar[frozenset[str]] = frozenset()
    #: What people write at the end of a base URL although it belongs to the endpoints, or to none of them.
    base_url_tails: ClassVar[tuple[str, ...]] = ()
    #: Operation → path under the base URL; `{model}` is replaced by the quoted upstream model. Of several formats for
    #: conversations the one that says most comes first: it is what other formats are translated to.
    endpoints: ClassVar[Mapping[str, str]] = {}
    #: Model-name glob → the formats that such models are asked in; the first line that matches counts. Without lines
    #: every model is asked in every format.
    model_formats: ClassVar[tuple[tuple[str, tuple[str, ...]], ...]] = ()
    #: What of a model's name stands in a path unquoted.
    model_safe: ClassVar[str] = "/@"
    #: Header that carries the credential, and what stands before it.
    auth_header: ClassVar[str] = "authorization"
    auth_scheme: ClassVar[str] = "Bearer "
    needs_credential: ClassVar[bool] = True
    #: What a credential is, in words.
    credential: ClassVar[str] = "an API key"
    #: Always sent, below what the client sent.
    default_headers: ClassVar[Mapping[str, str]] = {}
    #: Client headers (lower case) that mean something to this upstream and are passed on.
    forwarded_headers: ClassVar[frozenset[str]] = frozenset()
    #: None when the provider offers no cheap health request.
    probe: ClassVar[Probe | None] = Probe()
    #: It is the inventor of the formats it speaks: their bytes may pass unread.
    is_genuine: ClassVar[bool] = False
    #: Format → what its models can take, and the models that differ.
    capabilities: ClassVar[Mapping[str, Capabilities]] = {}
    #: Operation → members that it knows in one value only, in JSON, for requests that pass in the client's own format.
    only_values: ClassVar[Mapping[str, Mapping[str, bytes]]] = {}
    #: The list in the price book that says what its models cost (ids of github.com/pydantic/genai-prices); empty
    #: where whoever runs it decides.
    price_list: ClassVar[str] = ""
    models: ClassVar[ModelFacts] = ()

    def offers(self, operation: str, model: str = "") -> bool:
        """Whether this provider answers the operation in its own format, for that model where one is named."""
        if operation not in self.endpoints:
            return False
        return not (model and self.model_formats) or operation.partition(":")[0] in self.formats_of(model)

    def formats(self) -> list[str]:
        """Return the names of the formats that this provider speaks, sorted."""
        return sorted({operation.partition(":")[0] for operation in self.endpoints})

    def formats_of(self, model: str) -> list[str]:
        """Return the formats that a model is asked in, the best first."""
        spoken = list(dict.fromkeys(operation.partition(":")[0] for operation in self.endpoints))
        for glob, formats in self.model_formats:
            if fnmatchcase(model.lower(), glob):
                return [each for each in spoken if each in formats]
        return spoken

    def capabilities_of(self, upstream_format: str, model: str) -> Capabilities:
        """Return what a model can take when it is asked in that format."""
        return _capabilities_of(self, upstream_format, model)

    def most_output(self, upstream_format: str, model: str, body_bytes: int) -> int:
        """Return how many tokens an answer may have at most whose request, of a body so long, does not limit it."""
        can = self.capabilities_of(upstream_format, model)
        return can.max_output or can.default_max_output

    def priced_as(self, base_url: str, model: str) -> tuple[str, str]:
        """Return the price list for a channel with that base URL (it may be empty), and the model's name there."""
        return self.price_list, model

    def fit_base_url(self, base_url: str) -> str:
        """Return a base URL as channels store it; it has a scheme and a host, and no endpoint at its end.

        Raises:
            ValueError: something that this provider needs is missing; the message says how to write it.
        """
        # Whoever gives only the beginning of the provider's own address means all of it.
        return self.base_url if self.base_url.startswith(base_url + "/") else base_url

    def check_secret(self, secret: str) -> None:
        """Refuse a credential that cannot be one.

        Raises:
            ValueError: the message says what a credential looks like, and nothing of the secret.
        """

    def url(self, base_url: str, operation: str, model: str) -> str:
        """Return the full URL of an operation."""
        path = self.endpoints[operation]
        if "{model}" in path:
            path = path.replace("{model}", quote(model, safe=self.model_safe))
        return join_url(base_url, path)

    def probe_url(self, base_url: str) -> str:
        """Return the full URL of the probe, which must be there."""
        assert self.probe is not None
        return join_url(base_url, self.probe.path)

    def auth_headers(self, secret: str) -> Headers:
        """Return the headers that carry a credential; none for an empty one."""
        return [(self.auth_header, self.auth_scheme + secret)] if secret else []

    async def sign(self, request: UpstreamRequest, secret: str, upstreams: Upstreams) -> UpstreamRequest:
        """Return the request with its credential; nothing of it may change afterwards.

        Only a provider whose credential is not sent as it is overrides this: it signs the request's bytes, or asks
        for a token first.

        Raises:
            UpstreamError: the credential cannot be used, or gives no token.
        """
        return replace(request, headers=[*request.headers, *self.auth_headers(secret)])

    async def send(self, request: UpstreamRequest, upstreams: Upstreams) -> UpstreamResponse:
        """Send a request. Only a provider without a network (echo) overrides this."""
        return await upstreams.send(request)


@lru_cache(maxsize=4096)
def _capabilities_of(provider: Provider, upstream_format: str, model: str) -> Capabilities:
    # Matching every line costs as much as translating a short request; callers may name any model, hence a limit.
    return of_model(provider.capabilities.get(upstream_format, Capabilities()), provider.models, model)
