"""One event of an upstream's stream, or its whole answer: the same shape, decoded as leniently as can be."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.wirejson import Halves, decode, decode_halves, mend


class Delta(msgspec.Struct, gc=False):
    """What is new in a message, or the whole message."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    reasoning_details: Any = None
    tool_calls: Any = None
    function_call: Any = None
    refusal: Any = None
    annotations: Any = None
    images: Any = None
    audio: Any = None


class ChunkChoice(msgspec.Struct, gc=False):
    """What is new in one of the answers."""

    index: Any = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: Any = None
    logprobs: Any = None
    #: The stop sequence, as some servers name it beside the finish reason.
    stop_reason: Any = None
    matched_stop: Any = None
    error: Any = None
    usage: Any = None


class Chunk(msgspec.Struct, gc=False):
    """One event. `is_torn` marks one whose text has half surrogate pairs, which wait for their other half."""

    id: Any = None
    model: Any = None
    created: Any = None
    choices: list[ChunkChoice] | None = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None
    object: Any = None
    is_torn: bool = False


class TornTexts:
    """The texts of one choice, each joined for itself (its `key`) where characters were cut in half."""

    __slots__ = ("_halves",)

    def __init__(self) -> None:
        self._halves: dict[str | int, Halves] = {}

    def __bool__(self) -> bool:
        return bool(self._halves)

    def join(self, key: str | int, text: str) -> str:
        """Return the next piece of a text as it can be told; a half at its end is held back."""
        halves = self._halves.pop(key, None) or Halves()
        text = halves.join(text)
        if halves.held:
            self._halves[key] = halves
        return text

    def rest(self) -> dict[str | int, str]:
        """Return what is left of each text at its end."""
        rest = {key: halves.rest() for key, halves in self._halves.items()}
        self._halves.clear()
        return rest


_CHUNK = msgspec.json.Decoder(Chunk)
_ANY = msgspec.json.Decoder()
#: Members of a delta that are text, cut where the upstream pleases.
_TEXTS = ("content", "reasoning_content", "reasoning", "thinking", "refusal")


def read_chunk(data: bytes) -> Chunk | None:
    """Return an event; None for JSON that is no object.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return _CHUNK.decode(data)
    except msgspec.ValidationError:
        return _odd_chunk(data)
    except msgspec.DecodeError:
        mended = mend(data)
        if mended == data:
            raise
    chunk = read_chunk(mended)
    if chunk is not None and chunk.choices:
        chunk.is_torn = True
        _put_back(chunk, decode_halves(data))
    return chunk


def _odd_chunk(data: bytes) -> Chunk | None:
    """Return what can be used of an event in which something is not of the usual type."""
    members = decode(_ANY, data)
    if isinstance(members, list) and members:
        members = members[0]
    if not isinstance(members, dict):
        return None
    choices = members.get("choices")
    kept = None
    if isinstance(choices, list):
        kept = [_plain_choice(choice) for choice in choices if isinstance(choice, dict)]
    return msgspec.convert({**members, "choices": kept, "is_torn": False}, Chunk)


def _plain_choice(choice: dict[str, Any]) -> dict[str, Any]:
    for name in ("delta", "message"):
        said = choice.get(name)
        if said is not None and not isinstance(said, dict):
            choice = {**choice, name: {"content": said} if isinstance(said, str) else None}
    return choice


def _put_back(chunk: Chunk, members: Any) -> None:
    """Put the halves back into the text of a chunk that was decoded without them."""
    for choice, given in zip(chunk.choices or (), members.get("choices") or (), strict=False):
        for delta, name in ((choice.delta, "delta"), (choice.message, "message")):
            said = given.get(name) if isinstance(given, dict) else None
            if delta is not None and isinstance(said, dict):
                _put_back_text(delta, said)


def _put_back_text(delta: Delta, said: dict[str, Any]) -> None:
    for name in _TEXTS:
        if isinstance(text := said.get(name), str):
            setattr(delta, name, text)
    calls = said.get("tool_calls")
    if not isinstance(calls, list) or not isinstance(delta.tool_calls, list):
        return
    for call, given in zip(delta.tool_calls, calls, strict=False):
        for kind, name in (("function", "arguments"), ("custom", "input")):
            inner = given.get(kind) if isinstance(given, dict) else None
            if isinstance(inner, dict) and isinstance(text := inner.get(name), str):
                call[kind][name] = text
