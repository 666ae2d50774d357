"""What a channel's fields may hold: normalises each and says what is wrong in words that tell what to write instead."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.core.exceptions import ValidationError

from channels_app.engine.provider import Provider
from channels_app.engine.providers import PROVIDERS
from channels_app.engine.rates import read_overrides

MAX_MODELS = 2000
MAX_NAME_CHARS = 200
MAX_TAGS = 50
MAX_TIMEOUT_S = 86_400.0
_DEFAULT_PORTS = {"http": 80, "https": 443}
_VERSIONED_ROOT = re.compile(r"(?:/[\w.-]+?)*?/v\d\w*")


def clean_channel(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a channel's fields (those of FIELDS) normalised.

    Raises:
        ValidationError: with everything that is wrong, by field.
    """
    try:
        provider = provider_of(fields["provider"])
    except ValidationError as error:
        raise ValidationError({"provider": error.error_list}) from None
    clean: dict[str, Any] = {"provider": fields["provider"]}
    wrong: dict[str, list[ValidationError]] = {}
    for name, check in _CHECKS.items():
        try:
            clean[name] = check(fields[name], provider)
        except ValidationError as error:
            wrong[name] = error.error_list
    if wrong:
        raise ValidationError(wrong)
    _check_price_names(clean)
    return clean


def provider_of(name: str) -> Provider:
    """Return the provider of that name; raises ValidationError with the names there are."""
    if name not in PROVIDERS:
        close = get_close_matches(name, list(PROVIDERS), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValidationError(
            f"{name!r} is no provider here.{hint} Known are: {', '.join(PROVIDERS)}.", code="unknown-provider"
        )
    return PROVIDERS[name]


def clean_format(name: Any, provider: Provider) -> str:
    """Return the format's name, which the provider must speak; empty means the client's own."""
    if name and name not in provider.formats():
        raise ValidationError(
            f"{provider.label} does not speak {name!r}, only: {', '.join(provider.formats())}.", code="unknown-format"
        )
    return str(name or "")


def clean_base_url(url: Any, provider: Provider) -> str:
    """Return a base URL without trailing slash and without the endpoint that people paste along with it."""
    url = str(url or "").strip()
    if not url:
        if not provider.base_url:
            raise ValidationError(
                f"{provider.label} needs a base URL, such as {provider.base_url_example}.", code="required"
            )
        return ""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is not a number
    except ValueError:
        raise ValidationError(f"{url!r} is not a URL.", code="invalid") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not _is_plain(url) or " " in url:
        raise ValidationError("Write the base URL as https://host/path, or http:// inside.", code="invalid")
    if "@" in parts.netloc:
        raise ValidationError(
            "A base URL holds no user name or password. Store the secret as a credential.", code="userinfo"
        )
    query = _without_endpoint_query(parts.query, provider)
    if query is None or parts.fragment or url.endswith(("?", "#")):
        raise ValidationError("A base URL ends with its path: leave out everything from `?` or `#` on.", code="query")
    fitted = f"{parts.scheme}://{parts.netloc.lower()}{_without_endpoint(parts.path, provider)}"
    try:
        return provider.fit_base_url(f"{fitted}?{query}" if query else fitted)
    except ValueError as error:
        raise ValidationError(str(error), code="invalid") from None


def _without_endpoint_query(query: str, provider: Provider) -> str | None:
    """Return what of a query belongs to the base URL, None when there is something that belongs nowhere."""
    kept = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in provider.base_url_query:
            kept.append((name, value))
        elif (name, value) != ("alt", "sse"):  # comes along with an endpoint
            return None
    return urlencode(kept)


def _without_endpoint(path: str, provider: Provider) -> str:
    endings = {re.escape(tail) for tail in provider.base_url_tails}
    for endpoint in provider.endpoints.values():
        fixed, has_model, rest = endpoint.partition("?")[0].partition("{model}")
        endings.add(re.escape(fixed.rstrip("/")))
        if has_model:
            endings.add(re.escape(fixed) + "[^/]+" + re.escape(rest))
        # Many paths begin with a root and a version, which people write into the base URL too, whole or in part.
        if root := _VERSIONED_ROOT.match(endpoint):
            segments = root[0].split("/")
            endings |= {re.escape("/".join(segments[:end])) for end in range(2, len(segments) + 1)}
    # `search` finds the ending that begins first, hence the longest.
    return (
        re.sub(rf"(?:{'|'.join(sorted(endings))})/*$", "", path, count=1).rstrip("/") if endings else path.rstrip("/")
    )


def origin(base_url: str, provider: Provider) -> tuple[str, str, int | None]:
    """Return (scheme, host, port) of where a channel sends its credential."""
    parts = urlsplit(base_url or provider.base_url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)


def clean_models(entries: Any, _: Provider) -> list[str | dict[str, str]]:
    """Return names, and {"name", "upstream"} where the upstream's name differs."""
    if not isinstance(entries, list) or not entries:
        raise ValidationError('Name at least one model; "*" takes every name.', code="required")
    if len(entries) > MAX_MODELS:
        raise ValidationError(f"At most {MAX_MODELS} models; a name may be a glob such as gpt-*.", code="max-length")
    models: dict[str, str] = {}
    for entry in entries:
        name, upstream = _model(entry)
        if name in models:
            raise ValidationError(f"Model {name!r} stands twice in the list.", code="duplicate")
        models[name] = upstream
    return [name if name == upstream else {"name": name, "upstream": upstream} for name, upstream in models.items()]


def _model(entry: Any) -> tuple[str, str]:
    name = upstream = entry
    if isinstance(entry, dict) and set(entry) <= {"name", "upstream"}:
        name, upstream = entry.get("name"), entry.get("upstream") or entry.get("name")
    if not (_is_name(name) and _is_name(upstream)):
        _refuse(f'{entry!r} is neither a model name nor {{"name": …, "upstream": …}}.')
    return name.strip(), upstream.strip()


def clean_tags(tags: Any, _: Provider) -> list[str]:
    """Return the tags without repeats."""
    if not isinstance(tags, list) or not all(_is_name(tag) for tag in tags):
        raise ValidationError("Tags are a list of words.", code="invalid")
    if len(tags) > MAX_TAGS:
        raise ValidationError(f"At most {MAX_TAGS} tags.", code="max-length")
    return list(dict.fromkeys(tag.strip() for tag in tags))


def clean_prices(prices: Any, _: Provider) -> dict[str, Any]:
    """Return {model or glob: entry or list of dated entries} with every amount as a decimal string."""
    if not isinstance(prices, dict):
        raise ValidationError(
            'Prices look like {"model": {"input_usd_per_mtok": "1.25", "output_usd_per_mtok": "10"}}.', code="invalid"
        )
    if not all(_is_name(model) for model in prices):
        raise ValidationError("A price stands under the name of a model.", code="invalid")
    try:
        read_overrides(prices)
    except ValueError as error:
        _refuse(f"{str(error)[:1].upper()}{str(error)[1:]}.")
    return {
        model: [_written(entry) for entry in given] if isinstance(given, list) else _written(given)
        for model, given in prices.items()
    }


def _written(entry: Mapping[str, Any]) -> dict[str, str]:
    return {name: value if name == "from" else format(Decimal(value), "f") for name, value in entry.items()}


def _check_price_names(clean: Mapping[str, Any]) -> None:
    """Refuse a price under a public name, where it would count for nothing.

    Raises:
        ValidationError: prices go by what the upstream calls the model.
    """
    renamed = {entry["name"]: entry["upstream"] for entry in clean["served_models"] if isinstance(entry, dict)}
    upstreams = {entry if isinstance(entry, str) else entry["upstream"] for entry in clean["served_models"]}
    for model in clean["prices"]:
        if model in renamed and model not in upstreams:
            message = f"Prices go by the upstream's name: write {renamed[model]!r} for {model!r}."
            raise ValidationError({"prices": [ValidationError(message, code="invalid")]})


def clean_transformers(given: Any, _: Provider | None = None) -> list[str | dict[str, Any]]:
    """Return names, and {name: options} where there are options.

    Also takes the form `{"use": [name, [name, options]], "<model>": {"use": […]}}`; what is meant for one model
    becomes the option `models`.

    Raises:
        ValidationError: it is of another shape, or one of TRANSFORMER_CHECKS refuses it.
    """
    if isinstance(given, dict):
        given = [
            *_transformers_in_use(given, {}),
            *(
                entry
                for model, inner in given.items()
                if model != "use"
                for entry in _transformers_in_use(inner, {"models": [model]})
            ),
        ]
    if not isinstance(given, list):
        _refuse("Transformers are a list of names or of {name: options}.")
    entries = [_transformer(entry, {}) for entry in given]
    for check in TRANSFORMER_CHECKS:
        try:
            check(entries)
        except ValueError as error:
            _refuse(f"{str(error)[:1].upper()}{str(error)[1:]}.")
    return entries


def _transformers_in_use(value: Any, options: Mapping[str, Any]) -> Iterable[str | dict[str, Any]]:
    if not isinstance(value, dict) or not isinstance(value.get("use", []), list):
        _refuse('Transformers in this form look like {"use": ["maxtoken", ["maxtoken", {"max_tokens": 8192}]]}.')
    return [_transformer(entry, options) for entry in value.get("use", [])]


def _transformer(entry: Any, more: Mapping[str, Any]) -> str | dict[str, Any]:
    name: Any
    options: Any
    if isinstance(entry, list) and len(entry) == 2:
        name, options = entry
    elif isinstance(entry, dict) and len(entry) == 1:
        ((name, options),) = entry.items()
    else:
        name, options = entry, {}
    if not _is_name(name) or not isinstance(options, dict):
        _refuse(f"{entry!r} is neither the name of a transformer nor {{name: options}}.")
    options = {**options, **more}
    return {name: options} if options else name


def clean_timeout(seconds: Any, _: Provider) -> float:
    """Return a wait in seconds that is above zero and ends some day."""
    if not isinstance(seconds, int | float) or not math.isfinite(seconds) or not 0 < seconds <= MAX_TIMEOUT_S:
        raise ValidationError(f"A wait is more than 0 and at most {MAX_TIMEOUT_S:.0f} seconds.", code="out-of-range")
    return seconds


def clean_secret(secret: str, provider: Provider | None = None) -> str:
    """Return a credential without the white space around it; it must fit into a header, and the provider.

    A JSON object, as some providers' credentials are, is brought onto one line.
    """
    secret = secret.strip()
    if secret.startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            secret = json.dumps(json.loads(secret), separators=(",", ":"))
    if not secret or len(secret) > 8192 or not secret.isascii() or not secret.isprintable():
        raise ValidationError("A credential is one line of printable ASCII characters.", code="invalid")
    if provider is not None:
        try:
            provider.check_secret(secret)
        except ValueError as error:
            raise ValidationError(str(error), code="invalid") from None
    return secret


_CHECKS: Mapping[str, Callable[[Any, Provider], Any]] = {
    "format": clean_format,
    "base_url": clean_base_url,
    "served_models": clean_models,
    "prices": clean_prices,
    "transformers": clean_transformers,
    "tags": clean_tags,
    "connect_s": clean_timeout,
    "first_byte_s": clean_timeout,
    "idle_s": clean_timeout,
    "total_s": clean_timeout,
}
#: Each is given a channel's transformers and raises ValueError with what is wrong: which there are and what options
#: they take is known to `routing`, which sits above and adds its own when it is ready.
TRANSFORMER_CHECKS: list[Callable[[list[str | dict[str, Any]]], object]] = []
#: The fields of a channel that are checked here; the others have nothing to normalise.
FIELDS = ("provider", *_CHECKS)


def _is_plain(text: str) -> bool:
    return text.isprintable() and "\\" not in text


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= MAX_NAME_CHARS and value.isprintable()


def _refuse(message: str) -> NoReturn:
    raise ValidationError(message, code="invalid")
