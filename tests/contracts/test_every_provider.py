"""What every provider must keep, run over the registry: a new one is tested the moment it has its line."""

import re
from dataclasses import replace
from itertools import product
from typing import get_args
from urllib.parse import urlsplit

import msgspec
import pytest

from channels_app import channel_checks as checks
from channels_app.engine.capabilities import Capabilities
from channels_app.engine.provider import Provider, Timeouts, UpstreamRequest
from channels_app.engine.providers import PROVIDERS
from routing.engine.messages import Effort
from routing.engine.toolnames import ToolNames, fit_id, mint_id

OPERATIONS = {
    "anthropic",
    "anthropic:count_tokens",
    "bailian-rerank",
    "bedrock-converse",
    "bedrock-converse:stream",
    "bedrock-invoke",
    "bedrock-invoke:stream",
    "cohere",
    "cohere-embed",
    "cohere-rerank",
    "gemini:batchEmbedContents",
    "gemini:countTokens",
    "gemini:embedContent",
    "gemini:generateContent",
    "gemini:streamGenerateContent",
    "jina-rerank",
    "ollama",
    "ollama-embed",
    "openai-chat",
    "openai-completions",
    "openai-embeddings",
    "openai-images",
    "openai-moderations",
    "openai-responses",
    "openai-speech",
    "openai-transcription",
    "tei-rerank",
    "vertex-anthropic",
    "vertex-anthropic:stream",
}
#: The formats in which conversations are held.
CONVERSATIONS = {
    "anthropic",
    "bedrock-converse",
    "bedrock-invoke",
    "cohere",
    "gemini",
    "ollama",
    "openai-chat",
    "openai-responses",
    "vertex-anthropic",
}
GENUINE = {"anthropic", "anthropic-compatible", "echo", "gemini", "openai", "openai-compatible"}
#: Names of models that are asked for here: each family, old and new, and some that nobody knows.
MODELS = [
    *("gpt-4o", "gpt-5", "gpt-5.2-codex", "o3-mini", "claude-3-5-haiku-20241022", "claude-sonnet-5", "gemini-2.5-pro"),
    *("gemini-3-pro-preview", "deepseek-chat", "openai/gpt-oss-120b", "mistral-small", "moonshotai/kimi-k2", "glm-4-x"),
    *("gpt-x", "claude-x", "gemini-x", "what-x"),
]
HOP_BY_HOP_OR_OURS = {"connection", "content-length", "content-type", "cookie", "host", "transfer-encoding"}
ACCOUNT = {"authorization", "x-api-key", "x-goog-api-key", "openai-organization", "openai-project"}


@pytest.fixture(params=list(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]


@pytest.fixture(params=[(name, each) for name in PROVIDERS for each in PROVIDERS[name].capabilities], ids="-".join)
def spoken(request: pytest.FixtureRequest) -> tuple[Provider, str]:
    """Return a provider and one of the formats in which it holds conversations."""
    name, upstream_format = request.param
    return PROVIDERS[name], upstream_format


def base_url(provider: Provider) -> str:
    return provider.base_url or provider.base_url_example


def test_name_is_its_registry_line():
    assert {name: PROVIDERS[name].name for name in PROVIDERS} == {name: name for name in PROVIDERS}


def test_label_is_there_and_unique():
    labels = [PROVIDERS[name].label for name in PROVIDERS]
    assert all(labels)
    assert len(set(labels)) == len(labels)


def test_registry_offers_every_operation_between_its_providers():
    assert {operation for name in PROVIDERS for operation in PROVIDERS[name].endpoints} == OPERATIONS


def test_endpoints_are_known_operations(provider: Provider):
    assert provider.endpoints
    assert set(provider.endpoints) <= OPERATIONS
    assert all(provider.offers(operation) for operation in provider.endpoints)
    assert not provider.offers("no-such-format")


def test_formats_are_what_stands_before_the_colon(provider: Provider):
    assert provider.formats() == sorted({operation.split(":")[0] for operation in provider.endpoints})


def test_url_is_absolute_and_stands_under_the_base_url(provider: Provider):
    for operation in provider.endpoints:
        url = provider.url(base_url(provider) + "/", operation, "some-model")
        assert url.startswith(base_url(provider) + "/")
        assert "//" not in urlsplit(url).path
        assert "{" not in url


def test_url_keeps_slashes_and_quotes_what_would_break_the_path(provider: Provider):
    for operation, path in provider.endpoints.items():
        if "{model}" not in path:
            continue
        url = provider.url(base_url(provider), operation, "labs/very big:7b?x#y")
        slash = "/" if "/" in provider.model_safe else "%2F"
        assert f"/labs{slash}very%20big%3A7b%3Fx%23y" in url
        assert urlsplit(url).fragment == ""


def test_base_url_is_one_that_a_channel_may_have(provider: Provider):
    if provider.name == "echo":
        return
    assert checks.clean_base_url(base_url(provider), provider) == base_url(provider)


def test_endpoint_pasted_whole_gives_the_base_url_back(provider: Provider):
    if provider.name == "echo":
        return
    for operation in provider.endpoints:
        pasted = provider.url(base_url(provider), operation, "some-model")
        stored = checks.clean_base_url(pasted, provider)
        assert provider.url(stored, operation, "some-model") == pasted


def test_streaming_url_asks_for_server_sent_events(provider: Provider):
    for operation in provider.endpoints:
        if operation == "gemini:streamGenerateContent" and provider.name != "echo":
            assert urlsplit(provider.url(base_url(provider), operation, "m")).query == "alt=sse"


def test_secret_travels_in_one_header_only(provider: Provider):
    headers = provider.auth_headers("s3cret-value")
    assert [name for name, value in headers if "s3cret-value" in value] == [provider.auth_header]
    for operation in provider.endpoints:
        assert "s3cret-value" not in provider.url(base_url(provider), operation, "m")


def test_empty_secret_gives_no_header(provider: Provider):
    assert provider.auth_headers("") == []


@pytest.mark.asyncio
async def test_signing_keeps_the_request_and_adds_what_carries_the_credential(provider: Provider):
    if type(provider).sign is not Provider.sign:
        return  # has tests of its own
    asked = UpstreamRequest("x", "m", False, "POST", "https://h/", [("accept", "a/b")], b"{}", Timeouts())
    signed = await provider.sign(asked, "s3cret-value", None)  # type: ignore[arg-type]
    assert signed == replace(asked, headers=[("accept", "a/b"), *provider.auth_headers("s3cret-value")])
    assert "s3cret-value" not in repr(signed)


def test_a_provider_with_an_address_of_its_own_uses_tls_or_no_network(provider: Provider):
    assert urlsplit(provider.base_url).scheme in {"", "https", "echo"}
    if provider.name.endswith("-compatible"):
        assert provider.base_url == ""
        assert not provider.needs_credential


def test_forwarded_and_default_headers_are_lower_case_and_harmless(provider: Provider):
    names = set(provider.forwarded_headers) | set(provider.default_headers)
    assert names == {name.lower() for name in names}
    assert not names & (ACCOUNT | HOP_BY_HOP_OR_OURS)
    assert provider.auth_header == provider.auth_header.lower()


def test_default_headers_can_be_overruled_by_the_client(provider: Provider):
    assert set(provider.default_headers) <= provider.forwarded_headers


def test_probe_path_fits_behind_the_base_url(provider: Provider):
    if provider.probe is None:
        return
    path = provider.probe.path
    assert path.startswith("/")
    assert "{" not in path
    last = urlsplit(base_url(provider)).path.rsplit("/", 1)[-1]
    assert not last or not path.startswith(f"/{last}/")
    assert provider.probe_url(base_url(provider)) == base_url(provider) + path


def test_only_inventors_of_a_format_and_who_is_taken_at_their_word_are_genuine():
    assert {name for name in PROVIDERS if PROVIDERS[name].is_genuine} == GENUINE


def test_every_format_of_conversations_has_its_capabilities(provider: Provider):
    assert set(provider.capabilities) == set(provider.formats()) & CONVERSATIONS


def test_a_model_is_asked_in_formats_that_the_provider_speaks(provider: Provider):
    for model in MODELS:
        spoken = provider.formats_of(model)
        assert spoken
        assert set(spoken) <= set(provider.formats())
        for operation in provider.endpoints:
            assert provider.offers(operation, model) == (operation.partition(":")[0] in spoken)


def test_facts_about_models_name_capabilities_of_the_right_kind(provider: Provider):
    for glob, facts in provider.models:
        assert glob == glob.lower()
        msgspec.convert(facts, Capabilities)
        assert set(facts) <= set(Capabilities.__struct_fields__)


def test_capabilities_agree_with_one_another(spoken: tuple[Provider, str]):
    provider, upstream_format = spoken
    for model in MODELS:
        if upstream_format not in provider.formats_of(model):
            continue
        can = provider.capabilities_of(upstream_format, model)
        msgspec.convert(msgspec.to_builtins(can), Capabilities)
        assert can.efforts
        assert set(can.efforts) <= set(get_args(Effort))
        assert can.max_stop >= 0
        assert 0 < can.max_temperature <= 2
        assert can.max_output is None or can.default_max_output <= can.max_output
        if can.thinking != "none" and can.max_thinking and can.max_output:
            assert can.max_thinking < can.max_output
        assert can.thinking_switch != "think" or upstream_format == "ollama"


def test_ids_and_names_of_tools_fit_what_the_upstream_takes(spoken: tuple[Provider, str]):
    provider, upstream_format = spoken
    ids = [mint_id(), "toolu_01A09q90qw90lq917835lq9", "functions.search:0", "call.with dots", "x" * 300, ""]
    for model, given in product(MODELS, ids):
        can = provider.capabilities_of(upstream_format, model)
        fitted = fit_id(given, can.tool_id, can.max_tool_id)
        assert len(fitted) <= can.max_tool_id
        assert re.search(can.tool_id, fitted)
        assert len(ToolNames(can.max_tool_name).fit("a name " * 40)) <= can.max_tool_name
