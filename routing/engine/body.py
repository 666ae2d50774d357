"""Request bodies: find the members of a JSON object and replace a few in place, the other bytes untouched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from routing.engine.errors import BadRequest, named
from routing.engine.wirejson import mend

T = TypeVar("T")


@dataclass(slots=True)
class Members:
    """The top-level members of a JSON object: values as they stand there, the last one of a repeated name."""

    values: dict[str, Raw] = field(default_factory=dict)
    #: What the values were cut from: the body, or its twin of the same length (`mend`).
    text: bytes = b""

    def __contains__(self, name: str) -> bool:
        return name in self.values


_MEMBERS: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_TEXT = msgspec.json.Decoder(str)
_FLAG = msgspec.json.Decoder(bool | None)
_encode = msgspec.json.Encoder().encode

# What stands before a value: an opening brace or a comma, then the member's name, written without escapes.
_NAME = re.compile(rb'\s*[{,]\s*"([^"\\]*)"\s*:\s*')
_CLOSE = re.compile(rb"\s*\}\s*\Z")
_BYTE = re.compile(r" ?\(byte (\d+)\)")
_NEAR_CHARACTERS = 20

#: A member that shows which kind of body this is, and where that kind belongs.
_KINDS = {
    "messages": ("a Chat Completions or Messages body", "/v1/chat/completions or /v1/messages"),
    "input": ("a Responses body", "/v1/responses"),
    "contents": ("a Gemini body", "/v1beta/models/{model}:generateContent"),
}


def read_members(body: bytes) -> Members:
    """Return the members of a request body.

    Raises:
        BadRequest: the body is not UTF-8, not JSON or not an object.
    """
    try:
        if not body.isascii():
            body.decode()
        return _members(body)
    except msgspec.ValidationError as error:
        found = str(error).partition("got ")[2].strip("`")
        raise BadRequest(f"Body must be a JSON object, not {_article(found)}.") from error
    except msgspec.DecodeError as error:
        raise BadRequest(_not_json(body, str(error)), code="invalid_json") from error
    except UnicodeDecodeError as error:
        raise BadRequest(
            f"Body is not UTF-8: byte {error.start + 1} of {len(body)} is 0x{body[error.start]:02x}. "
            "Send JSON in UTF-8.",
            code="invalid_json",
        ) from error
    except RecursionError as error:
        raise BadRequest("Body is nested too deeply to be read.", code="invalid_json") from error


def _members(body: bytes) -> Members:
    try:
        return Members(_MEMBERS.decode(body), body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        text = mend(body)
        if text == body:
            raise
        return Members(_MEMBERS.decode(text), text)


def _not_json(body: bytes, reason: str) -> str:
    """Return where a body stops being JSON: line and column count from 1, column in characters."""
    if not body.strip():
        return "Body is empty; expected a JSON object."
    found = _BYTE.search(reason)
    at = min(int(found[1]), len(body)) if found else len(body)
    reason = _BYTE.sub("", reason).removeprefix("JSON is malformed: ").replace("'", "`")
    if not found:
        reason = "it ends too early"
    line_start = body.rfind(b"\n", 0, at) + 1
    line = body.count(b"\n", 0, at) + 1
    column = len(body[line_start:at].decode(errors="replace")) + 1
    return f"Body is not valid JSON: line {line} column {column}, {reason}. Near: `{_near(body, at)}`"


def _near(body: bytes, at: int) -> str:
    """Return a few characters around a place, on one line, without control characters."""
    before = body[max(at - 4 * _NEAR_CHARACTERS, 0) : at].decode(errors="replace")
    after = body[at : at + 4 * _NEAR_CHARACTERS].decode(errors="replace")
    text = before[-_NEAR_CHARACTERS:] + after[:_NEAR_CHARACTERS]
    text = "".join(character if character.isprintable() else " " for character in text)
    cut_before = len(before) > _NEAR_CHARACTERS or at > 4 * _NEAR_CHARACTERS
    cut_after = len(after) > _NEAR_CHARACTERS or at + 4 * _NEAR_CHARACTERS < len(body)
    return f"{'…' * cut_before}{text}{'…' * cut_after}"


def refuse_other_kinds(members: Members, own: tuple[str, ...], path: str) -> None:
    """Refuse a body that was meant for another path.

    A body that has one of its `own` telling members, or none of another kind's, is left for the upstream to judge.

    Raises:
        BadRequest: with the path that takes such a body.
    """
    if any(name in members for name in own):
        return
    for name, (kind, place) in _KINDS.items():
        if name in members:
            raise BadRequest(f"This is {kind} (`{name}`) on {path}. Use {place}.", code="wrong_endpoint", param=name)


def read_model(members: Members) -> str:
    """Return the asked model.

    Raises:
        BadRequest: there is none, or it is no string, or empty.
    """
    raw = members.values.get("model")
    if raw is None:
        raise BadRequest("`model` is missing. Name a model; GET /v1/models lists them.", param="model")
    model = _decode(raw, _TEXT, "model", "a string")
    if not model.strip():
        raise BadRequest("`model` is empty. Name a model; GET /v1/models lists them.", param="model")
    return model


def unknown_word(word: object, path: str, known: Iterable[str]) -> BadRequest:
    """Return the refusal of a member that must be one of a few words."""
    words = list(known)
    found = "is missing" if word is None or word == "" else f"is `{named(str(word))}`"
    close = get_close_matches(word[:100], words, n=1) if isinstance(word, str) else []
    hint = f" Did you mean `{close[0]}`?" if close else ""
    return BadRequest(f"`{path}` {found}; expected one of {', '.join(words)}.{hint}", param=path)


def read_flag(members: Members, name: str) -> bool:
    """Return a boolean member, False where it is missing or null.

    Raises:
        BadRequest: it is something else.
    """
    raw = members.values.get(name)
    return raw is not None and bool(_decode(raw, _FLAG, name, "true or false"))


def read_any(members: Members, name: str) -> Any:
    """Return a member's value, None where it is missing or cannot be read; for what may be wrong without harm."""
    raw = members.values.get(name)
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None


def _decode(raw: Raw, decoder: msgspec.json.Decoder[T], name: str, wanted: str) -> T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        found = _article(str(error).partition("got ")[2].strip("`"))
        raise BadRequest(f"`{name}` must be {wanted}, not {found}.", param=name) from error


def _article(kind: str) -> str:
    """Return msgspec's name of a JSON type in words."""
    words = {"str": "a string", "int": "a number", "float": "a number", "bool": "true or false", "array": "a list"}
    return words.get(kind, "an object" if kind == "object" else kind)


def splice(body: bytes, members: Members, changes: Mapping[str, bytes]) -> bytes:
    """Return the body with the values of some members replaced; a member that is not there yet is put first.

    `members` are those of this very body. All other bytes stay as they are, with two exceptions that no client
    library writes: a body that repeats a name with different values (servers do not agree on which one counts) or
    spells a name with escapes is written anew, each name once. The very same object is returned when nothing changes.
    """
    values, text = members.values, members.text
    added = b"".join(_encode(key) + b":" + value + b"," for key, value in changes.items() if key not in values)
    copied = text.index(b"{") + 1 if added else 0
    parts = [body[:copied], added]
    if changes.keys() & values.keys():
        pos = 0
        while (name := _NAME.match(text, pos)) is not None:
            key = name[1].decode()
            value = bytes(values[key])
            pos = name.end()
            if not text.startswith(value, pos):
                break
            if key in changes:
                parts += (body[copied:pos], changes[key])
                copied = pos + len(value)
            pos += len(value)
        if not _CLOSE.match(text, pos):
            return _encode({**values, **{key: Raw(change) for key, change in changes.items()}})
    parts.append(body[copied:])
    spliced = b"".join(parts)
    return body if spliced == body else spliced
