"""Gemini bodies that pass unread: what routing needs of a request, an answer's facts, a stream's chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from routing.engine.body import Members, read_any, read_members, refuse_other_kinds, splice
from routing.engine.errors import BadRequest, GatewayError
from routing.engine.format import Answer, Asked, Route, StreamReader
from routing.engine.formats.gemini.usage import queries_in, queries_of, with_searches
from routing.engine.formats.gemini.vocabulary import ErrorObject, UsageCounts, error_body, resource_name
from routing.engine.wirejson import decode, is_json

#: What a count may wrap the request in.
_ENVELOPE = "generateContentRequest"
_OWN = ("contents", "content", "requests", _ENVELOPE)
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def read_request(route: Route, query: Mapping[str, str], body: bytes) -> Asked:
    """Return the facts of a request; the path names the model.

    Raises:
        BadRequest: see the contract.
    """
    members = read_members(body)
    method = route.operation.partition(":")[2]
    refuse_other_kinds(members, _OWN, f"a :{method} path")
    return Asked(
        route.model,
        is_stream=method == "streamGenerateContent",
        wants_sse=query.get("alt") == "sse",
        members=members,
    )


def write_request(body: bytes, asked: Asked, model: str) -> bytes:
    """Return the body, which seldom needs a change: the path names the model.

    Where the body repeats it (each request of a batch and the envelope of a count must, an embedContent may), it has
    to agree with the path.
    """
    if model == asked.model:
        return body
    changes = _renamed(asked.members, model)
    if "requests" in asked.members:
        changes["requests"] = _rename_each(bytes(asked.members.values["requests"]), model)
    if _ENVELOPE in asked.members:
        changes[_ENVELOPE] = _rename_one(bytes(asked.members.values[_ENVELOPE]), model)
    return splice(body, asked.members, changes) if changes else body


def _renamed(members: Members, model: str) -> dict[str, bytes]:
    if not isinstance(read_any(members, "model"), str):
        return {}
    return {"model": _encode(resource_name(model))}


def _rename_each(requests: bytes, model: str) -> bytes:
    try:
        elements = [bytes(element) for element in _ELEMENTS.decode(requests)]
    except ValueError:
        return requests  # no list; the upstream says what it thinks of that
    return b"[" + b",".join(_rename_one(element, model) for element in elements) + b"]"


def _rename_one(request: bytes, model: str) -> bytes:
    try:
        members = read_members(request)
    except BadRequest:
        return request
    return splice(request, members, _renamed(members, model))


class _Answer(msgspec.Struct, rename="camel"):
    candidates: msgspec.Raw = msgspec.Raw()
    usage_metadata: UsageCounts | None = None
    model_version: Any = None
    error: ErrorObject | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


def read_answer(body: bytes) -> Answer:
    """Return the facts of an answer. Token counts and embeddings report no usage.

    Raises:
        ValueError: see the contract.
    """
    answer = decode(_ANSWER, body)
    if answer.error is not None:
        raise ValueError(answer.error.failure[0])
    model = answer.model_version if isinstance(answer.model_version, str) else ""
    if answer.usage_metadata is None:
        return Answer(usage=None, model=model)
    usage = with_searches(answer.usage_metadata.total(), queries_in(answer.candidates), model)
    return Answer(usage=usage, model=model)


class _Candidate(msgspec.Struct, rename="camel"):
    index: int | None = 0
    content: msgspec.Raw = msgspec.Raw()
    finish_reason: Any = None
    grounding_metadata: Any = None


class _PromptFeedback(msgspec.Struct, rename="camel"):
    block_reason: Any = None


class _Chunk(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _PromptFeedback | None = None
    usage_metadata: UsageCounts | None = None
    model_version: Any = None
    error: ErrorObject | None = None


class _Content(msgspec.Struct):
    parts: list[dict[str, Any]] | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_CHUNKS = msgspec.json.Decoder(list[_Chunk])
_CONTENT = msgspec.json.Decoder(_Content | None)


@dataclass(slots=True)
class GeminiReader(StreamReader):
    """The upstream is always asked for events; they become array elements where the client wants an array."""

    _seen: set[int | None] = field(default_factory=set)
    _finished: set[int | None] = field(default_factory=set)
    #: Web searches of each candidate.
    _queries: dict[int | None, int] = field(default_factory=dict)
    _has_opened: bool = False
    _is_element: bool = False

    def read(self, name: bytes, data: bytes) -> None:
        """Take note of one chunk; an error may come as a list of one."""
        if data.lstrip()[:1] == b"[":
            chunks = self._decode(_CHUNKS, data)
        else:
            chunk = self._decode(_CHUNK, data)
            chunks = None if chunk is None else [chunk]
        # An array with anything but JSON in it could not be read at all, so that is left out of it.
        self._is_element = chunks is not None or is_json(data)
        for each in chunks or ():
            self._read_chunk(each)

    def _read_chunk(self, chunk: _Chunk) -> None:
        if chunk.error is not None:
            self._fail(*chunk.error.failure)
            return
        if chunk.usage_metadata is not None:
            self.usage = chunk.usage_metadata.total()
        if isinstance(chunk.model_version, str):
            self.model = chunk.model_version
        for candidate in chunk.candidates or ():
            self._seen.add(candidate.index)
            if candidate.finish_reason:
                self._finished.add(candidate.index)
            if candidate.grounding_metadata is not None:
                self._queries[candidate.index] = queries_of(candidate.grounding_metadata)
            if not self.has_content:
                content = self._decode(_CONTENT, candidate.content) or _Content()
                self.has_content = any(
                    value for part in content.parts or () for key, value in part.items() if key != "thought"
                )
        if self._queries and self.usage is not None:
            self.usage = with_searches(self.usage, self._queries, self.model)
        is_blocked = chunk.prompt_feedback is not None and bool(chunk.prompt_feedback.block_reason)
        self.is_complete = self.is_complete or is_blocked or (bool(self._seen) and self._seen == self._finished)

    def relay(self, block: bytes, data: bytes) -> bytes:
        """Return the event as it came, or its data as the array's next element."""
        if self.asked.wants_sse:
            return block
        element = data.strip()
        if element.startswith(b"["):
            element = element[1:-1].strip()
        return self._open() + element if element and self._is_element else b""

    def finish(self) -> bytes:
        """Close the array, when the stream is whole."""
        rest = StreamReader.finish(self)  # super() without arguments does not work in a slotted dataclass
        if self.asked.wants_sse or not self.is_complete:
            return rest
        return rest + b"\n]\n"

    def _open(self) -> bytes:
        before = b"\n,\r\n" if self._has_opened else b"["
        self._has_opened = True
        return before

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return the error as the last chunk. The SDKs raise on a chunk that starts with `error`."""
        body = error_body(error, request_id)[1]
        return b"data: " + body + b"\r\n\r\n" if self.asked.wants_sse else self._open() + body + b"\n]\n"
