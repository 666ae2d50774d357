"""Model names: what they resolve to, in which order, and what is said when nothing serves them."""

import msgspec
import pytest
from msgspec.structs import replace

from analytics.engine.price_book import Clause, PriceBook, PricedModel, PriceList, Prices
from channels_app.engine.provider import Provider
from channels_app.engine.providers import PROVIDERS
from routing.engine.document import ModelSpec, TenantDocument
from routing.engine.errors import Forbidden, ModelNotFound, NoChannel
from routing.engine.operations import answering
from routing.engine.resolution import resolve
from routing.engine.snapshot import build_snapshot
from tests.routing.engine.cast import channel, principal, snapshot

CHAT = ("openai-chat",)


def slugs(candidates):
    return [candidate.channel.spec.slug for candidate in candidates]


def test_a_public_name_finds_every_channel_that_serves_it():
    found, _ = resolve(snapshot(channel("a"), channel("b"), channel("c", models=["x"])), principal(), CHAT, "m")
    assert slugs(found) == ["a", "b"]


def test_an_alias_stands_for_its_target():
    found, _ = resolve(snapshot(channel("a"), aliases={"fast": "m"}), principal(), CHAT, "fast")
    assert [c.public_model for c in found] == ["m"]


def test_a_public_name_wins_over_an_alias_of_the_same_name():
    found, _ = resolve(snapshot(channel("a", models=["m", "n"]), aliases={"m": "n"}), principal(), CHAT, "m")
    assert [c.public_model for c in found] == ["m"]


@pytest.mark.parametrize("asked", ["b/m", "b,m", "b, m", "B/m", "B,m", "B , m"])
def test_a_channel_and_a_model_in_one_name_pin_the_channel(asked):
    found, fallbacks = resolve(snapshot(channel("a"), channel("b"), fallbacks={"m": ("m",)}), principal(), CHAT, asked)
    assert slugs(found) == ["b"] and fallbacks == []


def test_a_slash_that_names_no_channel_belongs_to_the_model():
    found, _ = resolve(snapshot(channel("a", models=["meta/llama"])), principal(), CHAT, "meta/llama")
    assert slugs(found) == ["a"]


WITH_A_GLOB = (channel("any", models=["*"]), channel("main", models=["m"]))


@pytest.mark.parametrize("asked", ["main/m", "main,m", "Main,m", "fast", "quick"])
def test_a_channel_that_takes_every_name_takes_neither_aliases_nor_other_channels_away(asked):
    known = snapshot(*WITH_A_GLOB, aliases={"fast": "main/m", "quick": "main,m"})
    found, _ = resolve(known, principal(), CHAT, asked)
    assert [(c.channel.spec.slug, c.upstream_model) for c in found] == [("main", "m")]


@pytest.mark.parametrize("asked", ["m[1m]", "main/m[1m]", "main,m[1m]", "fast[1m]"])
@pytest.mark.parametrize("other", ["x", "*", "m*"])
def test_a_windows_size_behind_a_name_is_no_part_of_it(asked, other):
    known = snapshot(channel("main", models=["m"]), channel("any", models=[other]), aliases={"fast": "main/m"})
    found, _ = resolve(known, principal(models=("main/*", "main,*", "m", "fast")), CHAT, asked)
    assert ("main", "m") in [(c.channel.spec.slug, c.upstream_model) for c in found]
    assert {c.upstream_model for c in found} == {"m"}


def test_an_alias_may_say_what_serves_a_model_with_a_large_window():
    known = snapshot(channel("a", models=["m", "large"]), aliases={"m[1m]": "large"})
    assert [c.public_model for c in resolve(known, principal(), CHAT, "m[1m]")[0]] == ["large"]


def test_a_window_of_a_model_that_is_not_allowed_is_not_either():
    with pytest.raises(Forbidden):
        resolve(snapshot(channel("a")), principal(models=("x",)), CHAT, "m[1m]")


@pytest.mark.parametrize("asked", ["openai/m", "openai,m"])
def test_an_exact_name_wins_over_the_channel_that_it_begins_with(asked):
    known = snapshot(channel("openai"), channel("router", models=[asked]), channel("any", models=["*"]))
    found, _ = resolve(known, principal(), CHAT, asked)
    assert [(c.channel.spec.slug, c.upstream_model) for c in found] == [("router", asked), ("any", asked)]


@pytest.mark.parametrize(
    ("asked", "pinned"), [("any/main/m", ""), ("any,main/m", ""), ("main/m", "any")], ids=["slash", "comma", "pinned"]
)
def test_a_channel_that_is_named_takes_the_whole_name_by_its_glob(asked, pinned):
    found, _ = resolve(snapshot(*WITH_A_GLOB), principal(), CHAT, asked, pinned_channel=pinned)
    assert [(c.channel.spec.slug, c.upstream_model) for c in found] == [("any", "main/m")]


def test_a_name_that_begins_with_a_channel_is_told_how_another_one_takes_it():
    with pytest.raises(ModelNotFound, match="Channel `any` takes the whole name") as caught:
        resolve(snapshot(*WITH_A_GLOB), principal(), CHAT, "main/other")
    assert caught.value.suggestions == ("any/main/other",)


def test_a_glob_serves_names_that_nothing_names_exactly():
    found, _ = resolve(snapshot(channel("a", models=["gpt-*"])), principal(), CHAT, "gpt-9")
    assert [(c.public_model, c.upstream_model) for c in found] == [("gpt-9", "gpt-9")]


def test_the_upstream_name_may_differ():
    found, _ = resolve(snapshot(channel("a", models=[ModelSpec("fast", "gpt-mini")])), principal(), CHAT, "fast")
    assert found[0].upstream_model == "gpt-mini"


def test_a_channel_of_another_format_is_no_candidate():
    with pytest.raises(ModelNotFound, match="no channel of it answers openai-chat"):
        resolve(snapshot(channel("a", format="anthropic")), principal(), CHAT, "m")


def test_a_model_is_asked_in_a_format_that_it_is_served_in():
    operations = ("gemini:generateContent", "vertex-anthropic", "openai-chat")
    cloud = snapshot(channel("a", models=["claude-x", "gemini-x"]), provider=PROVIDERS["vertex"])
    asked = {
        name: resolve(cloud, principal(), operations, name)[0][0].operation(operations)
        for name in ("claude-x", "gemini-x")
    }
    assert asked == {"claude-x": "vertex-anthropic", "gemini-x": "gemini:generateContent"}


def test_channels_switched_off_are_named():
    with pytest.raises(NoChannel, match=r"1 channel serves `m`, all switched off \(a: by an admin\)") as caught:
        resolve(snapshot(channel("a", is_enabled=False)), principal(), CHAT, "m")
    assert caught.value.retry_after_s == 60


def test_a_typo_gets_a_suggestion():
    with pytest.raises(ModelNotFound) as caught:
        resolve(snapshot(channel("a", models=["gpt-5.6-luna"])), principal(), CHAT, "gpt-5.6-lunna")
    assert caught.value.suggestions == ("gpt-5.6-luna",)


@pytest.mark.parametrize(
    ("asked", "close"),
    [
        ("GPT-5.6-LUNA", "gpt-5.6-luna"),
        ("fasst", "fast"),
        ("opneai/gpt-5.6-luna", "openai/gpt-5.6-luna"),
        ("openai/gpt-5.6-lunna", "openai/gpt-5.6-luna"),
        ("openai,gpt-5.6-lunna", "openai,gpt-5.6-luna"),
    ],
)
def test_suggestions_know_cases_aliases_and_channels(asked, close):
    known = snapshot(channel("openai", models=["gpt-5.6-luna"]), aliases={"fast": "gpt-5.6-luna"})
    with pytest.raises(ModelNotFound) as caught:
        resolve(known, principal(), CHAT, asked)
    assert caught.value.suggestions[0] == close and f"Did you mean `{close}`?" in caught.value.message


def test_a_suggestion_is_served_by_a_channel_that_the_key_may_use():
    known = snapshot(channel("a", models=["gpt-5"]), channel("b", models=["gpt-6"]), aliases={"gpt-7": "gone"})
    with pytest.raises(ModelNotFound) as caught:
        resolve(known, principal(channels=("b",)), CHAT, "gpt-8")
    assert caught.value.suggestions == ("gpt-6",)


def test_a_model_that_other_channels_serve_is_told_of():
    with pytest.raises(ModelNotFound, match=r"Channel `b` does not serve `m`\. Other channels do") as caught:
        resolve(snapshot(channel("a"), channel("b", models=["n"])), principal(), CHAT, "b/m")
    assert caught.value.suggestions == ("m",)


def test_an_alias_for_what_nobody_serves_says_what_it_stands_for():
    with pytest.raises(ModelNotFound, match="`fast` stands for `gone`, which no channel of tenant `acme` serves"):
        resolve(snapshot(channel("a"), aliases={"fast": "gone"}), principal(), CHAT, "fast")


def test_thousands_of_models_and_endless_names_are_not_compared_for_long():
    many = snapshot(channel("a", models=[f"model-{number}" for number in range(5000)]))
    with pytest.raises(ModelNotFound) as caught:
        resolve(many, principal(), CHAT, "m" * 100_000)
    assert caught.value.suggestions == () and len(caught.value.message) < 300


def test_a_suggestion_never_names_a_model_that_the_key_may_not_use():
    with pytest.raises(ModelNotFound) as caught:
        resolve(
            snapshot(channel("a", models=["secret-one"])),
            principal(models=("public*", "secret-onf")),
            CHAT,
            "secret-onf",
        )
    assert caught.value.suggestions == ()


def test_the_allow_list_holds_for_the_asked_name():
    with pytest.raises(Forbidden, match="may not use `m`"):
        resolve(snapshot(channel("a")), principal(models=("gpt-*",)), CHAT, "m")


def test_the_allow_list_holds_for_what_an_alias_stands_for():
    with pytest.raises(Forbidden, match="which `fast` stands for"):
        resolve(snapshot(channel("a"), aliases={"fast": "m"}), principal(models=("fast",)), CHAT, "fast")


def test_the_allow_list_holds_for_fallbacks():
    _, fallbacks = resolve(
        snapshot(channel("a", models=["m", "n"]), fallbacks={"m": ("n",)}), principal(models=("m",)), CHAT, "m"
    )
    assert fallbacks == [[]]


def test_a_pinned_channel_obeys_the_keys_channels():
    with pytest.raises(Forbidden) as caught:
        resolve(snapshot(channel("a"), channel("b")), principal(channels=("a",)), CHAT, "m", pinned_channel="b")
    assert caught.value.code == "channel_not_allowed"


def test_channels_outside_the_keys_list_are_no_candidates():
    found, _ = resolve(snapshot(channel("a"), channel("b")), principal(channels=("b",)), CHAT, "m")
    assert slugs(found) == ["b"]


def test_fallback_models_come_after_the_asked_one():
    found, fallbacks = resolve(
        snapshot(channel("a"), channel("b", models=["n"]), fallbacks={"m": ("n",)}), principal(), CHAT, "m"
    )
    assert slugs(found) == ["a"] and [slugs(group) for group in fallbacks] == [["b"]]


def test_a_fallback_that_is_tried_already_is_not_tried_again():
    serving = channel("a", models=["m", "n", ModelSpec("other", "m")])
    _, fallbacks = resolve(snapshot(serving, fallbacks={"m": ("m", "other", "n", "n")}), principal(), CHAT, "m")
    assert [[c.upstream_model for c in group] for group in fallbacks] == [[], [], ["n"], []]


class Embeds(Provider):
    """Embeds in a format of its own."""

    name = "embeds"
    label = "Embeds"
    endpoints = {"cohere-embed": "/embed"}


class Speaks(Provider):
    """Speaks the clients' format."""

    name = "speaks"
    label = "Speaks"
    endpoints = {"openai-embeddings": "/embeddings"}


def embedding(*channels):
    """Resolve `m` for embeddings among channels whose slug begins with their provider's name."""
    specs = tuple(replace(spec, provider=spec.slug.partition("-")[0]) for spec in channels)
    document = TenantDocument(version=1, tenant_id="ten_1", slug="acme", channels=specs)
    providers = {"embeds": Embeds(), "speaks": Speaks()}
    built = build_snapshot(document, provider=providers.__getitem__, unseal=str)
    return slugs(resolve(built, principal(), answering("openai-embeddings", False), "m")[0])


def test_a_channel_that_embeds_in_another_format_is_a_candidate():
    assert embedding(channel("embeds-1", models=["*"])) == ["embeds-1"]


def test_a_glob_yields_to_a_channel_that_speaks_the_clients_format():
    assert embedding(channel("embeds-1", models=["*"]), channel("speaks-1", models=["*"])) == ["speaks-1"]


def test_a_channel_that_names_the_model_is_asked_in_its_format_beside_one_that_speaks_the_clients():
    assert embedding(channel("embeds-1"), channel("speaks-1")) == ["embeds-1", "speaks-1"]


def test_a_channel_keeps_embedding_in_its_own_format_whatever_it_converses_in():
    assert embedding(channel("embeds-1", format="anthropic")) == ["embeds-1"]


def test_a_model_that_exists_is_not_told_as_a_typo():
    served = snapshot(channel("a", models=["gpt-6-mini"]))
    entry = PricedModel("gpt-6", Clause("starts", "gpt-6"), ())
    served.prices = Prices(PriceBook("book-1", msgspec.json.encode({"lists": {"vendor": PriceList((entry,))}})))
    with pytest.raises(ModelNotFound) as caught:
        resolve(served, principal(), CHAT, "gpt-6")
    assert caught.value.message == (
        "`gpt-6` exists, but no channel of tenant `acme` serves it. Ask an admin of your tenant for it, or take "
        "another. List: GET /v1/models."
    )
    assert caught.value.suggestions == ("gpt-6-mini",)
    for asked in ("gpt-6-mni", 'gpt-6","x', "gpt-6\x00", "\ud800"):
        with pytest.raises(ModelNotFound, match="is not served here"):
            resolve(served, principal(), CHAT, asked)
