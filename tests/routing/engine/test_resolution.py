"""Model names: what they resolve to, in which order, and what is said when nothing serves them."""

import pytest

from routing.engine.errors import Forbidden, ModelNotFound, NoChannel
from routing.engine.resolution import resolve
from routing.engine.snapshot import ModelSpec
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


@pytest.mark.parametrize("asked", ["b/m", "b,m", "b, m"])
def test_a_channel_and_a_model_in_one_name_pin_the_channel(asked):
    found, fallbacks = resolve(snapshot(channel("a"), channel("b"), fallbacks={"m": ("m",)}), principal(), CHAT, asked)
    assert slugs(found) == ["b"] and fallbacks == []


def test_a_slash_that_names_no_channel_belongs_to_the_model():
    found, _ = resolve(snapshot(channel("a", models=["meta/llama"])), principal(), CHAT, "meta/llama")
    assert slugs(found) == ["a"]


def test_a_glob_serves_names_that_nothing_names_exactly():
    found, _ = resolve(snapshot(channel("a", models=["gpt-*"])), principal(), CHAT, "gpt-9")
    assert [(c.public_model, c.upstream_model) for c in found] == [("gpt-9", "gpt-9")]


def test_the_upstream_name_may_differ():
    found, _ = resolve(snapshot(channel("a", models=[ModelSpec("fast", "gpt-mini")])), principal(), CHAT, "fast")
    assert found[0].upstream_model == "gpt-mini"


def test_a_channel_of_another_format_is_no_candidate():
    with pytest.raises(ModelNotFound, match="no channel of it answers openai-chat"):
        resolve(snapshot(channel("a", format="anthropic")), principal(), CHAT, "m")


def test_channels_switched_off_are_named():
    with pytest.raises(NoChannel, match=r"all switched off: a\.") as caught:
        resolve(snapshot(channel("a", is_enabled=False)), principal(), CHAT, "m")
    assert caught.value.retry_after_s == 60


def test_a_typo_gets_a_suggestion():
    with pytest.raises(ModelNotFound) as caught:
        resolve(snapshot(channel("a", models=["gpt-5.6-luna"])), principal(), CHAT, "gpt-5.6-lunna")
    assert caught.value.suggestions == ("gpt-5.6-luna",)


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
