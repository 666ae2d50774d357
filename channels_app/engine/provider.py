"""The contract of a provider: what Routex must know about a kind of upstream, as facts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
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
    A body that is not in memory comes as `source`, and `body` is empty.
    """

    operation: str
    model: str
    is_stream: bool
    method: str
    url: str
    headers: Headers
    body: bytes
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


class Provider:
    """Facts about one kind of upstream. A subclass sets class attributes and rarely overrides a method."""

    name: ClassVar[str]
    label: ClassVar[str]
    #: Used when the channel gives none; empty means that a channel must give one.
    base_url: ClassVar[str] = ""
    #: Operation → path under the base URL; `{model}` is replaced by the quoted upstream model.
    endpoints: ClassVar[Mapping[str, str]] = {}
    #: Header that carries the credential, and what stands before it.
    auth_header: ClassVar[str] = "authorization"
    auth_scheme: ClassVar[str] = "Bearer "
    needs_credential: ClassVar[bool] = True
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
    models: ClassVar[ModelFacts] = ()

    def offers(self, operation: str) -> bool:
        """Whether this provider answers the operation in its own format."""
        return operation in self.endpoints

    def formats(self) -> list[str]:
        """Return the names of the formats that this provider speaks, sorted."""
        return sorted({operation.partition(":")[0] for operation in self.endpoints})

    def capabilities_of(self, upstream_format: str, model: str) -> Capabilities:
        """Return what a model can take when it is asked in that format."""
        return of_model(self.capabilities.get(upstream_format, Capabilities()), self.models, model)

    def url(self, base_url: str, operation: str, model: str) -> str:
        """Return the full URL of an operation."""
        path = self.endpoints[operation]
        if "{model}" in path:
            path = path.replace("{model}", quote(model, safe="/@"))
        return base_url.rstrip("/") + path

    def auth_headers(self, secret: str) -> Headers:
        """Return the headers that carry a credential; none for an empty one."""
        return [(self.auth_header, self.auth_scheme + secret)] if secret else []

    async def send(self, request: UpstreamRequest, upstreams: Upstreams) -> UpstreamResponse:
        """Send a request. Only a provider without a network (echo) overrides this."""
        return await upstreams.send(request)
