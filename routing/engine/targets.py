"""A rule's target → the candidates that may serve it for this key, or the reason why none may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from routing.engine.document import ChannelSpec
from routing.engine.resolution import cut_of, look_up, once_each, preferred
from routing.engine.rule import Keeps
from routing.engine.snapshot import Candidate, Snapshot
from tenants.engine.principal import Principal

Target = dict[str, str]
#: What a target may say; it may say several, and all of them must be so.
MEMBERS = ("channel", "provider", "tag", "model")


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks for what: what every target of a request is judged by."""

    snapshot: Snapshot
    principal: Principal
    operations: tuple[str, ...]
    #: The model that was asked for: what a target serves that names no other.
    model: str
    keeps: tuple[Keeps, ...] = ()

    def groups(self, targets: Iterable[Target]) -> tuple[list[list[Candidate]], str]:
        """Return the candidates of each target that has any, then of their models' fallbacks; and why others have none.

        Each stands where it comes first, once.
        """
        groups: list[list[Candidate]] = []
        fallbacks: dict[str, None] = {}
        reasons: list[str] = []
        for target in targets:
            found, reason = self.candidates(target)
            if not found:
                reasons.append(reason)
                continue
            groups.append(found)
            if not target.get("channel"):
                fallbacks |= dict.fromkeys(self.snapshot.document.fallbacks.get(found[0].public_model, ()))
        if groups:
            groups += [self.candidates({"model": model})[0] for model in fallbacks]
        return list(filter(None, once_each(groups))), "; ".join(dict.fromkeys(reasons))

    def candidates(self, target: Target) -> tuple[list[Candidate], str]:
        """Return who may serve a target, or why nobody may: the first thing that leaves none."""
        is_meant = (lambda each: _fits(each.channel.spec, target)) if target.keys() - {"model"} else None
        model, slug, _ = look_up(self.snapshot, target.get("model") or self.model, is_meant)
        if not self.principal.may_use_model(model):
            return [], f"the key may not use `{model}`"
        if (wanted := target.get("channel")) and not any(map(_is(wanted), self._specs())):
            return [], f"there is no channel `{wanted}`"
        where = {"channel": slug} | target if slug else target  # a channel of the target's own wins, as a pinned one
        found = [each for each in self.snapshot.candidates(model) if _fits(each.channel.spec, where)]
        if not found:
            return [], f"{_told(where)} does not serve `{model}`"
        for is_left, reason in self._steps(model, where):
            found = list(filter(is_left, found))
            if not found:
                return [], reason
        return preferred(found, self.operations), ""

    def _specs(self) -> Iterator[ChannelSpec]:
        return (channel.spec for channel in self.snapshot.channels.values())

    def _steps(self, model: str, where: Target) -> Iterator[tuple[Callable[[Candidate], bool], str]]:
        told = _told(where)
        yield lambda each: each.channel.spec.is_enabled, f"{told} is switched off"
        yield lambda each: self.principal.may_use_channel(each.channel.spec.slug), f"the key may not use {told}"
        yield lambda each: all(keeps(each.channel.spec) for keeps in self.keeps), f"{told} is in another region"
        yield lambda each: bool(each.operation(self.operations)), f"{told} does not answer {self.operations[0]}"


def target_named(snapshot: Snapshot, text: str) -> Target:
    """Return the target that `channel,model`, `provider/model` or a model alone means."""
    model, slug, read_as = look_up(snapshot, text)
    if read_as == "channel":
        return {"channel": slug, "model": model}
    cut = cut_of(text)
    owner, providers = text[:cut].strip().lower(), {each.spec.provider for each in snapshot.channels.values()}
    if read_as == "name" and owner in providers and not snapshot.is_named(text):
        return {"provider": owner, "model": text[cut + 1 :].strip()}
    return {"model": text}


def _is(wanted: str) -> Callable[[ChannelSpec], bool]:
    return lambda spec: wanted in {spec.slug, spec.id}


def _fits(spec: ChannelSpec, target: Target) -> bool:
    channel, provider, tag = target.get("channel"), target.get("provider"), target.get("tag")
    return (
        (not channel or channel in {spec.slug, spec.id})
        and (not provider or provider == spec.provider)
        and (not tag or tag in spec.tags)
    )


def _told(target: Target) -> str:
    said = [f"{name} `{target[name]}`" for name in MEMBERS[:3] if target.get(name)]
    return " with ".join(said) or "every channel"
