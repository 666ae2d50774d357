"""Apply one tenant's part of a configuration document to its rows, and report what became of each object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from msgspec import UNSET, to_builtins

from channels_app.channel_checks import clean_secret
from channels_app.engine.vault import CannotUnseal
from channels_app.models import Channel
from channels_app.secrets import unseal
from channels_app.services import Credentials, channel_create, channel_update, is_credential_needed_again
from routing.config_document import (
    ChannelEntry,
    CredentialEntry,
    KeyEntry,
    LimitEntry,
    ModelEntry,
    PolicyEntry,
    QuotaEntry,
    RuleEntry,
    TenantEntry,
    moment,
)
from routing.config_text import ConfigError, Problem, pointed
from routing.models import RoutingRule
from routing.rule_checks import normalise_rule
from routing.selectors import aliases_by_name, fallbacks_by_model, policy_get
from routing.services import alias_set, fallback_set, policy_set, rule_create, rule_update
from tenants.engine import keys
from tenants.engine.networks import written_networks
from tenants.models import GatewayKey, KeyState, Limit, LimitScope, Membership, Quota, QuotaScope, Scope, Tenant, User
from tenants.services import (
    audit_record,
    key_issue,
    key_update,
    limit_set,
    membership_set,
    quota_set,
    tenant_update,
    user_create,
)

Action = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one object; `fields` names what differed, never the values."""

    action: Action
    kind: str
    name: str
    fields: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """What an import did, or would do."""

    changes: list[Change] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    #: Secrets of keys that the import made, by tenant/key; they exist nowhere else.
    made_keys: dict[str, str] = field(default_factory=dict, repr=False)

    def count(self, action: Action) -> int:
        """Return how many objects were created, changed or left as they were."""
        return sum(change.action == action for change in self.changes)

    @property
    def has_changes(self) -> bool:
        """Whether anything is different from before."""
        return any(change.action != "unchanged" for change in self.changes)


@contextmanager
def located(pointer: str) -> Iterator[None]:
    """Turn what a service refuses into a problem of the document's part at that pointer."""
    try:
        yield
    except ValidationError as error:
        problems = [
            Problem(pointed(pointer, name) if name != "__all__" else pointer, " ".join(messages))
            for name, messages in (
                error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
            ).items()
        ]
        raise ConfigError(*problems) from error
    except IntegrityError as error:
        # The database's own words may quote another tenant's row.
        raise ConfigError(Problem(pointer, "This is taken already, perhaps by another tenant.")) from error
    except ValueError as error:
        raise ConfigError(Problem(pointer, str(error))) from error


class TenantImport:
    """One tenant's part of one import; runs in the tenant's scope.

    Nothing is ever removed but the credentials of a channel that names its own: what the document does not mention
    stays as it is.
    """

    def __init__(self, *, tenant: Tenant, entry: TenantEntry, pointer: str, actor: str, report: Report) -> None:
        self.tenant, self.entry, self.pointer, self.actor, self.report = tenant, entry, pointer, actor, report

    def apply(self) -> None:
        """Bring the rows to what the document says.

        Raises:
            ConfigError: a row would be wrong.
        """
        entry, at = self.entry, self.pointer
        with located(at):
            self._tenant()
        for place, member in enumerate(entry.members):
            with located(f"{at}/members/{place}"):
                self._member(member.email, member.role)
        for place, channel in enumerate(entry.channels):
            with located(f"{at}/channels/{place}"):
                row = self._channel(channel, f"{at}/channels/{place}")
                self._amounts(channel, Scope.CHANNEL, row.id, f"channel/{row.slug}/")
        for place, key in enumerate(entry.keys):
            with located(f"{at}/keys/{place}"):
                row_id = self._key(key)
                if row_id:
                    self._amounts(key, Scope.KEY, row_id, f"key/{key.slug}/")
        with located(at):
            self._amounts(entry, Scope.TENANT, "", "")
        self._names()
        if entry.policy is not UNSET:
            with located(f"{at}/policy"):
                self._policy(entry.policy)
        for place, rule in enumerate(entry.rules):
            with located(f"{at}/rules/{place}"):
                self._rule(rule)

    def _note(self, kind: str, name: str, *, is_new: bool = False, fields: tuple[str, ...] = ()) -> None:
        action: Action = "created" if is_new else "changed" if fields else "unchanged"
        self.report.changes.append(Change(action, kind, f"{self.tenant.slug}/{name}".rstrip("/"), fields))

    def _tenant(self) -> None:
        wanted = given(self.entry, name="name", timezone="timezone", private_upstreams="private_upstreams", tags="tags")
        changed = differing(self.tenant, wanted)
        if changed:
            tenant_update(tenant=self.tenant, actor=self.actor, **{name: wanted[name] for name in changed})
        self._note("tenant", "", fields=changed)

    def _member(self, email: str, role: str) -> None:
        membership = Membership.objects.filter(user__issuer="local", user__email__iexact=email).first()
        if membership is None or membership.role != role:
            user = User.objects.filter(issuer="local", email__iexact=email).order_by("id").first()
            user = (membership.user if membership else user) or user_create(email=email)
            membership_set(tenant_id=self.tenant.id, user=user, role=role, actor=self.actor)
            self._note("member", f"member/{email}", is_new=membership is None, fields=("role",))
        else:
            self._note("member", f"member/{email}")

    # --- channels

    def _channel(self, entry: ChannelEntry, at: str) -> Channel:
        wanted = channel_fields(entry)
        row = Channel.objects.filter(slug=entry.slug).first()
        if row is None:
            if "provider" not in wanted:
                raise ConfigError(Problem(at, f"The channel {entry.slug!r} is new and needs a provider."))
            given_secrets = {one.slug: _secret(one) for one in entry.credentials or ()}
            row = channel_create(
                tenant_id=self.tenant.id, actor=self.actor, slug=entry.slug, credentials=given_secrets, **wanted
            )
            self._note("channel", f"channel/{entry.slug}", is_new=True)
            return row
        before = {name: getattr(row, name) for name in wanted}
        credentials = self._credentials(row, entry, wanted)
        channel_update(tenant_id=self.tenant.id, channel=row, actor=self.actor, credentials=credentials, **wanted)
        changed = tuple(name for name in wanted if getattr(row, name) != before[name])
        self._note("channel", f"channel/{row.slug}", fields=changed + (("credentials",) if credentials else ()))
        return row

    def _credentials(self, row: Channel, entry: ChannelEntry, wanted: Mapping[str, Any]) -> Credentials | None:
        """Return the credentials to store; None leaves them alone, so that the same secret twice is no change."""
        if entry.credentials is UNSET:
            return None
        secrets = {one.slug: _secret(one) for one in entry.credentials}
        if is_credential_needed_again(
            old=row, provider=wanted.get("provider", row.provider), base_url=wanted.get("base_url", row.base_url)
        ):
            return secrets
        stored = {credential.slug: credential.sealed for credential in row.credentials.all()}
        fresh = {slug: secret if secret != _unsealed(stored.get(slug)) else None for slug, secret in secrets.items()}
        is_same = fresh.keys() == stored.keys() and not any(fresh.values())
        return None if is_same else fresh

    # --- keys

    def _key(self, entry: KeyEntry) -> str:
        """Return the key's id, empty for one that is revoked."""
        wanted = key_fields(entry)
        secret = "" if entry.secret is UNSET else entry.secret
        row = GatewayKey.objects.filter(slug=entry.slug).first()
        if row is None:
            return self._key_made(entry.slug, secret, wanted)
        if row.state == KeyState.REVOKED:
            self.report.warnings.append(
                f"Key {self.tenant.slug}/{entry.slug} is revoked, which is final: it was left alone. "
                "Give the new key another slug."
            )
            return ""
        changed = differing(row, wanted)
        if changed:
            key_update(key=row, actor=self.actor, **{name: wanted[name] for name in changed})
        if secret and bytes(row.digest) != keys.digest(secret):
            row.digest, row.prefix, row.last_four = keys.digest(secret), keys.display_prefix(secret), secret[-4:]
            row.save(update_fields=["digest", "prefix", "last_four"])
            audit_record(tenant_id=self.tenant.id, actor=self.actor, action="key.rotated", target=row)
            changed += ("secret",)
        self._note("key", f"key/{entry.slug}", fields=changed)
        return str(row.id)

    def _key_made(self, slug: str, secret: str, wanted: dict[str, Any]) -> str:
        state = wanted.pop("state", KeyState.ACTIVE)
        row, made = key_issue(tenant_id=self.tenant.id, slug=slug, actor=self.actor, secret=secret, **wanted)
        if state != KeyState.ACTIVE:
            key_update(key=row, actor=self.actor, state=state)
        if not secret:
            self.report.made_keys[f"{self.tenant.slug}/{slug}"] = made
        self._note("key", f"key/{slug}", is_new=True)
        return str(row.id)

    # --- limits and quotas

    def _amounts(self, owner: TenantEntry | KeyEntry | ChannelEntry, scope: Scope, scope_id: str, name: str) -> None:
        for limit in owner.limits:
            if limit.model is not UNSET:
                self._limit(limit, LimitScope.MODEL, limit.model, f"model/{limit.model}/limit/{limit.kind}")
            else:
                self._limit(limit, LimitScope(scope), scope_id, f"{name}limit/{limit.kind}")
        for quota in owner.quotas:
            what = f"{name}quota/{quota.kind}-{quota.window}"
            if quota.tag is UNSET:
                self._quota(quota, scope, scope_id, what)
            else:
                self._quota(quota, QuotaScope.TAG, quota.tag, f"{what}-{quota.tag}")

    def _limit(self, entry: LimitEntry, scope: LimitScope, scope_id: str, name: str) -> None:
        rows = Limit.objects.filter(scope=scope, scope_id=scope_id, kind=entry.kind)
        if entry.kind != Limit.Kind.CONCURRENCY.value:  # what is counted at once has no window
            rows, name = rows.filter(window_s=entry.window_s), f"{name}-{entry.window_s}s"
        row = rows.first()
        wanted: dict[str, Any] = {"limit": entry.limit, "options": entry.all_options()}
        if entry.kind != Limit.Kind.CONCURRENCY.value:
            wanted["algorithm"] = entry.algorithm
        changed = differing(row, wanted) if row else tuple(wanted)
        if changed:
            limit_set(
                tenant_id=self.tenant.id, kind=entry.kind, window_s=row.window_s if row else entry.window_s,
                scope=scope, scope_id=scope_id, actor=self.actor, **wanted,
            )  # fmt: skip
        self._note("limit", name, is_new=row is None, fields=changed)

    def _quota(self, entry: QuotaEntry, scope: Scope | QuotaScope, scope_id: str, name: str) -> None:
        row = Quota.objects.filter(scope=scope, scope_id=scope_id, kind=entry.kind, window=entry.window).first()
        amount = entry.amount
        is_changed = row is None or row.amount != amount
        if is_changed:
            quota_set(
                tenant_id=self.tenant.id, kind=entry.kind, amount=amount, window=entry.window,
                scope=scope, scope_id=scope_id, actor=self.actor,
            )  # fmt: skip
        self._note("quota", name, is_new=row is None, fields=("amount",) if is_changed else ())

    # --- routing

    def _names(self) -> None:
        aliases, fallbacks = aliases_by_name(), fallbacks_by_model()
        for name, target in self.entry.aliases.items():
            is_changed = aliases.get(name) != target
            with located(pointed(f"{self.pointer}/aliases", name)):
                if is_changed:
                    alias_set(tenant_id=self.tenant.id, name=name, target=target, actor=self.actor)
            self._note("alias", f"alias/{name}", is_new=name not in aliases, fields=("target",) if is_changed else ())
        for model, models in self.entry.fallbacks.items():
            is_changed = fallbacks.get(model, []) != models
            with located(pointed(f"{self.pointer}/fallbacks", model)):
                if is_changed:
                    fallback_set(tenant_id=self.tenant.id, model=model, fallbacks=models, actor=self.actor)
            self._note(
                "fallback", f"fallback/{model}",
                is_new=is_changed and model not in fallbacks, fields=("fallbacks",) if is_changed else (),
            )  # fmt: skip

    def _policy(self, entry: PolicyEntry) -> None:
        wanted = policy_fields(entry)
        # The defaults hold without a row, too: spelling them out changes nothing.
        changed = differing(policy_get(), wanted)
        if changed:
            policy_set(tenant_id=self.tenant.id, actor=self.actor, **{name: wanted[name] for name in changed})
        self._note("policy", "policy", fields=changed)

    def _rule(self, entry: RuleEntry) -> None:
        wanted = rule_fields(entry)
        row = RoutingRule.objects.filter(slug=entry.slug).first()
        if row is None:
            rule_create(tenant_id=self.tenant.id, actor=self.actor, slug=entry.slug, **wanted)
            self._note("rule", f"rule/{entry.slug}", is_new=True)
            return
        before = {name: getattr(row, name) for name in wanted}
        rule_update(tenant_id=self.tenant.id, rule=row, actor=self.actor, **wanted)
        changed = tuple(name for name in wanted if getattr(row, name) != before[name])
        self._note("rule", f"rule/{row.slug}", fields=changed)


# --- from entries to the fields of models


def given(entry: Any, **names: str) -> dict[str, Any]:
    """Return what the document says, under the models' names: `model_field="document_field"`."""
    values = {ours: getattr(entry, theirs) for ours, theirs in names.items()}
    return {ours: value for ours, value in values.items() if value is not UNSET}


def differing(row: Any, wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the fields that have another value than wanted."""
    return tuple(name for name, value in wanted.items() if getattr(row, name) != value)


def channel_fields(entry: ChannelEntry) -> dict[str, Any]:
    """Return a channel's fields as far as the document gives them."""
    fields = given(
        entry, provider="provider", format="format", base_url="base_url", served_models="models", prices="prices",
        priority="priority", weight="weight", is_enabled="enabled", transformers="transformers", region="region",
        tags="tags",
    )  # fmt: skip
    for name in ("format", "base_url", "region"):
        if name in fields:
            fields[name] = fields[name] or ""
    if "served_models" in fields:
        fields["served_models"] = [
            {"name": model.name, "upstream": model.upstream} if isinstance(model, ModelEntry) else model
            for model in fields["served_models"]
        ]
    if entry.timeout_s is not UNSET:
        fields |= given(entry.timeout_s, connect_s="connect", first_byte_s="first_byte", idle_s="idle", total_s="total")
    return fields


def key_fields(entry: KeyEntry) -> dict[str, Any]:
    """Return a key's fields as far as the document gives them."""
    fields = given(
        entry, allowed_models="models", allowed_channels="channels", allowed_ips="ips", tags="tags",
        expires_at="expires_at",
    )  # fmt: skip
    if "allowed_ips" in fields:
        fields["allowed_ips"] = written_networks(fields["allowed_ips"])
    if fields.get("expires_at"):
        fields["expires_at"] = moment(fields["expires_at"])
    if entry.enabled is not UNSET:
        fields["state"] = KeyState.ACTIVE if entry.enabled else KeyState.DISABLED
    return fields


def rule_fields(entry: RuleEntry) -> dict[str, Any]:
    """Return a rule's fields as far as the document gives them."""
    ours = normalise_rule(to_builtins(entry))
    names = {"type": "type", "condition": "condition", "targets": "targets", "priority": "priority"}
    names |= {"enabled": "is_enabled", "description": "description"}
    return {name: ours[given] for given, name in names.items() if given in ours}


def policy_fields(entry: PolicyEntry) -> dict[str, Any]:
    """Return a policy's fields as far as the document gives them."""
    fields = given(entry, strategy="strategy", has_cooldown="cooldown")
    if entry.session is not UNSET:
        fields |= given(
            entry.session, is_session_enabled="enabled", session_ttl_s="ttl_s", is_session_sticky="sticky",
            session_cleanup_interval_s="cleanup_interval_s",
        )  # fmt: skip
    if entry.retry is not UNSET:
        fields |= given(entry.retry, attempts="attempts", retry_total_s="total_s")
    if entry.breaker is not UNSET:
        fields |= given(entry.breaker, breaker_failures="failures", breaker_open_s="open_s")
    return fields


def _secret(entry: CredentialEntry) -> str | None:
    return None if entry.api_key is UNSET else clean_secret(entry.api_key)


def _unsealed(sealed: str | None) -> str | None:
    try:
        return unseal(sealed) if sealed else None
    except CannotUnseal:
        return None  # the keys changed: storing it again mends it
