"""What is fuzzed: how it decodes bytes, what must hold of any, where random inputs start, which ones are hostile."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from hypothesis import strategies as st

from routing.engine import jsonmend, openapi, provenance, schema, tokens
from routing.engine.errors import BadRequest
from routing.engine.messages import Opaque, Origin
from routing.engine.sse import EventSplitter, parse_event
from routing.engine.toolnames import ToolNames, fit_id
from tests.routing.engine.translation import checks, mutations, samples, talking, words
from tests.routing.engine.translation.fuzz import hostile, rich
from tests.routing.engine.translation.fuzz.hostile import Hostile
from tests.routing.engine.translation.talking import CLIENTS, UPSTREAMS, asked, exchange, pieces


@dataclass(frozen=True)
class Target:
    """One decoder. `decode` is what is timed; `check` raises when a promise is broken."""

    name: str
    decode: Callable[[bytes], object]
    check: Callable[[bytes], object]
    cases: st.SearchStrategy[bytes]
    hostile: Hostile = field(default_factory=dict)


def targets() -> dict[str, Target]:
    """Return all targets, by name."""
    made = [_to_openapi(), _from_openapi(), _object_schema(), _mended(), _tokens(), _events(), _unwrap(), _names()]
    for name in UPSTREAMS:
        made += [_answer(name), _error(name), _stream(name)]
        made += [_request(name)] if name in CLIENTS else []
    return {target.name: target for target in sorted(made, key=lambda each: each.name)}


_ANY_BYTES = st.one_of(st.binary(max_size=80), st.sampled_from(mutations.ODD_EVENTS))


def _bodies(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    torn = values.map(msgspec.json.encode).flatmap(mutations.torn)
    return st.one_of(values.flatmap(mutations.wrong_types), torn, _ANY_BYTES)


def _request(name: str) -> Target:
    def decode(body: bytes) -> None:
        try:
            talking.client(name).decode_request(body, model="m")
        except BadRequest:
            return

    grown = hostile.grown(rich.request_body(name))
    check = partial(checks.request_onwards, name)
    return Target(f"request {name}", decode, check, _bodies(samples.requests(name)), hostile.JSON | grown)


def _answer(name: str) -> Target:
    def decode(body: bytes) -> None:
        try:
            talking.upstream(name).decode_answer(body, exchange(asked("openai-chat"), name))
        except ValueError:
            return

    grown = hostile.grown(rich.answer_body(name)) if name in CLIENTS else {}
    check = partial(checks.answer_onwards, name)
    return Target(f"answer {name}", decode, check, _bodies(samples.answers(name)), hostile.JSON | grown)


def _error(name: str) -> Target:
    said = {
        "error": {
            "message": "Slow down",
            "type": "x",
            "code": 429,
            "status": "S",
            "param": "p",
            "details": [{"@type": "t", "retryDelay": "2s"}],
        }
    }
    bodies = st.sampled_from((said, {"type": "error", **said}, [said], {"message": "m"}, {"detail": [{"msg": "m"}]}))
    check = partial(checks.error, name)
    return Target(f"error {name}", check, check, _bodies(bodies), hostile.JSON | hostile.grown(said))


def _stream(name: str) -> Target:
    def decode(body: bytes) -> None:
        checks.events(name, pieces(body, 4096))

    def check(body: bytes) -> None:
        checks.stream(name, body)
        checks.stream_onwards(name, body)

    valid = samples.streams(name)
    odd = st.lists(st.sampled_from(mutations.ODD_EVENTS), max_size=4).map(b"".join)
    cases = st.one_of(valid.flatmap(mutations.spliced), valid.flatmap(mutations.torn), _ANY_BYTES, odd)
    return Target(f"stream {name}", decode, check, cases, hostile.SSE | hostile.JSON | hostile.streams(name))


# --- what the codecs share -----------------------------------------------------------------------------------------


def _as_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def _schema_target(name: str, turned: Callable[[Any], Any]) -> Target:
    def decode(body: bytes) -> object:
        value = _as_json(body)
        return turned(value) if isinstance(value, dict) else None

    def check(body: bytes) -> None:
        json.dumps(decode(body))

    keys = st.sampled_from(
        [
            "type",
            "properties",
            "items",
            "anyOf",
            "oneOf",
            "allOf",
            "$ref",
            "$defs",
            "enum",
            "const",
            "nullable",
            "required",
            "format",
            "prefixItems",
            "not",
            "minItems",
            "maxLength",
            "additionalProperties",
            "default",
            "a",
            "b",
        ]
    )
    leaves = st.one_of(
        st.sampled_from(
            (None, True, 0, 1.5, "string", "null", "OBJECT", "#", "#/$defs/a", "#/properties/a", "date-time", "7")
        )
    )
    anything = st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
        max_leaves=12,
    )
    schemas = st.one_of(st.dictionaries(keys, anything, max_size=5), words.object_schemas)
    return Target(name, decode, check, schemas.map(mutations.dump), hostile.SCHEMAS)


def _to_openapi() -> Target:
    return _schema_target("openapi.to_openapi", openapi.to_openapi)


def _from_openapi() -> Target:
    return _schema_target("openapi.from_openapi", openapi.from_openapi)


def _object_schema() -> Target:
    return _schema_target("schema.object_schema", schema.object_schema)


def _text_target(name: str, used: Callable[[str], object], cases: st.SearchStrategy[str], worst: Hostile) -> Target:
    def decode(body: bytes) -> object:
        return used(body.decode(errors="replace"))

    return Target(name, decode, decode, cases.map(lambda text: text.encode()), worst)


def _mended() -> Target:
    def used(text: str) -> None:
        mended = jsonmend.mended(text)
        assert mended is None or jsonmend.is_json(mended), f"{mended!r} is no JSON"
        assert not jsonmend.is_json(text) or mended == text, "valid JSON was changed"

    pieces_of = (
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        ":",
        ",",
        "a",
        "1",
        " ",
        "\n",
        "\\",
        "True",
        "```json",
        "```",
        "null",
        "\\u12",
    )
    cases = st.one_of(words.loose_arguments, st.lists(st.sampled_from(pieces_of), max_size=14).map("".join))
    worst: Hostile = dict(hostile.JSON) | {
        "quotes": lambda size: b"'" * size,
        "fences": lambda size: b"```json " * (size // 8),
        "words": lambda size: b"{" + b"a:True," * (size // 7),
        "strings without end": lambda size: b'{"' + b'a\\"' * (size // 3),
    }
    return _text_target("jsonmend", used, cases, worst)


def _tokens() -> Target:
    def used(text: str) -> None:
        assert tokens.count_text(text) >= 0

    worst: Hostile = dict(hostile.JSON) | {
        "letters": lambda size: b"x" * size,
        "emoji": lambda size: "😀".encode() * (size // 4),
    }
    return _text_target("tokens", used, words.texts, worst)


def _events() -> Target:
    def decode(body: bytes) -> list[tuple[bytes, bytes]]:
        splitter = EventSplitter()
        found = [parse_event(block) for chunk in pieces(body, 4096) for block in splitter.feed(chunk)]
        return [*found, parse_event(splitter.rest)]

    def check(body: bytes) -> None:
        for size in (1, 7, 4096):
            splitter = EventSplitter()
            cut = [block for chunk in pieces(body, size) for block in splitter.feed(chunk)]
            assert b"".join(cut) + splitter.rest == body, "bytes were lost or made up"
            assert [parse_event(block) for block in cut] == [parse_event(block) for block in EventSplitter().feed(body)]

    lines = (
        b"\n",
        b"\r\n",
        b"\r",
        b"data: a",
        b"data:b",
        b"data",
        b"event: n",
        b": c",
        b"id: 1",
        b"\xe2\x80\xa8",
        b"\xef\xbb\xbf",
        b"\xff",
    )
    cases = st.lists(st.sampled_from(lines), max_size=16).map(b"".join)
    return Target("sse.EventSplitter", decode, check, st.one_of(cases, _ANY_BYTES), hostile.SSE)


def _unwrap() -> Target:
    def decode(body: bytes) -> tuple[Opaque, Opaque]:
        text = body.decode(errors="replace")
        return provenance.unwrap(text), provenance.unwrap_bytes(text)

    def check(body: bytes) -> None:
        for state in decode(body):
            assert checks.faults(state) == []
            if state.origin is None:
                assert state == Opaque(body.decode(errors="replace")), "a blob of unknown origin was changed"
            else:
                assert provenance.unwrap(provenance.wrap(state)) == state
                assert provenance.unwrap_bytes(provenance.wrap_bytes(state)) == state

    states = st.builds(
        Opaque,
        words.texts,
        st.builds(Origin, *[st.sampled_from(("", "a", "gemini-3"))] * 4),
        st.sampled_from(("", "call")),
    )
    wrapped = st.one_of(states.map(provenance.wrap), states.map(provenance.wrap_bytes)).map(str.encode)
    worst: Hostile = {
        "colons": lambda size: b"rtx1:" + b":" * size,
        "a long blob": lambda size: b"rtx1:a:b:c:d:" + b"eHxh" * (size // 4),
        "a wrapper in base64": lambda size: provenance.wrap_bytes(Opaque("x" * (size // 2), Origin("a"))).encode(),
        "marks": lambda size: b"cnR4MT" * (size // 6),
        "pads": lambda size: b"rtx1:a:b:c:d:" + b"=" * size,
    }
    return Target("provenance.unwrap", decode, check, st.one_of(wrapped.flatmap(mutations.torn), wrapped), worst)


def _names() -> Target:
    def decode(body: bytes) -> tuple[str, str]:
        text = body.decode(errors="replace")
        names = ToolNames(64)
        assert names.restore(names.fit(text)) == text, "a name was not restored"
        return names.fit(text), fit_id(text, r"^[a-zA-Z0-9_-]+$", 40)

    def check(body: bytes) -> None:
        name, call_id = decode(body)
        assert 0 < len(name) <= 64 and name.replace("_", "a").replace("-", "a").isalnum() and name.isascii(), name
        assert 0 < len(call_id) <= 40 and (call_id, name) == decode(body)[::-1], "not the same the next time"

    texts = st.one_of(words.tool_names, words.texts, st.text("a_-. ", max_size=90)).map(lambda text: text.encode())
    worst: Hostile = {
        "a long name": lambda size: b"x" * size,
        "a strange name": lambda size: b"\xc3\xa9 " * (size // 3),
    }
    return Target("toolnames", decode, check, texts, worst)
