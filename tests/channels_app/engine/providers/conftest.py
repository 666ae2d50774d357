"""Echo behind the official clients: a transport that takes their requests to `Echo.send` without a socket."""

import asyncio
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai

from channels_app.engine.provider import Headers, Timeouts, UpstreamRequest, UpstreamResponse
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.providers.echo import Echo

#: A good body for each operation.
BODIES: dict[str, dict[str, Any]] = {
    "anthropic": {"max_tokens": 99, "messages": [{"role": "user", "content": "one two three"}]},
    "anthropic:count_tokens": {"messages": [{"role": "user", "content": "one two three"}]},
    "gemini:batchEmbedContents": {"requests": [{"content": {"parts": [{"text": "one two three"}]}}]},
    "gemini:countTokens": {"contents": [{"parts": [{"text": "one two three"}]}]},
    "gemini:embedContent": {"content": {"parts": [{"text": "one two three"}]}},
    "gemini:generateContent": {"contents": [{"parts": [{"text": "one two three"}]}]},
    "gemini:streamGenerateContent": {"contents": [{"parts": [{"text": "one two three"}]}]},
    "cohere-rerank": {"query": "two", "documents": ["one", "two three"]},
    "jina-rerank": {"query": "two", "documents": ["one", {"text": "two three"}]},
    "openai-chat": {"messages": [{"role": "user", "content": "one two three"}]},
    "openai-completions": {"prompt": "one two three"},
    "openai-embeddings": {"input": "one two three"},
    "openai-images": {"prompt": "one two three"},
    "openai-moderations": {"input": "one two three"},
    "openai-responses": {"input": "one two three"},
    "openai-speech": {"input": "one two three"},
}
#: Operations that stream when the request says so, or always.
STREAMED = [
    *("anthropic", "gemini:streamGenerateContent", "openai-chat", "openai-completions", "openai-images"),
    "openai-responses",
]

Ask = Callable[..., Coroutine[Any, Any, UpstreamResponse]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that names `operation` for every operation, `streamed_operation` for those that stream."""
    if "operation" in metafunc.fixturenames:
        metafunc.parametrize("operation", sorted(BODIES))
    if "streamed_operation" in metafunc.fixturenames:
        metafunc.parametrize("streamed_operation", STREAMED)


class NoNetwork:
    """Stands where the network would be; echo never asks it."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        raise AssertionError(f"echo asked the network for {request.url}")


class Naps:
    """A sleep that takes no time and remembers how long it was asked for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def echo(naps: Naps) -> Echo:
    return Echo(gap_s=0.01, sleep=naps)


@pytest.fixture
def ask(echo: Echo) -> Ask:
    """Return a function that sends one request to echo: `await ask("openai-chat", body, model="echo-429")`."""

    async def send(
        operation: str,
        body: Any = None,
        *,
        model: str = "echo",
        is_stream: bool = False,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a frozen value
        headers: Headers | None = None,
    ) -> UpstreamResponse:
        content = body if isinstance(body, bytes) else json.dumps(BODIES[operation] if body is None else body).encode()
        url = echo.url(echo.base_url, operation, model)
        request = UpstreamRequest(operation, model, is_stream, "POST", url, headers or [], content, timeouts)
        return await echo.send(request, NoNetwork())

    return send


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: UpstreamResponse) -> None:
        self._answer = answer

    async def __aiter__(self):
        async for chunk in self._answer.chunks:
            yield chunk

    async def aclose(self) -> None:
        await self._answer.close()


class EchoTransport(httpx2.AsyncBaseTransport):
    """Finds the operation by the paths of a genuine provider, so that those are judged as well."""

    def __init__(self, provider_name: str, ask: Ask) -> None:
        self._ask = ask
        provider = PROVIDERS[provider_name]
        paths = {operation: path.partition("?")[0] for operation, path in provider.endpoints.items()}
        self._patterns = {
            operation: re.compile(re.escape(httpx2.URL(provider.base_url).path.rstrip("/")) + _pattern(path))
            for operation, path in paths.items()
        }

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        content = await request.aread()
        content_type = request.headers["content-type"]
        is_form = content_type.startswith("multipart/")
        body = {"model": _FORM_MODEL.search(content)[1].decode()} if is_form else json.loads(content)
        matches = {name: pattern.fullmatch(request.url.path) for name, pattern in self._patterns.items()}
        [(operation, found)] = [(name, match) for name, match in matches.items() if match]
        model = found.groupdict().get("model") or body["model"]
        is_stream = bool(body.get("stream")) or "stream" in operation
        headers = [("content-type", content_type)]
        answer = await self._ask(operation, content, model=model, is_stream=is_stream, headers=headers)
        return httpx2.Response(answer.status, headers=answer.headers, stream=_Body(answer), request=request)


_FORM_MODEL = re.compile(rb'name="model"\r\n\r\n(.*?)\r\n')


def _pattern(path: str) -> str:
    return re.escape(path).replace(re.escape("{model}"), "(?P<model>.+)")


@pytest.fixture
def openai_client(ask: Ask) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(transport=EchoTransport("openai", ask))
    return openai.AsyncOpenAI(api_key="none", http_client=http, max_retries=0, base_url=PROVIDERS["openai"].base_url)


@pytest.fixture
def anthropic_client(ask: Ask) -> anthropic.AsyncAnthropic:
    http = httpx2.AsyncClient(transport=EchoTransport("anthropic", ask))
    url = PROVIDERS["anthropic"].base_url
    return anthropic.AsyncAnthropic(api_key="none", http_client=http, max_retries=0, base_url=url)


@pytest.fixture
def gemini_client(ask: Ask) -> genai.Client:
    http = httpx2.AsyncClient(transport=EchoTransport("gemini", ask))
    options = genai.types.HttpOptions(
        api_version="v1beta", base_url=PROVIDERS["gemini"].base_url, httpx_async_client=http
    )
    return genai.Client(api_key="none", http_options=options)
