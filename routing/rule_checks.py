"""What a rule's fields may hold, and the other spellings that they come in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import msgspec
from django.core.exceptions import ValidationError

from routing.engine.document import RuleSpec
from routing.engine.rule import Setting
from routing.engine.rules import RULES
from routing.engine.ruleset import TYPES, compile_rule
from routing.engine.targets import MEMBERS
from tenants.engine.ids import is_id

MAX_RULES = 500
MAX_TARGETS = 20
MAX_TARGET_CHARS = 200
MAX_CONDITION_BYTES = 16_384
#: Conditions that say themselves where to go, or only narrow where the asked model may be served.
_TARGETLESS = frozenset({"customFunction", "region", "subagent"})
#: Written → ours. Where both stand, ours counts.
_ALIASES = {"name": "slug", "is_enabled": "enabled", "isEnabled": "enabled", "conditions": "condition"}
_NOT_IN_A_SLUG = re.compile(r"[^a-z0-9._-]+")


def normalise_rule(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule's document with our names; values are not checked here.

    Takes `targetChannel` and `targetModel`, one `target` for a list of them, a name in place of a slug, and conditions
    that stand beside the rule's fields.
    """
    ours = {name: value for name, value in document.items() if name not in _ALIASES}
    for written, name in _ALIASES.items():
        if written in document:
            value = document[written]
            ours.setdefault(name, _slug(value) if written == "name" and isinstance(value, str) else value)
    condition = ours.get("condition")
    beside = {name: ours.pop(name) for name in list(ours) if _camel(name) in RULES}
    if beside and (condition is None or isinstance(condition, Mapping)):
        condition = {**beside, **(condition or {})}
    if isinstance(condition, Mapping):
        ours["condition"] = {_condition_name(name): value for name, value in condition.items()}
    return _with_targets(ours)


def _with_targets(ours: dict[str, Any]) -> dict[str, Any]:
    flat = {}
    for member, names in (("channel", ("targetChannel", "target_channel")), ("model", ("targetModel", "target_model"))):
        for name in names:
            if (value := ours.pop(name, None)) is not None:
                flat[member] = value
    given = ours.pop("target", None)
    if "targets" not in ours and (given is not None or flat):
        ours["targets"] = given if isinstance(given, list) else [{**(given or {}), **flat} if _is_map(given) else given]
    if isinstance(ours.get("targets"), list):
        ours["targets"] = [_target(each) for each in ours["targets"]]
    return ours


def _is_map(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


def _target(given: Any) -> Any:
    """Return a target with a channel's slug where its name was written, and without what says nothing."""
    if not isinstance(given, Mapping):
        return given
    found = {name: value for name, value in given.items() if value is not None and value != ""}
    channel = found.get("channel")
    if isinstance(channel, str) and not is_id(channel, "chn"):
        found["channel"] = _slug(channel)
    return found


def clean_rule(*, type: str, condition: Any, targets: Any) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return condition and targets in our names.

    Raises:
        ValidationError: with everything that is wrong, by field.
    """
    wrong: dict[str, ValidationError] = {}
    if type not in TYPES:
        wrong["type"] = ValidationError(f"{type!r} is no type of rule. There are: {', '.join(TYPES)}.", code="unknown")
    try:
        condition = _clean_condition(type if type in TYPES else "custom", condition)
    except ValidationError as error:
        wrong["condition"], condition = error, {}
    try:
        targets = _clean_targets(targets, {type, *condition})
    except ValidationError as error:
        wrong["targets"] = error
    if wrong:
        raise ValidationError({name: error.error_list for name, error in wrong.items()})
    return condition, targets


def _clean_condition(type: str, condition: Any) -> dict[str, Any]:
    if not isinstance(condition, dict):
        _refuse("A condition looks like {keywords: [plan, analyze], hasTools: true}.")
    condition = {_condition_name(str(name)): value for name, value in condition.items()}
    if len(msgspec.json.encode(condition)) > MAX_CONDITION_BYTES:
        _refuse(f"A condition has at most {MAX_CONDITION_BYTES // 1024} KB.")
    try:
        compile_rule(RuleSpec(slug="checked", type=type, condition=condition), Setting())
    except ValueError as error:
        _refuse(f"{str(error)[:1].upper()}{str(error)[1:].rstrip('.')}.")
    if type == "custom" and not condition:
        _refuse("A custom rule needs a condition; a rule for everything has the type default.")
    return condition


def _clean_targets(targets: Any, said: Iterable[str]) -> list[dict[str, str]]:
    if not isinstance(targets, list) or len(targets) > MAX_TARGETS:
        _refuse(f"Targets are a list of up to {MAX_TARGETS}, such as {{channel: large, model: some-model}}.")
    if not targets and _TARGETLESS.isdisjoint(said):
        _refuse(f"Say where the rule goes: a target has one or more of {', '.join(MEMBERS)}.")
    for target in targets:
        if not isinstance(target, dict) or not target or not target.keys() <= set(MEMBERS):
            _refuse(f"{target!r} is no target: it has one or more of {', '.join(MEMBERS)}.")
        for name, value in target.items():
            if not isinstance(value, str) or not 0 < len(value.strip()) <= MAX_TARGET_CHARS or not value.isprintable():
                _refuse(f"A target's {name} is a text of 1 to {MAX_TARGET_CHARS} characters, not {value!r}.")
    return [{name: value.strip() for name, value in _target(target).items()} for target in targets]


def _condition_name(name: str) -> str:
    """Return a condition's own name for one with underscores."""
    return camel if (camel := _camel(name)) in RULES else name


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _slug(name: str) -> str:
    return _NOT_IN_A_SLUG.sub("-", name.lower()).strip("-._")


def _refuse(message: str) -> NoReturn:
    # Forms put their own words in the place of what has the code "invalid".
    raise ValidationError(message, code="makes-no-sense")
