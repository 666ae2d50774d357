"""The schema of a configuration document, typed; from plain data to checked values, with a pointer for each problem."""

from __future__ import annotations

import datetime as dt
import difflib
import ipaddress
import re
import types
import typing
import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from msgspec import UNSET, Meta, Struct, UnsetType

from routing.config_text import ConfigError, Parsed, Problem, pointed
from routing.engine import limiters
from tenants.engine import keys
from tenants.engine.money import nano_usd
from tenants.engine.networks import MAX_NETWORKS, network_of
from tenants.models import Quota, validate_slug

API_VERSION = "routex/v1"

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Wait = Annotated[float, Meta(gt=0, le=86_400)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=60)]
#: Never empty: nothing allowed is said by `enabled: false`.
Globs = Annotated[list[Name], Meta(min_length=1)]

# A field that is UNSET was not in the document: what is stored stays. None where a field takes it means "none".


class LimitEntry(Struct, kw_only=True):
    """How fast; identified by models, kind and window. What follows `model` is the algorithm's own.

    `model` stands in a tenant's list only: the names, or a pattern of them, that the limit counts for.
    """

    kind: Literal["requests", "tokens", "concurrency"]
    limit: Count
    algorithm: Text = "sliding_window"
    window_s: Seconds = 60
    model: Name | UnsetType = UNSET
    on_outage: Literal["local", "closed"] | UnsetType = UNSET
    burst: int | UnsetType = UNSET
    queue: int | UnsetType = UNSET
    warm_up_s: float | UnsetType = UNSET
    cold: float | UnsetType = UNSET
    idle_s: float | UnsetType = UNSET
    floor: float | UnsetType = UNSET
    increase: float | UnsetType = UNSET
    decrease: float | UnsetType = UNSET
    hold_s: float | UnsetType = UNSET
    #: Those of limiters from outside packages.
    options: dict[str, Any] = {}

    def all_options(self) -> dict[str, Any]:
        """Return what the algorithm is told."""
        given = {name: getattr(self, name) for name in LIMIT_OPTIONS}
        return {name: value for name, value in given.items() if value is not UNSET} | self.options


#: The options that have names of their own in a document.
LIMIT_OPTIONS = (
    "on_outage", "burst", "queue", "warm_up_s", "cold", "idle_s", "floor", "increase", "decrease", "hold_s",
)  # fmt: skip


class QuotaEntry(Struct, kw_only=True):
    """How much; exactly one of usd, tokens and requests says of what. Money is a text, so that it stays exact."""

    usd: str | int | UnsetType = UNSET
    tokens: Count | UnsetType = UNSET
    requests: Count | UnsetType = UNSET
    window: Literal["hour", "day", "week", "month", "year", "ever"] = "month"
    #: On a tenant: counted for the keys that have this tag, `name=value`.
    tag: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET

    @property
    def kind(self) -> str:
        """Return what is counted."""
        return next(name for name in ("usd", "tokens", "requests") if getattr(self, name) is not UNSET)

    @property
    def amount(self) -> int:
        """Return tokens, requests or nano-USD."""
        value = getattr(self, self.kind)
        return nano_usd(value) if self.kind == Quota.Kind.USD else int(value)


class KeyEntry(Struct, kw_only=True):
    """A tenant key; without a secret the stored one stays, or one is made."""

    slug: str
    secret: str | UnsetType = UNSET
    models: Globs | UnsetType = UNSET
    channels: Globs | UnsetType = UNSET
    #: Networks and addresses that it may be used from; an empty list means everywhere.
    ips: Annotated[list[str], Meta(max_length=MAX_NETWORKS)] | UnsetType = UNSET
    expires_at: str | UnsetType | None = UNSET
    tags: dict[str, str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    limits: list[LimitEntry] = []
    quotas: list[QuotaEntry] = []


class MemberEntry(Struct, kw_only=True):
    """A person with a local account, by e-mail."""

    email: str
    role: Literal["admin", "operator", "viewer"]


class CredentialEntry(Struct, kw_only=True):
    """One credential of a channel."""

    slug: str = "main"
    api_key: str | UnsetType = UNSET


class ModelEntry(Struct, kw_only=True):
    """A model whose public name differs from the upstream's."""

    name: Name
    upstream: Name


class TimeoutsEntry(Struct, kw_only=True):
    """The longest that each wait may take, in seconds."""

    connect: Wait | UnsetType = UNSET
    first_byte: Wait | UnsetType = UNSET
    idle: Wait | UnsetType = UNSET
    total: Wait | UnsetType = UNSET


class ChannelEntry(Struct, kw_only=True):
    """A channel. Given credentials are all that it has; without them, and without an api_key, the stored ones stay."""

    slug: str
    provider: Text | UnsetType = UNSET
    format: Text | UnsetType | None = UNSET
    base_url: Annotated[str, Meta(max_length=500)] | UnsetType | None = UNSET
    credentials: list[CredentialEntry] | UnsetType = UNSET
    models: list[Name | ModelEntry] | UnsetType = UNSET
    prices: dict[str, Any] | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | UnsetType = UNSET
    weight: Annotated[int, Meta(ge=0, le=2**31 - 1)] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    transformers: list[Any] | dict[str, Any] | UnsetType = UNSET
    timeout_s: TimeoutsEntry | UnsetType = UNSET
    region: Text | UnsetType | None = UNSET
    tags: list[str] | UnsetType = UNSET
    limits: list[LimitEntry] = []
    quotas: list[QuotaEntry] = []


class SessionEntry(Struct, kw_only=True):
    """How long a conversation stays on its channel."""

    enabled: bool | UnsetType = UNSET
    ttl_s: Seconds | UnsetType = UNSET
    sticky: bool | UnsetType = UNSET
    cleanup_interval_s: Seconds | UnsetType = UNSET


class RetryEntry(Struct, kw_only=True):
    """How often one request is tried, and after how long no more."""

    attempts: Annotated[int, Meta(ge=1, le=100)] | UnsetType = UNSET
    total_s: Wait | UnsetType = UNSET


class BreakerEntry(Struct, kw_only=True):
    """When a channel is left alone, and for how long."""

    failures: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET
    open_s: Wait | UnsetType = UNSET


class PolicyEntry(Struct, kw_only=True):
    """How a tenant's requests are tried."""

    strategy: Text | UnsetType = UNSET
    session: SessionEntry | UnsetType = UNSET
    retry: RetryEntry | UnsetType = UNSET
    breaker: BreakerEntry | UnsetType = UNSET
    cooldown: bool | UnsetType = UNSET


class TargetEntry(Struct, kw_only=True, omit_defaults=True):
    """Where a rule goes: one or more of these, all of which must be so."""

    channel: Name | UnsetType = UNSET
    provider: Name | UnsetType = UNSET
    tag: Name | UnsetType = UNSET
    model: Name | UnsetType = UNSET


class RuleEntry(Struct, kw_only=True):
    """A routing rule. `target` is one target or a list of them, tried in that order."""

    slug: str
    type: Text | UnsetType = UNSET
    condition: dict[str, Any] | UnsetType = UNSET
    target: TargetEntry | list[TargetEntry] | UnsetType = UNSET
    targets: list[TargetEntry] | UnsetType = UNSET
    target_channel: Name | UnsetType = UNSET
    target_model: Name | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=-(10**6), le=10**6)] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET


class TenantEntry(Struct, kw_only=True):
    """One tenant with all that belongs to it."""

    slug: str
    name: Name | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    private_upstreams: list[str] | UnsetType = UNSET
    tags: dict[str, str] | UnsetType = UNSET
    members: list[MemberEntry] = []
    keys: list[KeyEntry] = []
    limits: list[LimitEntry] = []
    quotas: list[QuotaEntry] = []
    aliases: dict[Name, Name] = {}
    fallbacks: dict[Name, list[Name]] = {}
    channels: list[ChannelEntry] = []
    policy: PolicyEntry | UnsetType = UNSET
    rules: list[RuleEntry] = []


class Document(Struct, kw_only=True):
    """A whole configuration document."""

    apiVersion: Literal["routex/v1"]  # noqa: N815 the document's own spelling
    tenants: list[TenantEntry] = []


def document_from(parsed: Parsed) -> Document:
    """Return the checked document.

    Raises:
        ConfigError: something in it is unknown, of the wrong type or makes no sense; all that was found is listed.
    """
    problems: list[Problem] = []

    def note(pointer: str, message: str) -> None:
        problems.append(Problem(pointer, message, parsed.line_of(pointer)))

    if not isinstance(parsed.data, dict):
        raise ConfigError(Problem("", f"A configuration document begins with `apiVersion: {API_VERSION}`."))
    data = _spelled(parsed.data, Document, "", note)
    if problems:
        raise ConfigError(*problems)
    try:
        document = msgspec.convert(data, Document)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        pointer = _pointer(path.rstrip("`"))
        choices = _choices(Document, pointer.split("/")[1:])
        hint = f" It takes one of: {', '.join(choices)}." if choices else ""
        raise ConfigError(Problem(pointer, message.replace("`", "") + "." + hint, parsed.line_of(pointer))) from None
    _check(document, note)
    if problems:
        raise ConfigError(*problems)
    return document


def moment(text: str) -> dt.datetime:
    """Return the time that an ISO 8601 text means, in UTC when it does not say; raises ValueError."""
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


# --- spelling: aliases, unknown keys


@lru_cache
def _nested(kind: type[Struct]) -> dict[str, type[Struct] | None]:
    """Return the fields of a struct, with the struct that a field holds (alone, or in a list), if any."""
    return {name: _struct_in(hint) for name, hint in typing.get_type_hints(kind).items()}


def _struct_in(hint: Any) -> type[Struct] | None:
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint
    if typing.get_origin(hint) in {list, typing.Union, types.UnionType}:
        return next(filter(None, map(_struct_in, typing.get_args(hint))), None)
    return None


def _spelled(value: Any, kind: type[Struct], pointer: str, note: Callable[[str, str], None]) -> Any:
    """Return the value with camelCase names and older forms turned into ours, and note every unknown key."""
    if isinstance(value, list):
        return [_spelled(item, kind, pointed(pointer, place), note) for place, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    fields, found = _nested(kind), {}
    for key, item in value.items():
        if key.startswith("x-"):
            continue
        inner = pointed(pointer, key)
        name = key if key in fields else _snake(key)
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known here: {', '.join(fields)}."
            note(inner, f"The key {key!r} is not known.{hint} Notes of your own go under keys that begin with x-.")
        elif name in found:
            note(inner, f"{key!r} is another spelling of {name!r}, which stands here already.")
        else:
            nested = fields[name]
            found[name] = _spelled(item, nested, inner, note) if nested else item
    return found


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


def _choices(kind: type[Struct], parts: Sequence[str]) -> tuple[str, ...]:
    """Return the words that the field at the end of a pointer takes, when it takes only some."""
    names = [part for part in parts if not part.isdigit()]
    for name in names[:-1]:
        nested = _nested(kind).get(name)
        if nested is None:
            return ()
        kind = nested
    hint = typing.get_type_hints(kind).get(names[-1]) if names else None
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def _pointer(path: str) -> str:
    """Return the pointer of a path as msgspec writes it: `$.tenants[0].slug`. Keys of maps are `[...]` and end it."""
    pointer = ""
    for name, place, rest in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]|(\[\.\.\.\])", path):
        if rest:
            break
        pointer = pointed(pointer, name or place)
    return pointer


# --- sense: what the types cannot say

Note = Callable[[str, str], None]


def _check(document: Document, note: Note) -> None:
    _once(document.tenants, "/tenants", "slug", note)
    for place, tenant in enumerate(document.tenants):
        _check_tenant(tenant, f"/tenants/{place}", note)


def _check_tenant(tenant: TenantEntry, at: str, note: Note) -> None:
    if tenant.timezone is not UNSET and tenant.timezone not in zoneinfo.available_timezones():
        note(f"{at}/timezone", f"{tenant.timezone!r} is not a time zone such as Europe/Berlin.")
    for place, network in enumerate(tenant.private_upstreams or ()):
        with _noted(f"{at}/private_upstreams/{place}", note):
            ipaddress.ip_network(network)
    _once(tenant.rules, f"{at}/rules", "slug", note)
    _once(tenant.keys, f"{at}/keys", "slug", note)
    _once(tenant.channels, f"{at}/channels", "slug", note)
    _once(tenant.members, f"{at}/members", "email", note)
    for place, member in enumerate(tenant.members):
        with _noted(f"{at}/members/{place}/email", note):
            validate_email(member.email)
    for place, key in enumerate(tenant.keys):
        _check_key(key, f"{at}/keys/{place}", note)
    for place, channel in enumerate(tenant.channels):
        _once(channel.credentials or (), f"{at}/channels/{place}/credentials", "slug", note)
    for owner, where in _owners(tenant, at):
        _check_limits(owner, where, note)


def _check_key(key: KeyEntry, at: str, note: Note) -> None:
    if key.secret is not UNSET and not keys.is_well_formed(key.secret):
        note(f"{at}/secret", "This is not a complete key: rtx_ and 38 characters with a right checksum.")
    for place, text in enumerate(key.ips or ()):
        with _noted(f"{at}/ips/{place}", note):
            network_of(text)
    if isinstance(key.expires_at, str):
        with _noted(f"{at}/expires_at", note):
            moment(key.expires_at)


def _owners(tenant: TenantEntry, at: str) -> Iterator[tuple[TenantEntry | KeyEntry | ChannelEntry, str]]:
    yield tenant, at
    for place, key in enumerate(tenant.keys):
        yield key, f"{at}/keys/{place}"
    for place, channel in enumerate(tenant.channels):
        yield channel, f"{at}/channels/{place}"


def _check_limits(owner: TenantEntry | KeyEntry | ChannelEntry, at: str, note: Note) -> None:
    seen: set[tuple[Any, ...]] = set()

    def once(identity: tuple[Any, ...], where: str) -> None:
        if identity in seen:
            note(where, "The same kind and window stand here twice; keep one of them.")
        seen.add(identity)

    for place, limit in enumerate(owner.limits):
        where = f"{at}/limits/{place}"
        once(("limit", limit.model, limit.kind, limit.window_s), where)
        if limit.model is not UNSET and not isinstance(owner, TenantEntry):
            note(f"{where}/model", "Limits of models stand in the tenant's own list.")
        with _noted(where, note):
            limiters.check(
                kind=limit.kind, algorithm=limit.algorithm, limit=limit.limit, window_s=limit.window_s,
                options=limit.all_options(),
            )  # fmt: skip
    for place, quota in enumerate(owner.quotas):
        where = f"{at}/quotas/{place}"
        if sum(value is not UNSET for value in (quota.usd, quota.tokens, quota.requests)) != 1:
            note(where, "A quota has exactly one of usd, tokens and requests.")
            continue
        tag = "" if quota.tag is UNSET else quota.tag
        if tag and not isinstance(owner, TenantEntry):
            note(f"{where}/tag", "Only a tenant's quota counts for a tag of its keys; write it under the tenant.")
        if quota.tag is not UNSET and (not tag.partition("=")[0].strip() or "=" not in tag):
            note(f"{where}/tag", f"{tag!r} is no tag; write name=value, such as team=core.")
        once(("quota", quota.kind, quota.window, tag), where)
        with _noted(where, note):
            _ = quota.amount


def _once(entries: Sequence[Struct], at: str, name: str, note: Note) -> None:
    """Note slugs that have not the form of one, and names that stand twice."""
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        value = str(getattr(entry, name)).lower()
        if value in seen:
            note(f"{at}/{place}/{name}", f"{value!r} stands here twice; keep one of them.")
        seen.add(value)
        if name == "slug":
            with _noted(f"{at}/{place}/slug", note):
                validate_slug(str(getattr(entry, name)))


class _noted:  # noqa: N801 reads as a verb
    """Note what a check raises instead of raising it."""

    def __init__(self, pointer: str, note: Note) -> None:
        self.pointer, self.note = pointer, note

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, ValidationError):
            self.note(self.pointer, " ".join(error.messages))
        elif isinstance(error, ValueError):
            self.note(self.pointer, f"{error}")
        return isinstance(error, ValidationError | ValueError)
