"""What people write for a channel: accepted in every form they have it in, and refused with what to write instead."""

import json

import pytest
from django.core.exceptions import ValidationError

from channels_app import channel_checks as checks
from channels_app.engine.providers import PROVIDERS

ANY = PROVIDERS["openai"]


@pytest.mark.parametrize(
    ("provider", "written", "stored"),
    [
        ("openai", "https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("openai", "https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1"),
        ("openai", "https://API.openai.com/v1/responses/", "https://api.openai.com/v1"),
        ("openai-compatible", "http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("openai-compatible", "https://host/api/v1/chat/completions", "https://host/api/v1"),
        ("anthropic", "https://api.anthropic.com/v1/messages", "https://api.anthropic.com"),
        ("anthropic", "https://api.anthropic.com/v1/messages/count_tokens", "https://api.anthropic.com"),
        ("anthropic", "https://api.anthropic.com/v1", "https://api.anthropic.com"),
        ("anthropic-compatible", "https://api.deepseek.com/anthropic", "https://api.deepseek.com/anthropic"),
        ("gemini", "https://host.example/v1beta/models/", "https://host.example"),
        ("gemini", "https://host.example/v1beta/models/gemini-2.5-pro:generateContent", "https://host.example"),
        ("gemini", "https://host.example/v1beta", "https://host.example"),
        ("openai", "", ""),
    ],
)
def test_a_base_url_is_stored_without_the_endpoint(provider, written, stored):
    assert checks.clean_base_url(written, PROVIDERS[provider]) == stored
    assert checks.clean_base_url(stored, PROVIDERS[provider]) == stored, "storing it again changes nothing"


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("ftp://host/v1", "invalid"),
        ("host/v1", "invalid"),
        ("file:///etc/passwd", "invalid"),
        ("https://", "invalid"),
        ("https://[::1/v1", "invalid"),
        ("https://host:port/v1", "invalid"),
        ("https://host\\@evil.example/v1", "invalid"),
        ("https://host/v1\r\nx: y", "invalid"),
        ("https://user:secret@host/v1", "userinfo"),
        ("https://@host/v1", "userinfo"),
        ("https://host/v1?key=secret", "query"),
        ("https://host/v1#frag", "query"),
    ],
)
def test_a_url_that_is_no_base_url_is_refused(written, code):
    with pytest.raises(ValidationError) as caught:
        checks.clean_base_url(written, ANY)
    assert caught.value.code == code


def test_a_provider_without_its_own_url_needs_one():
    with pytest.raises(ValidationError, match="needs a base URL"):
        checks.clean_base_url("", PROVIDERS["openai-compatible"])


def test_an_unknown_provider_is_answered_with_the_likely_one():
    with pytest.raises(ValidationError, match="Did you mean 'anthropic'"):
        checks.provider_of("antropic")


def test_a_format_that_the_provider_does_not_speak_is_refused():
    with pytest.raises(ValidationError, match="OpenAI does not speak 'gemini'"):
        checks.clean_format("gemini", ANY)


def test_models_are_names_or_names_with_an_upstream():
    given = ["a", {"name": "b", "upstream": "b-2026"}, {"name": "c"}, {"name": "d", "upstream": "d"}]
    assert checks.clean_models(given, ANY) == ["a", {"name": "b", "upstream": "b-2026"}, "c", "d"]


@pytest.mark.parametrize(
    "models", [[], "gpt", [""], [1], [{"name": ""}], [{"upstream": "x"}], ["a", "a"], [{"name": "a", "price": 1}], None]
)
def test_other_models_are_refused(models):
    with pytest.raises(ValidationError):
        checks.clean_models(models, ANY)


def test_transformers_in_the_nested_form_become_a_list():
    nested = {"use": ["tooluse", ["maxtoken", {"max_tokens": 1}]], "gpt-4o": {"use": ["reasoning"]}}
    flat = ["tooluse", {"maxtoken": {"max_tokens": 1}}, {"reasoning": {"models": ["gpt-4o"]}}]
    assert checks.clean_transformers(nested, ANY) == flat
    assert checks.clean_transformers(flat, ANY) == flat


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("maxtoken", "are a list"),
        ([5], "neither"),
        ([{"maxtoken": None}], "neither"),
        ([{"maxtoken": {}, "tooluse": {}}], "neither"),
        ([["maxtoken", {}, {}]], "neither"),
        ({"use": "maxtoken"}, "in this form"),
        (["maxtokens"], "There is no transformer 'maxtokens'; there are: anthropic,"),
        ([{"maxtoken": {"max": 5}}], "maxtoken: Object contains unknown field `max`"),
        ([{"sampling": {"top_p": "high"}}], "sampling: Expected"),
        ([{"maxtoken": {"models": "gpt-*"}}], "`models` is a list"),
        ([{"maxtoken": {"models": [5]}}], "`models` is a list"),
        ({"gpt-4o": {"use": ["nonsense"]}}, "There is no transformer 'nonsense'"),
    ],
)
def test_transformers_that_mean_nothing_are_refused_in_words(given, said):
    with pytest.raises(ValidationError) as caught:
        checks.clean_transformers(given, ANY)
    assert said in caught.value.messages[0] and caught.value.messages[0].endswith(".")


def test_prices_are_kept_as_exact_decimal_strings():
    given = {"m": {"input_usd_per_mtok": "1.250", "output_usd_per_mtok": 10}}
    assert checks.clean_prices(given, ANY) == {"m": {"input_usd_per_mtok": "1.250", "output_usd_per_mtok": "10"}}


@pytest.mark.parametrize("amount", [1.25, "-1", "NaN", "1,5", "", None, True, "1.0000000001", "1e30"])
@pytest.mark.parametrize("name", ["input_usd_per_mtok", "web_search_usd", "multiplier"])
def test_a_price_that_is_no_exact_amount_is_refused(name, amount):
    usual = {"input_usd_per_mtok": "1", "output_usd_per_mtok": "2"}
    with pytest.raises(ValidationError, match=name):
        checks.clean_prices({"m": usual | {name: amount}}, ANY)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"m": {}}, "The price of 'm' looks like"),
        ({"m": "1.25"}, "The price of 'm' looks like"),
        ({"m": []}, "The price of 'm' is an empty list"),
        ({"": {"multiplier": "2"}}, "A price stands under the name of a model"),
        (
            {"m": {"input_usd_per_token": "1"}},
            "'input_usd_per_token' is not known; known are: input_usd_per_mtok",
        ),
        ({"m": {"input_usd_per_mtok": "1"}}, "needs both input_usd_per_mtok and output_usd_per_mtok"),
        ({"m": {"request_usd": "1"}}, "needs both input_usd_per_mtok and output_usd_per_mtok"),
        ({"m": {"from": "2026-01-01"}}, "has a date and no price"),
        ({"m": {"multiplier": "150%"}}, "'150%' is no factor"),
        ({"m": {"multiplier": "1001"}}, "is not between 0 and 1000"),
        ({"m": {"multiplier": "1", "from": "soon"}}, "'soon' is no date"),
        ({"m": {"multiplier": "1", "from": "2026-01-01T09:00"}}, "does not name its time zone"),
        ({"m": [{"multiplier": "1"}, {"multiplier": "2"}]}, "begin at the same time"),
        ([], "Prices look like"),
    ],
)
def test_prices_that_mean_nothing_are_refused_in_words(given, said):
    with pytest.raises(ValidationError) as caught:
        checks.clean_prices(given, ANY)
    assert said in caught.value.messages[0] and caught.value.messages[0].endswith(".")


def test_prices_may_be_dated_multiplied_and_meant_for_many_models():
    given = {
        "gpt-*": {"multiplier": "1.5"},
        "m": [
            {"input_usd_per_mtok": "1", "output_usd_per_mtok": "2", "cache_write_1h_usd_per_mtok": "3"},
            {"multiplier": 2, "from": "2026-06-01T00:00:00+08:00"},
        ],
    }
    clean = checks.clean_prices(given, ANY)
    assert clean["gpt-*"] == {"multiplier": "1.5"}
    assert clean["m"][1] == {"multiplier": "2", "from": "2026-06-01T00:00:00+08:00"}


def test_a_price_under_a_public_name_is_sent_to_the_upstreams():
    channel = {**dict.fromkeys(checks.FIELDS, ""), "provider": "openai", "tags": [], "transformers": []}
    channel |= {name: 5.0 for name in checks.FIELDS if name.endswith("_s")}
    channel |= {
        "served_models": [{"name": "fast", "upstream": "gpt-5.6-luna"}],
        "prices": {"fast": {"multiplier": "2"}},
    }
    with pytest.raises(ValidationError, match=r"write 'gpt-5\.6-luna' for 'fast'"):
        checks.clean_channel(channel)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), 1e9, "5"])
def test_a_wait_that_is_none_or_never_ends_is_refused(seconds):
    with pytest.raises(ValidationError):
        checks.clean_timeout(seconds, ANY)


@pytest.mark.parametrize("secret", ["", "  ", "two\nlines", "umlaut-ü", "x" * 9000, '{"a":' * 9000])
def test_a_secret_that_fits_no_header_is_refused_without_showing_it(secret):
    with pytest.raises(ValidationError) as caught:
        checks.clean_secret(secret)
    assert secret.strip() == "" or secret not in str(caught.value)


def test_a_secret_in_json_is_brought_onto_one_line():
    pasted = '{\n  "private_key": "-----BEGIN\\nx\\n-----END",\n  "name": "ü"\n}\n'
    stored = checks.clean_secret(pasted)
    assert json.loads(stored) == json.loads(pasted)
    assert stored.isprintable()
    assert checks.clean_secret(stored) == stored


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/v1", ("https", "host", 443)),
        ("https://host:443/other", ("https", "host", 443)),
        ("http://host/v1", ("http", "host", 80)),
        ("", ("https", "api.openai.com", 443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url, expected):
    assert checks.origin(url, ANY) == expected
