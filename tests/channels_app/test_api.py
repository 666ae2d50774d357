"""Channels and providers over the management API."""

import json

import pytest

from channels_app.engine.providers import PROVIDERS
from channels_app.models import Channel, UpstreamCredential
from channels_app.secrets import unseal
from tenants.context import tenant_scope
from tests.api_calls import Api

pytestmark = pytest.mark.django_db

SECRET = "sk-live-0123456789abcdef"
OPENAI = {"slug": "main", "provider": "openai", "models": ["gpt"], "api_key": SECRET}


@pytest.fixture
def acme(cast):
    return Api(token=cast.acme_token)


def secrets_of(cast, slug="main"):
    with tenant_scope(cast.acme.id):
        return {c.slug: unseal(c.sealed) for c in UpstreamCredential.objects.filter(channel__slug=slug)}


def test_a_channel_of_the_configuration_document_is_taken_as_it_stands(acme):
    document = {
        "slug": "openai-main",
        "provider": "openai",
        "format": "openai-chat",
        "base_url": "https://api.openai.com/v1",
        "credentials": [{"slug": "main", "api_key": SECRET}],
        "models": ["gpt-5.6-luna", {"name": "fast", "upstream": "gpt-5.6-mini"}],
        "prices": {"gpt-5.6-luna": {"input_usd_per_mtok": "1.25", "output_usd_per_mtok": "10"}},
        "priority": 100,
        "weight": 1,
        "enabled": True,
        "transformers": [{"maxtoken": {"max_tokens": 8192}}],
        "timeout_s": {"connect": 5, "first_byte": 60, "idle": 60, "total": 600},
        "region": "eu",
        "tags": ["prod"],
    }
    made = acme.post("/api/channels", document)
    assert made.status == 201, made.text
    told = {name: made.body[name] for name in document if name != "credentials"}
    assert told == {name: value for name, value in document.items() if name != "credentials"}
    assert [(c["slug"], c["last_four"]) for c in made.body["credentials"]] == [("main", "cdef")]
    assert made.body["id"].startswith("chn_")
    assert SECRET not in made.text
    assert acme.get(f"/api/channels/{made.body['id']}").body == acme.get("/api/channels/openai-main").body == made.body


def test_a_channel_in_camel_case_is_taken_and_told_in_our_names(cast, acme):
    made = acme.post(
        "/api/channels",
        {
            "name": "Open Router 1",
            "type": "custom",
            "baseUrl": "https://openrouter.example/api/v1/chat/completions",
            "apiKey": SECRET,
            "models": ["a"],
            "transformers": {"use": ["maxtoken", ["sampling", {"top_p": 1}]]},
            "status": "disabled",
        },
    )
    assert made.status == 201, made.text
    expected = {
        "slug": "open-router-1",
        "provider": "openai-compatible",
        "base_url": "https://openrouter.example/api/v1",
        "transformers": ["maxtoken", {"sampling": {"top_p": 1}}],
        "enabled": False,
    }
    assert {name: made.body[name] for name in expected} == expected
    assert secrets_of(cast, "open-router-1") == {"main": SECRET}


def test_a_merge_patch_changes_what_it_names_and_null_goes_back_to_the_default(acme):
    acme.post("/api/channels", OPENAI | {"timeout_s": {"idle": 9, "connect": 1}, "region": "eu", "priority": 7})
    changed = acme.patch(
        "/api/channels/main", {"timeout_s": {"idle": 3}, "region": None}, Content_Type="application/merge-patch+json"
    )
    assert changed.body["timeout_s"] == {"connect": 1, "first_byte": 60, "idle": 3, "total": 600}
    assert changed.body["region"] == "" and changed.body["priority"] == 7
    assert acme.patch("/api/channels/main", {"timeout_s": None}).body["timeout_s"]["idle"] == 60
    assert acme.patch("/api/channels/main", {"slug": None}).pointers == ["/slug"]


def test_what_was_read_may_be_sent_back_whole(cast, acme):
    read = acme.post("/api/channels", OPENAI).body
    again = acme.patch("/api/channels/main", read)
    assert again.status == 200 and again.body == read
    assert secrets_of(cast) == {"main": SECRET}


def test_the_short_form_of_a_credential_leaves_the_others_alone(cast, acme):
    acme.post("/api/channels", OPENAI)
    acme.patch("/api/channels/main", {"credentials": [{"slug": "main"}, {"slug": "b", "api_key": "sk-b"}]})
    acme.patch("/api/channels/main", {"api_key": "sk-new"})
    assert secrets_of(cast) == {"main": "sk-new", "b": "sk-b"}
    acme.patch("/api/channels/main", {"credentials": []})
    assert secrets_of(cast) == {}


def test_a_change_of_server_needs_the_credential_again(cast, acme):
    acme.post("/api/channels", OPENAI)
    refused = acme.patch("/api/channels/main", {"base_url": "https://elsewhere.example/v1"})
    assert refused.status == 400 and refused.body["errors"][0]["code"] == "credential-needed-again"
    assert acme.get("/api/channels/main").body["base_url"] == ""
    moved = acme.patch("/api/channels/main", {"base_url": "https://elsewhere.example/v1", "api_key": "sk-else"})
    assert moved.status == 200 and secrets_of(cast) == {"main": "sk-else"}


def test_a_stale_version_is_not_overwritten(acme):
    first = acme.post("/api/channels", OPENAI)
    assert acme.get("/api/channels/main").headers["ETag"] == first.headers["ETag"]
    second = acme.patch("/api/channels/main", {"priority": 1}, If_Match=first.headers["ETag"])
    assert second.status == 200 and second.headers["ETag"] != first.headers["ETag"]
    stale = acme.patch("/api/channels/main", {"priority": 2}, If_Match=first.headers["ETag"])
    assert stale.status == 412 and stale.body["type"] == "/errors/stale-version"
    assert acme.delete("/api/channels/main", If_Match=first.headers["ETag"]).status == 412
    assert acme.get("/api/channels/main").body["priority"] == 1
    acme.patch("/api/channels/main", {"api_key": "sk-another"})
    assert acme.delete("/api/channels/main", If_Match=second.headers["ETag"]).status == 412, "a new secret is a change"
    assert acme.delete("/api/channels/main", If_Match="*").status == 204
    assert acme.get("/api/channels/main").status == 404


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"provider": "opnai"}, ["/provider"]),
        ({"slug": "Test"}, ["/slug"]),
        ({"slug": "test-all"}, ["/slug"]),
        ({"base_url": "https://u:p@host/v1"}, ["/base_url"]),
        ({"models": []}, ["/models"]),
        ({"models": ["a", "a"]}, ["/models"]),
        ({"models": "gpt"}, ["/models"]),
        ({"enabled": "perhaps"}, ["/enabled"]),
        ({"timeout_s": {"idle": 0}}, ["/timeout_s/idle"]),
        ({"timeout_s": {"idles": 1}}, ["/timeout_s/idles"]),
        ({"weight": -1}, ["/weight"]),
        ({"prices": {"gpt": {"input_usd_per_mtok": 1.5}}}, ["/prices"]),
        ({"credentials": [{"slug": "b"}]}, ["/credentials"]),
        ({"credentials": [{"slug": "b", "apikey": "x"}]}, ["/credentials/0/apikey"]),
        ({"api_key": "two\nlines"}, ["/credentials"]),
        ({"prioriti": 1}, ["/prioriti"]),
        ({"format": "gemini", "transformers": 5}, ["/format", "/transformers"]),
        ({"transformers": ["nonsense"]}, ["/transformers"]),
        ({"transformers": [{"maxtoken": {"max": 1}}]}, ["/transformers"]),
    ],
)
def test_a_wrong_channel_is_refused_at_the_field(acme, change, pointers):
    answer = acme.post("/api/channels", {name: v for name, v in OPENAI.items() if name != "api_key"} | change)
    assert answer.status == 400 and answer.pointers == pointers, answer.text
    assert acme.get("/api/channels").body["data"] == []


def test_a_patch_brings_in_no_transformer_that_means_nothing(acme):
    acme.post("/api/channels", OPENAI | {"transformers": ["cleancache"]})
    refused = acme.patch("/api/channels/main", {"transformers": ["cleancache", "nonsense"]})
    assert refused.status == 400 and refused.pointers == ["/transformers"]
    assert "'nonsense'" in refused.text and "maxtoken" in refused.text
    assert acme.get("/api/channels/main").body["transformers"] == ["cleancache"]


def test_a_taken_slug_is_a_conflict(acme):
    acme.post("/api/channels", OPENAI)
    assert acme.post("/api/channels", OPENAI).status == 409


def test_channels_are_found_by_what_they_are(acme):
    acme.post("/api/channels", OPENAI | {"tags": ["prod", "eu"], "priority": 2})
    acme.post("/api/channels", OPENAI | {"slug": "spare", "enabled": False, "models": ["claude"], "tags": ["eu"]})
    acme.post("/api/channels", {"slug": "echo", "provider": "echo", "models": ["echo"]})

    def found(query):
        answer = acme.get(f"/api/channels?{query}")
        assert answer.status == 200, answer.text
        return [channel["slug"] for channel in answer.body["data"]]

    assert found("") == ["main", "spare", "echo"] or found("sort=-priority")[0] == "main"
    assert found("provider=openai&sort=slug") == ["main", "spare"]
    assert found("enabled=false") == found("is_enabled=false") == ["spare"]
    assert found("tag=prod") == ["main"] and found("tag=pro") == []
    assert found("slug=echo") == ["echo"] and found("q=claud") == ["spare"]
    assert acme.get("/api/channels?enabled=maybe").pointers == ["?enabled"]


def test_an_upper_case_host_and_a_dotted_slug_are_fine(acme):
    made = acme.post("/api/channels", OPENAI | {"slug": "v1.main", "base_url": "https://API.Example/v1"})
    assert acme.get("/api/channels/v1.main").body["base_url"] == "https://api.example/v1" == made.body["base_url"]


def test_providers_are_those_of_the_registry(acme):
    told = acme.get("/api/providers").body["data"]
    assert [provider["name"] for provider in told] == list(PROVIDERS)
    echo = next(provider for provider in told if provider["name"] == "echo")
    assert echo["needs_credential"] is False and echo["has_probe"] is False and "gemini" in echo["formats"]
    azure = next(provider for provider in told if provider["name"] == "azure-openai")
    assert azure["base_url"] == "" and azure["base_url_example"].endswith("/openai/v1") and azure["credential"]


def test_a_test_of_a_channel_without_network_joins_its_history(acme):
    acme.post("/api/channels", {"slug": "echo", "provider": "echo", "models": ["echo"]})
    acme.post("/api/channels", OPENAI | {"api_key": ""})
    tested = acme.post("/api/channels/echo/test")
    assert tested.status == 200 and tested.body["is_up"] is True
    everything = acme.post("/api/channels/test-all").body["data"]
    assert sorted(row["is_up"] for row in everything) == [False, True]
    assert "needs one" in next(row["detail"] for row in everything if not row["is_up"])
    history = acme.get("/api/channels/echo/health?limit=1")
    assert history.body["has_more"] is True and history.body["data"][0]["channel"] == tested.body["channel"]
    older = acme.get(f"/api/channels/echo/health?limit=1&after={history.body['next_cursor']}")
    assert [row["id"] for row in older.body["data"]] == [tested.body["id"]]
    assert acme.get("/api/channels/none/health").status == acme.post("/api/channels/none/test").status == 404


def test_more_channels_than_a_caller_can_wait_for_are_not_tested_at_once(acme, monkeypatch):
    monkeypatch.setattr("channels_app.api.MAX_TESTS", 1)
    for slug in ("a", "b"):
        acme.post("/api/channels", {"slug": slug, "provider": "echo", "models": ["echo"]})
    assert acme.post("/api/channels/test-all").status == 409


def test_a_secret_is_in_no_answer_and_no_row(cast, acme):
    acme.post("/api/channels", OPENAI)
    for path in ("/api/channels", "/api/channels/main"):
        assert SECRET not in acme.get(path).text
    with tenant_scope(cast.acme.id):
        rows = json.dumps(list(Channel.objects.values()) + list(UpstreamCredential.objects.values()), default=str)
    assert SECRET not in rows


def test_the_openapi_document_says_what_a_channel_is(cast):
    document = Api().get("/api/openapi.json").body
    assert document["openapi"].startswith("3.1")
    schema = document["components"]["schemas"]["Channel"]["properties"]
    assert {"slug", "models", "timeout_s", "credentials"} <= set(schema)
    secret = document["components"]["schemas"]["Credential"]["properties"]
    assert "api_key" not in secret and "last_four" in secret
    every = [operation for path in document["paths"].values() for operation in path.values()]
    assert all("default" in operation["responses"] for operation in every)


def test_the_documentation_page_asks_no_other_host(cast):
    page = Api().get("/api/docs/")
    assert page.status == 200 and "https://" not in page.text and "http://" not in page.text
