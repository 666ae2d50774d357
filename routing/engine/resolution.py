"""A model name → the candidates that may serve it for this key, or the reason why none does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from heapq import nlargest
from itertools import islice
from typing import Literal

from routing.engine.errors import Forbidden, ModelNotFound, NoChannel, Overloaded, named
from routing.engine.snapshot import Candidate, Snapshot
from tenants.engine.principal import Principal

#: A public model's name; an alias; a channel's slug before the model.
ReadAs = Literal["name", "alias", "channel"]
_WINDOW = "[1m]"
IsMeant = Callable[[Candidate], bool]
#: Suggestions are for people who mistyped: longer names are not compared, nor more of them searched or compared.
_MAX_COMPARED_CHARS = 200
_MAX_SEARCHED = 2000
_MAX_COMPARED = 20


def resolve(
    snapshot: Snapshot, principal: Principal, operations: tuple[str, ...], asked: str, pinned_channel: str = ""
) -> tuple[list[Candidate], list[list[Candidate]]]:
    """Return the candidates of a model, and those of each of its fallback models, unordered.

    How a name is read says `look_up`. The key's allow-lists hold for the asked name and for each final pair.

    Raises:
        Forbidden: the key may not use the model or the channel.
        ModelNotFound: nothing of this tenant serves the model in any way that answers this.
        NoChannel: channels serve it, and all are switched off.
    """
    check_asked(principal, asked)
    is_pinned = (lambda each: each.channel.spec.slug == pinned_channel) if pinned_channel else None
    model, channel_slug, _ = look_up(snapshot, asked, is_pinned)
    channel_slug = pinned_channel or channel_slug
    found = _permitted(snapshot, principal, operations, model, channel_slug)
    if not found:
        raise _why_none(snapshot, principal, operations, asked, model, channel_slug)
    fallbacks = () if channel_slug else snapshot.document.fallbacks.get(model, ())
    groups = once_each([found, *(_permitted(snapshot, principal, operations, name, "") for name in fallbacks)])
    return found, groups[1:]


def once_each(groups: Iterable[list[Candidate]]) -> list[list[Candidate]]:
    """Return groups without the candidates of earlier ones: what is tried already is not tried again after it."""
    seen: set[tuple[str, str]] = set()
    found = []
    for group in groups:
        found.append([each for each in group if (each.channel_id, each.upstream_model) not in seen])
        seen |= {(each.channel_id, each.upstream_model) for each in group}
    return found


def check_asked(principal: Principal, asked: str) -> None:
    """Raise Forbidden for a name that the key may not ask for, whatever it stands for."""
    if not _may_ask(principal, asked):
        raise Forbidden(
            f"Key `{principal.key_slug}` may not use `{named(asked)}`. Allowed: {', '.join(principal.models)}.",
            param="model",
        )


def _may_ask(principal: Principal, asked: str) -> bool:
    return principal.may_use_model(asked) or principal.may_use_model(_without_window(asked))


def is_served(snapshot: Snapshot, principal: Principal, asked: str) -> bool:
    """Whether the key may ask for this name, and an enabled channel that it may use serves what it stands for."""
    model, channel_slug, _ = look_up(snapshot, asked)
    return (
        _may_ask(principal, asked)
        and principal.may_use_model(model)
        and any(
            candidate.channel.spec.is_enabled
            and channel_slug in {"", candidate.channel.spec.slug}
            and principal.may_use_channel(candidate.channel.spec.slug)
            for candidate in snapshot.candidates(model)
        )
    )


def look_up(snapshot: Snapshot, asked: str, is_meant: IsMeant | None = None) -> tuple[str, str, ReadAs]:
    """Return the public model, the channel's slug ("" where the name does not say one), and how the name was read.

    First a model that a channel lists under this very name, then an alias, then a channel before the first `/` or `,`.
    What is none of these may be a model that a glob matches: a channel that takes every name does not take aliases
    away, nor what names another channel. A window's size after a name is its client's note to itself.

    Args:
        snapshot: the tenant's configuration.
        asked: the name.
        is_meant: where something else says already which channels are meant: whether one of them serves a candidate.
            What one of them takes as it stands is not split.
    """
    if snapshot.is_named(asked):
        return asked, "", "name"
    if asked not in snapshot.document.aliases:
        asked = _without_window(asked)
    if snapshot.is_named(asked):
        return asked, "", "name"
    alias = snapshot.document.aliases.get(asked)
    model, channel_slug = _look_up_target(snapshot, asked if alias is None else alias, is_meant)
    return model, channel_slug, "alias" if alias is not None else "channel" if channel_slug else "name"


def _without_window(name: str) -> str:
    """Return a model's name without the mark that Claude Code puts behind it for a window of a million tokens."""
    return name.removesuffix(_WINDOW)


def _look_up_target(snapshot: Snapshot, name: str, is_meant: IsMeant | None) -> tuple[str, str]:
    cut = cut_of(name)
    if not cut or snapshot.is_named(name):
        return name, ""
    if is_meant is not None and any(map(is_meant, snapshot.candidates(name))):
        return name, ""
    # Slugs are lower case; people write a provider's name as it writes itself.
    slug = name[:cut].strip().lower()
    return (name[cut + 1 :].strip(), slug) if slug in snapshot.channels else (name, "")


def cut_of(name: str) -> int:
    """Return the place of the first `/` or `,` of a name, 0 where there is none."""
    return min((place for place in (name.find("/"), name.find(",")) if place > 0), default=0)


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
            f"Key `{principal.key_slug}` may not use channel `{named(channel_slug)}`. "
            f"Allowed: {', '.join(principal.channels)}.",
            code="channel_not_allowed",
        )
    if channel_slug and channel_slug not in snapshot.channels:
        return ModelNotFound(
            f"Tenant `{slug}` has no channel `{named(channel_slug)}`. Leave `x-routex-channel` out, or name another.",
            param="model",
        )
    if not principal.may_use_model(model):
        return Forbidden(
            f"Key `{principal.key_slug}` may not use `{named(model)}`, which `{named(asked)}` stands for. "
            f"Allowed: {', '.join(principal.models)}.",
            param="model",
        )
    serving = [c for c in snapshot.candidates(model) if not channel_slug or c.channel.spec.slug == channel_slug]
    permitted = [c for c in serving if principal.may_use_channel(c.channel.spec.slug)]
    speaking = [c for c in permitted if c.operation(operations)]
    if speaking:
        return _switched_off(speaking, model)
    if permitted:
        return ModelNotFound(
            f"`{named(model)}` is served here, but no channel of it answers {operations[0]}. "
            "Ask on a path that the channel's provider has.",
            param="model",
        )
    if serving:
        return Forbidden(f"Key `{principal.key_slug}` may use no channel that serves `{named(model)}`.", param="model")
    if channel_slug:
        return _not_on_channel(snapshot, principal, asked, model, channel_slug)
    if asked in snapshot.document.aliases:
        return ModelNotFound(
            f"`{named(asked)}` stands for `{named(model)}`, which no channel of tenant `{slug}` serves. "
            "Ask an admin of your tenant.",
            param="model",
        )
    return not_served(snapshot, principal, asked)


def nobody_ready(
    model: str, without_credential: Sequence[str], waits_s: Sequence[float], why: str
) -> NoChannel | Overloaded:
    """Return what a client is told when no channel can be tried: an admin's affair, or how long the soonest needs.

    Args:
        model: the model that is asked for.
        without_credential: slugs of channels that lack one.
        waits_s: after how many seconds each of the others may be tried.
        why: what these are doing meanwhile.
    """
    if not waits_s:
        names = ", ".join(without_credential)
        return NoChannel(f"No credential is stored for {names}, which `{named(model)}` needs. An admin must add one.")
    wait_s, count = min(waits_s), len(waits_s)
    who = f"All {count} channels for `{named(model)}` are" if count > 1 else f"The only channel for `{named(model)}` is"
    return Overloaded(f"{who} {why}; next try in {max(1, math.ceil(wait_s))} s.", retry_after_s=max(1.0, wait_s))


def _switched_off(candidates: list[Candidate], model: str) -> NoChannel:
    slugs = sorted(candidate.channel.spec.slug for candidate in candidates)
    who = "1 channel serves" if len(slugs) == 1 else f"{len(slugs)} channels serve"
    whose = "; ".join(f"{slug}: by an admin" for slug in slugs)
    return NoChannel(f"{who} `{named(model)}`, all switched off ({whose}). Ask an admin to switch one on.")


def _not_on_channel(snapshot: Snapshot, principal: Principal, asked: str, model: str, slug: str) -> ModelNotFound:
    """Return the refusal of a model that the named channel does not serve."""
    close: tuple[str, ...] = (model,)
    whole = "" if model == asked else _taking(snapshot, principal, asked)
    if whole and not snapshot.is_named(model):
        close = (f"{whole}/{asked}",)
        hint = f" Channel `{whole}` takes the whole name: ask for `{named(close[0])}`."
    elif is_served(snapshot, principal, model):
        hint = f" Other channels do: ask for `{named(model)}` alone."
    else:
        close = _close(snapshot, principal, asked)
        hint = f" Did you mean `{close[0]}`?" if close else ""
    return ModelNotFound(f"Channel `{slug}` does not serve `{named(model)}`.{hint}", param="model", suggestions=close)


def _taking(snapshot: Snapshot, principal: Principal, name: str) -> str:
    """Return the slug of a channel with a glob for the name; "" when the key may use none."""
    found = (each.channel.spec for each in snapshot.candidates(name) if principal.may_use_model(name))
    return next((spec.slug for spec in found if spec.is_enabled and principal.may_use_channel(spec.slug)), "")


def not_served(snapshot: Snapshot, principal: Principal, asked: str) -> ModelNotFound:
    """Return the refusal of a name that means nothing here, with those that may have been meant."""
    close = _close(snapshot, principal, asked)
    if len(asked) <= _MAX_COMPARED_CHARS and asked.isprintable() and snapshot.prices.book.names_model(asked):
        told = f"`{named(asked)}` exists, but no channel of tenant `{snapshot.document.slug}` serves it. "
        told += "Ask an admin of your tenant for it, or take another. List: GET /v1/models."
        return ModelNotFound(told, param="model", suggestions=close)
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return ModelNotFound(
        f"Model `{named(asked)}` is not served here.{hint} List: GET /v1/models.", param="model", suggestions=close
    )


def _close(snapshot: Snapshot, principal: Principal, asked: str) -> tuple[str, ...]:
    """Return up to three names that the key may ask for and that look like this one, the nearest first."""
    if len(asked) > _MAX_COMPARED_CHARS:
        return ()
    names = {name.casefold(): name for name in islice(_askable(snapshot, asked), _MAX_SEARCHED)}
    word = asked.casefold()
    pairs = {word[place : place + 2] for place in range(len(word) - 1)}
    # Comparing takes long: only those that share most pairs of letters are worth it.
    likely = nlargest(_MAX_COMPARED, names, key=lambda name: sum(pair in name for pair in pairs))
    found = get_close_matches(word, likely, n=10)
    return tuple(islice((names[each] for each in found if is_served(snapshot, principal, names[each])), 3))


def _askable(snapshot: Snapshot, asked: str) -> Iterator[str]:
    """Yield the names that could have been meant: models, aliases and, for `channel/model`, those of close channels."""
    yield from snapshot.models
    cut = cut_of(asked)
    if cut:
        for slug in get_close_matches(asked[:cut], snapshot.channels, n=3):
            for model in snapshot.channels[slug].spec.models:
                yield f"{slug}{asked[cut]}{model.name}"
