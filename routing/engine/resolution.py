"""A model name → the candidates that may serve it for this key, or the reason why none does."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Literal

from routing.engine.errors import Forbidden, ModelNotFound, NoChannel
from routing.engine.snapshot import Candidate, Snapshot
from tenants.engine.principal import Principal

#: A public model's name; an alias; a channel's slug before the model.
ReadAs = Literal["name", "alias", "channel"]


def resolve(
    snapshot: Snapshot, principal: Principal, operations: tuple[str, ...], asked: str, pinned_channel: str = ""
) -> tuple[list[Candidate], list[list[Candidate]]]:
    """Return the candidates of a model, and those of each of its fallback models, unordered.

    A name is looked up as a public model, then as an alias, then split at the first `/` or `,` when the left side is
    a channel's slug. The key's allow-lists hold for the asked name and for each final pair.

    Raises:
        Forbidden: the key may not use the model or the channel.
        ModelNotFound: nothing of this tenant serves the model in any way that answers this.
        NoChannel: channels serve it, and all are switched off.
    """
    check_asked(principal, asked)
    model, channel_slug, _ = look_up(snapshot, asked)
    channel_slug = pinned_channel or channel_slug
    found = _permitted(snapshot, principal, operations, model, channel_slug)
    if not found:
        raise _why_none(snapshot, principal, operations, asked, model, channel_slug)
    fallbacks = () if channel_slug else snapshot.document.fallbacks.get(model, ())
    return found, [_permitted(snapshot, principal, operations, name, "") for name in fallbacks]


def check_asked(principal: Principal, asked: str) -> None:
    """Raise Forbidden for a name that the key may not ask for, whatever it stands for."""
    if not principal.may_use_model(asked):
        raise Forbidden(
            f"Key `{principal.key_slug}` may not use `{asked}`. Allowed: {', '.join(principal.models)}.", param="model"
        )


def is_served(snapshot: Snapshot, principal: Principal, asked: str) -> bool:
    """Whether the key may ask for this name, and an enabled channel that it may use serves what it stands for."""
    model, channel_slug, _ = look_up(snapshot, asked)
    return (
        principal.may_use_model(asked)
        and principal.may_use_model(model)
        and any(
            candidate.channel.spec.is_enabled
            and channel_slug in {"", candidate.channel.spec.slug}
            and principal.may_use_channel(candidate.channel.spec.slug)
            for candidate in snapshot.candidates(model)
        )
    )


def look_up(snapshot: Snapshot, asked: str) -> tuple[str, str, ReadAs]:
    """Return the public model, the channel's slug ("" where the name does not say one), and how the name was read."""
    if snapshot.candidates(asked):
        return asked, "", "name"
    alias = snapshot.document.aliases.get(asked)
    model, channel_slug = _look_up_target(snapshot, asked if alias is None else alias)
    return model, channel_slug, "alias" if alias is not None else "channel" if channel_slug else "name"


def _look_up_target(snapshot: Snapshot, name: str) -> tuple[str, str]:
    if snapshot.candidates(name):
        return name, ""
    cut = min((place for place in (name.find("/"), name.find(",")) if place > 0), default=0)
    if cut and name[:cut] in snapshot.channels:
        return name[cut + 1 :].strip(), name[:cut]
    return name, ""


def _permitted(
    snapshot: Snapshot, principal: Principal, operations: tuple[str, ...], model: str, channel_slug: str
) -> list[Candidate]:
    if not principal.may_use_model(model):
        return []
    found = [
        candidate
        for candidate in snapshot.candidates(model)
        if candidate.channel.spec.is_enabled
        and (not channel_slug or candidate.channel.spec.slug == channel_slug)
        and candidate.operation(operations)
        and principal.may_use_channel(candidate.channel.spec.slug)
    ]
    return preferred(found, operations)


def preferred(found: list[Candidate], operations: tuple[str, ...]) -> list[Candidate]:
    """Return the candidates without those that only a glob speaks for, where others speak the client's format."""
    if not any(candidate.operation(operations) == operations[0] for candidate in found):
        return found
    # A glob promises little: where a channel speaks the client's format, others are asked in theirs only by name.
    return [c for c in found if c.operation(operations) == operations[0] or c.is_named]


def _why_none(
    snapshot: Snapshot, principal: Principal, operations: tuple[str, ...], asked: str, model: str, channel_slug: str
) -> Forbidden | ModelNotFound | NoChannel:
    slug = snapshot.document.slug
    if channel_slug and not principal.may_use_channel(channel_slug):
        return Forbidden(
            f"Key `{principal.key_slug}` may not use channel `{channel_slug}`.", code="channel_not_allowed"
        )
    if channel_slug and channel_slug not in snapshot.channels:
        return ModelNotFound(f"Tenant `{slug}` has no channel `{channel_slug}`.", param="model")
    if not principal.may_use_model(model):
        return Forbidden(
            f"Key `{principal.key_slug}` may not use `{model}`, which `{asked}` stands for.", param="model"
        )
    serving = [c for c in snapshot.candidates(model) if not channel_slug or c.channel.spec.slug == channel_slug]
    permitted = [c for c in serving if principal.may_use_channel(c.channel.spec.slug)]
    speaking = [c for c in permitted if c.operation(operations)]
    if speaking:
        names = ", ".join(sorted(c.channel.spec.slug for c in speaking))
        return NoChannel(
            f"{len(speaking)} channel(s) serve `{model}`, all switched off: {names}. Switch one on and ask again.",
            retry_after_s=60,
        )
    if permitted:
        return ModelNotFound(
            f"`{model}` is served here, but no channel of it answers {operations[0]}. "
            "Ask on a path that the channel's provider has.",
            param="model",
        )
    if serving:
        return Forbidden(f"Key `{principal.key_slug}` may use no channel that serves `{model}`.", param="model")
    close = tuple(get_close_matches(asked, [m for m in snapshot.models if principal.may_use_model(m)], n=3))
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return ModelNotFound(
        f"Model `{asked}` is not served here.{hint} List: GET /v1/models.", param="model", suggestions=close
    )
