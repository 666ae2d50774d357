"""Responses answers: an upstream's decoded, a client's encoded, and what error answers say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from routing.engine.codec import Exchange, UpstreamFailure
from routing.engine.failures import ErrorInside
from routing.engine.formats.openai_responses.citations import annotation_of, citation_of
from routing.engine.formats.openai_responses.content import native_part
from routing.engine.formats.openai_responses.fields import json_text
from routing.engine.formats.openai_responses.output import (
    Envelope,
    Item,
    call_item,
    full_logprobs,
    image_item,
    message_item,
    native_item,
    reasoning_item,
    search_item,
    status_of,
    text_content,
)
from routing.engine.formats.openai_responses.toolsets import as_declared, is_search_call, joined_name, set_of
from routing.engine.formats.openai_responses.vocabulary import (
    CLIENT_RUN_CALLS,
    NAME,
    REDACTED,
    STATE_OF_CALL,
    STATE_OF_TEXT,
    native_members,
    with_searches,
)
from routing.engine.logprobs import read_logprobs
from routing.engine.messages import (
    ChatAnswer,
    Choice,
    Finish,
    Media,
    Native,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
)
from routing.engine.openai_shape import code_of, failure_of, read_usage, retry_after_s, text_of
from routing.engine.toolnames import mint_id
from routing.engine.wirejson import decode, is_json

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
CALLS = ("function_call", "custom_tool_call")


# --- encoding --------------------------------------------------------------------------------------------------------


def encode_answer(answer: ChatAnswer, exchange: Exchange) -> bytes:
    """Return the body of a whole answer; see the contract."""
    choice = answer.choices[0] if answer.choices else Choice()
    envelope = Envelope(exchange, answer.id, answer.created_s)
    output = _Output(envelope, exchange, choice).items()
    status = status_of(choice.finish)
    tier = answer.service_tier
    return envelope.written(status, output, finish=choice.finish, usage=answer.usage, service_tier=tier)


class _Output:
    """Writes the parts of an answer as items; texts in a row are one message."""

    def __init__(self, envelope: Envelope, exchange: Exchange, choice: Choice) -> None:
        self._new_id = envelope.item_id
        self._exchange = exchange
        self._losses = exchange.answer_losses
        self._parts = said_at_least(choice.parts, choice.finish)
        self._logprobs = full_logprobs(choice.logprobs or [])
        self._status = status_of(choice.finish)
        self._items: list[Item] = []
        self._content: list[Item] = []
        self._phase = ""
        self._chars = 0
        self._used_ids: set[str] = set()

    def items(self) -> list[Item]:
        for part in self._parts:
            if isinstance(part, Text):
                self._text(part)
            elif isinstance(part, Native) and part.format == NAME and "part" in part.value:
                self._content.append(part.value["part"])
            else:
                self._close_message("completed")
                self._part(part)
        self._close_message(self._status)
        if self._status == "incomplete" and self._items and _breaks_off(self._items[-1]):
            self._items[-1]["status"] = "incomplete"
        return self._items

    def _text(self, text: Text) -> None:
        if self._content and text.phase != self._phase:
            self._close_message("completed")
        self._phase = text.phase
        if text.is_refusal:
            self._content.append({"type": "refusal", "refusal": text.text})
        elif text.text or text.citations:
            self._content.append(text_content(text.text, self._annotations(text), self._logprobs))
            self._logprobs = []
            self._chars += len(text.text)
        if text.state is not None:
            self._close_message("completed")
            self._items.append(reasoning_item(self._new_id("rs"), [], replace(text.state, place=STATE_OF_TEXT)))

    def _annotations(self, text: Text) -> list[Item]:
        found = [annotation_of(citation, self._chars, len(text.text)) for citation in text.citations]
        if None in found:
            self._losses.dropped("citations")
        return [each for each in found if each is not None]

    def _close_message(self, status: str) -> None:
        if self._content:
            self._items.append(message_item(self._new_id("msg"), self._content, status, self._phase))
            self._content = []

    def _part(self, part: Part) -> None:
        match part:
            case Reasoning():
                state = marked(part.state, is_redacted=part.is_redacted)
                item = reasoning_item(self._new_id("rs"), list(part.texts), state, is_verbatim=part.is_verbatim)
                self._items.append(item)
            case ToolCall():
                self._call(part)
            case Media() if part.kind == "image" and part.data:
                self._items.append(image_item(self._new_id("ig"), part))
            case Native() if part.format == NAME:
                self._items.append(native_item(self._new_id("item"), part.value))
            case Media() | Native():
                self._losses.dropped(part.kind)

    def _call(self, call: ToolCall) -> None:
        if call.state is not None:
            self._state_of_call(call.state)
        call_id = call.id if call.id and call.id not in self._used_ids else mint_id()
        self._used_ids.add(call_id)
        call = as_declared(call, self._exchange)
        if is_search_call(call, self._exchange):
            self._items.append(search_item(self._new_id("tsc"), call_id, call.arguments))
            return
        prefix = "ctc" if call.is_custom else "fc"
        custom, native = call.is_custom, call.native
        written = call_item(self._new_id(prefix), call_id, call.name, call.arguments, custom=custom, native=native)
        self._items.append(written)

    def _state_of_call(self, state: Opaque) -> None:
        """Put a call's state into the reasoning before it, or into one of its own: a call has no slot for it."""
        placed = replace(state, place=STATE_OF_CALL)
        before = self._items[-1] if self._items else {}
        if before.get("type") == "reasoning" and "encrypted_content" not in before:
            before["encrypted_content"] = reasoning_item("", [], placed)["encrypted_content"]
        else:
            self._items.append(reasoning_item(self._new_id("rs"), [], placed))


def _breaks_off(item: Item) -> bool:
    """Whether an answer that was cut short was cut in this item, its last."""
    if item["type"] == "function_call":
        return not is_json(item["arguments"].encode("utf-8", "replace"))
    return bool(item["type"] == "custom_tool_call")


def marked(state: Opaque | None, *, is_redacted: bool) -> Opaque | None:
    """Return the state of hidden thinking with the mark by which it is known on its way back."""
    return replace(state, place=REDACTED) if state is not None and is_redacted and not state.place else state


def said_at_least(parts: tuple[Part, ...], finish: Finish | None) -> tuple[Part, ...]:
    """Return an answer's parts; for an empty one the upstream's sentence about it."""
    if parts or finish is None or not finish.message:
        return parts
    return (Text(finish.message, is_refusal=finish.reason == "filter"),)


# --- decoding --------------------------------------------------------------------------------------------------------


class _Answer(msgspec.Struct):
    id: Any = None
    object: Any = None
    model: Any = None
    created_at: Any = None
    status: Any = None
    error: Any = None
    incomplete_details: Any = None
    output: Any = None
    service_tier: Any = None
    usage: msgspec.Raw = msgspec.Raw()


_ANSWER = msgspec.json.Decoder(_Answer)


def decode_answer(body: bytes, exchange: Exchange) -> ChatAnswer:
    """Return a whole answer; see the contract."""
    try:
        answer = decode(_ANSWER, body)
    except RecursionError as error:
        raise ValueError("the answer is nested too deeply") from error
    # Tuples, here and elsewhere: what an upstream says may be unhashable.
    if answer.error or answer.status in ("failed", "cancelled"):
        message, status = failure_of(answer.error)
        raise ErrorInside(status, message, code_of(answer.error))
    if answer.status in ("queued", "in_progress"):
        raise ValueError("the answer is not finished")
    if not isinstance(answer.output, list) and answer.object != "response":
        raise ValueError("the answer has no output")  # the contract names ValueError
    reading, output = _Reading(exchange), rows_of(answer.output)
    for item in output:
        if isinstance(item, dict):
            reading.item(item)
    has_calls = any(isinstance(part, ToolCall) for part in reading.parts)
    finish = finish_of(answer.incomplete_details if answer.status != "completed" else None, has_calls=has_calls)
    return ChatAnswer(
        text_of(answer.id),
        text_of(answer.model),
        seconds_of(answer.created_at),
        (Choice(tuple(reading.parts), finish, reading.logprobs or None),),
        with_searches(
            read_usage(answer.usage, exchange.target.capabilities.input_includes_cache), rows_of(answer.output)
        ),
        text_of(answer.service_tier),
    )


def seconds_of(value: Any) -> int:
    """Return a time in whole seconds since the epoch, 0 for anything else."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**63 else 0


def finish_of(incomplete: Any, *, has_calls: bool) -> Finish:
    """Return why an answer ended, from its `incomplete_details` (None when it is complete)."""
    if incomplete is not None:
        reason = text_of(incomplete.get("reason")) if isinstance(incomplete, dict) else ""
        if reason == "content_filter":
            return Finish("filter", detail=reason)
        if reason in {"max_output_tokens", "max_tokens", ""}:
            return Finish("length", detail=reason)
        return Finish("tool_calls" if has_calls else "other", detail=reason)
    return Finish("tool_calls" if has_calls else "stop")


class _Reading:
    """Reads the items of an answer, whatever members they lack."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._chars = 0
        self._used_ids: set[str] = set()
        self.parts: list[Part] = []
        self.logprobs: list[Any] = []

    def item(self, item: dict[str, Any]) -> None:
        item = plain_call(item, self._exchange)
        kind = text_of(item.get("type"))
        if kind == "message":
            self._message(item)
        elif kind in CALLS:
            self.parts.append(self._call(item, is_custom=kind == "custom_tool_call"))
        elif kind == "reasoning":
            self._reasoning(item)
        elif kind:
            self.parts.append(Native(NAME, kind, item))

    def _message(self, item: dict[str, Any]) -> None:
        content, phase = item.get("content"), text_of(item.get("phase"))
        if isinstance(content, str):
            content = [{"type": "output_text", "text": content}]
        for part in content if isinstance(content, list) else ():
            if not isinstance(part, dict):
                continue
            kind = text_of(part.get("type"))
            if kind == "refusal":
                self.parts.append(Text(text_of(part.get("refusal")), is_refusal=True, phase=phase))
            elif kind in {"output_text", "text", ""}:
                self._text(part, phase)
            else:
                self.parts.append(native_part(part, kind))

    def _text(self, part: dict[str, Any], phase: str) -> None:
        text = text_of(part.get("text"))
        citations = tuple(
            citation
            for each in rows_of(part.get("annotations"))
            if (citation := citation_of(each, self._chars)) is not None
        )
        self.parts.append(Text(text, citations=citations, phase=phase))
        self.logprobs += read_logprobs(part.get("logprobs"))
        self._chars += len(text)

    def _call(self, item: dict[str, Any], *, is_custom: bool) -> ToolCall:
        call_id = text_of(item.get("call_id")) or text_of(item.get("id"))
        if not call_id or call_id in self._used_ids:
            call_id = mint_id()
        self._used_ids.add(call_id)
        arguments = json_text(item.get("input" if is_custom else "arguments"))
        native = native_members(item) if self._exchange.request.format == NAME else None
        name = joined_name(set_of(native), text_of(item.get("name")))
        return ToolCall(call_id, name, arguments, is_custom, native=native)

    def _reasoning(self, item: dict[str, Any]) -> None:
        item_id, blob = text_of(item.get("id")), text_of(item.get("encrypted_content"))
        said = texts_of(item.get("content"))
        texts = said or texts_of(item.get("summary"))
        state = self._exchange.issued(blob, item_id) if blob else None
        if texts or state is not None:
            self.parts.append(Reasoning(tuple(texts), state, is_verbatim=bool(said), id=item_id))


def plain_call(item: dict[str, Any], exchange: Exchange) -> dict[str, Any]:
    """Return a call of a tool that clients of this format know without its schema as a function's, for all others."""
    kind = text_of(item.get("type"))
    if kind not in CLIENT_RUN_CALLS or exchange.request.format == NAME:
        return item
    told = {name: item.get(name) for name in ("id", "call_id")}
    return {**told, "type": "function_call", "name": kind, "arguments": item.get(CLIENT_RUN_CALLS[kind])}


def rows_of(value: Any) -> list[Any]:
    """Return a list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def texts_of(parts: Any) -> list[str]:
    """Return the texts of a list of text parts, without empty ones."""
    if isinstance(parts, str):
        parts = [parts]
    found = (part if isinstance(part, str) else text_of(_member(part, "text")) for part in rows_of(parts))
    return [text for text in found if text]


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


# --- errors ----------------------------------------------------------------------------------------------------------


def decode_error(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
    """Return what an error answer says; see the contract."""
    try:
        said = decode(_ANY, body)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, list) and said:
        said = said[0]
    error = _member(said, "error") or said
    if isinstance(error, str):
        return UpstreamFailure(error, retry_after_s=retry_after_s(headers, error))
    message = _first_text(error, ("message", "detail", "msg", "error_description"))
    code, kind = _member(error, "code"), text_of(_member(error, "type"))
    return UpstreamFailure(message, text_of(code), kind, retry_after_s(headers, message))


def _first_text(error: Any, names: Iterable[str]) -> str:
    found = (_member(error, name) for name in names)
    return next((json_text(value) for value in found if value), "")
