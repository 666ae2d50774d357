"""What every provider must keep, run over the registry: a new one is tested the moment it has its line."""

from urllib.parse import urlsplit

import pytest

from channels_app.engine.provider import Provider
from channels_app.engine.providers import PROVIDERS

OPERATIONS = {
    "anthropic",
    "anthropic:count_tokens",
    "cohere-rerank",
    "gemini:batchEmbedContents",
    "gemini:countTokens",
    "gemini:embedContent",
    "gemini:generateContent",
    "gemini:streamGenerateContent",
    "jina-rerank",
    "openai-chat",
    "openai-completions",
    "openai-embeddings",
    "openai-images",
    "openai-moderations",
    "openai-responses",
    "openai-speech",
    "openai-transcription",
}
HOP_BY_HOP_OR_OURS = {"connection", "content-length", "content-type", "cookie", "host", "transfer-encoding"}
ACCOUNT = {"authorization", "x-api-key", "x-goog-api-key", "openai-organization", "openai-project"}


@pytest.fixture(params=list(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> Provider:
    return PROVIDERS[request.param]


def base_url(provider: Provider) -> str:
    return provider.base_url or "https://models.example/api/v1"


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
        assert "/labs/very%20big%3A7b%3Fx%23y:" in url
        assert urlsplit(url).fragment == ""


def test_streaming_url_asks_for_server_sent_events(provider: Provider):
    for operation in provider.endpoints:
        if "stream" in operation and provider.name != "echo":
            assert urlsplit(provider.url(base_url(provider), operation, "m")).query == "alt=sse"


def test_secret_travels_in_one_header_only(provider: Provider):
    headers = provider.auth_headers("s3cret-value")
    assert [name for name, value in headers if "s3cret-value" in value] == [provider.auth_header]
    for operation in provider.endpoints:
        assert "s3cret-value" not in provider.url(base_url(provider), operation, "m")


def test_empty_secret_gives_no_header(provider: Provider):
    assert provider.auth_headers("") == []


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
