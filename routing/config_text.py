"""A configuration document's text as plain data and back: YAML, JSON, TOML; placeholders resolved or refused."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

TextFormat = Literal["yaml", "json", "toml"]
#: More than any real document; keeps a small text whose YAML anchors multiply from filling the memory.
MAX_CHARS = {"yaml": 1_000_000, "toml": 1_000_000, "json": 16_000_000}
MAX_VALUES = 500_000
MAX_DEPTH = 40
MAX_SECRET_FILE_BYTES = 64 * 1024

#: `${env:NAME}` and `${file:/path}`; each further dollar sign in front quotes it: `$${env:NAME}` means the text itself.
_PLACEHOLDER = re.compile(r"(\$+)\{(env|file):([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a document; `line` counts from 1, 0 where it is not known."""

    pointer: str
    message: str
    line: int = 0

    def __str__(self) -> str:
        place = f"line {self.line}, {self.pointer or '/'}" if self.line else self.pointer or "/"
        return f"{place}: {self.message}"


class ConfigError(Exception):
    """A document cannot be used; `problems` says what is wrong and where."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Parsed:
    """Plain data (dict, list, text, numbers, booleans, None) and where each part of it stands in the text."""

    data: Any
    line_of: Callable[[str], int]


def text_format(name: str, text: str) -> TextFormat:
    """Return the format that a file's name tells, or that the text looks like."""
    suffix = Path(name).suffix.lower()
    if suffix == ".toml":
        return "toml"
    return "json" if suffix == ".json" or text.lstrip()[:1] in {"{", "["} else "yaml"


def parse(text: str, *, format: TextFormat) -> Parsed:
    """Return a document's plain data.

    Raises:
        ConfigError: the text is not well-formed, holds a key twice, or something that no configuration holds.
    """
    if len(text) > MAX_CHARS[format]:
        hint = "." if format == "json" else "; JSON may be larger."
        raise ConfigError(
            Problem(
                "", f"The document has {len(text):,} characters. {format.upper()} takes {MAX_CHARS[format]:,}{hint}"
            )
        )
    try:
        parsed = _PARSERS[format](text.removeprefix("\ufeff"))
        budget = [MAX_VALUES]
        return Parsed(_plain(parsed.data, "", budget, parsed.line_of), parsed.line_of)
    except RecursionError:
        raise ConfigError(Problem("", "The document is nested too deeply.")) from None


def dump(data: Mapping[str, Any], *, format: Literal["yaml", "json"]) -> str:
    """Return plain data as text, in the order it is given."""
    if format == "json":
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def resolve(parsed: Parsed, *, data_dir: Path, environ: Mapping[str, str] | None = None) -> Parsed:
    """Return the data with placeholders replaced; only for a document that the operator of the host supplied.

    Raises:
        ConfigError: a placeholder names something of Routex's own, or something that is not there.
    """
    values = os.environ if environ is None else environ

    def replace(match: re.Match[str]) -> str:
        kind, name = match[2], match[3]
        return _variable(name, values) if kind == "env" else _file(name, data_dir, values)

    return _mapped(parsed, replace)


def refuse_placeholders(parsed: Parsed) -> Parsed:
    """Return the data of a document that a tenant supplied: a placeholder would read the host's secrets.

    Raises:
        ConfigError: there is one.
    """

    def refuse(match: re.Match[str]) -> str:
        raise ValueError(
            f"{match[0]} cannot be used here: placeholders work only in a document that the operator of this host "
            "applies with `./routex config import` or ROUTEX_CONFIG. Write the value itself."
        )

    return _mapped(parsed, refuse)


def quoted(text: str) -> str:
    """Return a text in which nothing will be taken for a placeholder when it is read again."""
    return _PLACEHOLDER.sub(lambda match: "$" + match[0], text)


def quoted_all(value: Any) -> Any:
    """Return plain data with every text in it quoted."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return {key: quoted_all(item) for key, item in value.items()}
    return [quoted_all(item) for item in value] if isinstance(value, list) else value


def pointed(pointer: str, part: str | int) -> str:
    """Return a JSON pointer (RFC 6901) with one more part."""
    return f"{pointer}/{str(part).replace('~', '~0').replace('/', '~1')}"


# --- placeholders


def _mapped(parsed: Parsed, replace: Callable[[re.Match[str]], str]) -> Parsed:
    problems: list[Problem] = []

    def one(match: re.Match[str]) -> str:
        return match[0][1:] if len(match[1]) > 1 else replace(match)

    def walk(value: Any, pointer: str) -> Any:
        if isinstance(value, dict):
            return {key: walk(item, pointed(pointer, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, pointed(pointer, place)) for place, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return _PLACEHOLDER.sub(one, value)
        except ValueError as error:
            problems.append(Problem(pointer, str(error), parsed.line_of(pointer)))
            return value

    data = walk(parsed.data, "")
    if problems:
        raise ConfigError(*problems)
    return Parsed(data, parsed.line_of)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    name = name.strip()
    if name.upper().startswith("ROUTEX_") or name.upper().removesuffix("_FILE") in {"DATABASE_URL", "REDIS_URL"}:
        raise ValueError(f"${{env:{name}}} is one of Routex's own variables, which no document may read.")
    value = environ.get(name, "")
    if not value:
        raise ValueError(f"The environment variable {name} is not set. Set it, or write the value itself.")
    return value


def _file(name: str, data_dir: Path, environ: Mapping[str, str]) -> str:
    path = Path(name.strip()).expanduser().resolve()
    own = {
        Path(value).resolve()
        for variable, value in environ.items()
        if value
        and variable.endswith("_FILE")
        and (variable.startswith("ROUTEX_") or variable in {"DATABASE_URL_FILE", "REDIS_URL_FILE"})
    }
    # /proc holds this process's environment, and with it every variable that ${env:…} refuses.
    kernel = any(path.is_relative_to(folder) for folder in ("/proc", "/sys", "/dev"))
    if path.is_relative_to(data_dir.resolve()) or path in own or kernel:
        raise ValueError(f"${{file:{name}}} is one of Routex's or the system's own files, which no document may read.")
    try:
        if not path.is_file() or path.stat().st_size > MAX_SECRET_FILE_BYTES:
            raise ValueError(f"The file {path} is not there, is no plain file or is larger than 64 KB.")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"The file {path} cannot be read: {why}.") from None


# --- the three formats


def _no_lines(pointer: str) -> int:
    return 0


def _parse_yaml(text: str) -> Parsed:
    # Not libyaml's loader, fast as it is: a deeply nested text overflows its stack and takes the process with it.
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return Parsed(None, _no_lines)
        lines: dict[str, int] = {}
        _note_lines(root, "", lines, 0)
        return Parsed(loader.construct_document(root), lambda pointer: _nearest(lines, pointer))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(Problem("", f"This is not well-formed YAML: {error.problem}.", line)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(Problem("", f"This is not well-formed YAML: {error}.")) from None
    finally:
        loader.dispose()


def _note_lines(node: yaml.Node, pointer: str, lines: dict[str, int], depth: int) -> None:
    """Note where each part begins; a key that stands twice would silently win over the first."""
    if depth > MAX_DEPTH or len(lines) > MAX_VALUES:
        raise ConfigError(Problem("", "The document is too large or refers to itself.", node.start_mark.line + 1))
    lines.setdefault(pointer, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for place, item in enumerate(node.value):
            _note_lines(item, pointed(pointer, place), lines, depth + 1)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, item in node.value:
        line = key.start_mark.line + 1
        inner = pointed(pointer, key.value) if isinstance(key, yaml.ScalarNode) else pointer
        if inner in seen and not inner.endswith("/<<"):
            raise ConfigError(Problem(inner, "The key stands twice; keep one of them.", line))
        seen.add(inner)
        lines.setdefault(inner, line)
        _note_lines(item, inner, lines, depth + 1)


def _nearest(lines: Mapping[str, int], pointer: str) -> int:
    while pointer and pointer not in lines:
        pointer = pointer.rpartition("/")[0]
    return lines.get(pointer, 0)


def _parse_json(text: str) -> Parsed:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ConfigError(Problem("", f"The key {', '.join(twice)} stands twice in one object; keep one of them."))
        return found

    try:
        return Parsed(json.loads(text, object_pairs_hook=unique), _no_lines)
    except json.JSONDecodeError as error:
        raise ConfigError(Problem("", f"This is not well-formed JSON: {error.msg}.", error.lineno)) from None


def _parse_toml(text: str) -> Parsed:
    try:
        return Parsed(tomllib.loads(text), _no_lines)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(Problem("", f"This is not well-formed TOML: {error}.")) from None


_PARSERS: dict[str, Callable[[str], Parsed]] = {"yaml": _parse_yaml, "json": _parse_json, "toml": _parse_toml}


def _plain(value: Any, pointer: str, budget: list[int], line_of: Callable[[str], int]) -> Any:
    """Return the value as JSON could hold it; dates become texts again, which is what a slug like 2026-01-01 meant."""
    budget[0] -= 1
    if budget[0] < 0 or pointer.count("/") > MAX_DEPTH:
        raise ConfigError(Problem("", "The document is too large or refers to itself."))
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ConfigError(Problem(pointer, f"The key {key!r} is not a text; quote it.", line_of(pointer)))
        return {
            _text(key, pointer): _plain(item, pointed(pointer, key), budget, line_of) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_plain(item, pointed(pointer, place), budget, line_of) for place, item in enumerate(value)]
    if isinstance(value, dt.date):  # a datetime is one, too
        return value.isoformat()
    if isinstance(value, str):
        return _text(value, pointer)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(Problem(pointer, f"{value} is not a number that can be stored.", line_of(pointer)))
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ConfigError(Problem(pointer, f"{type(value).__name__} is nothing that a document holds.", line_of(pointer)))


def _text(value: str, pointer: str) -> str:
    if "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise ConfigError(Problem(pointer, "The text holds a character that cannot be stored."))
    return value


class _Dumper(yaml.SafeDumper):
    """Writes equal parts in full instead of referring to the first by an anchor, and indents lists."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)
