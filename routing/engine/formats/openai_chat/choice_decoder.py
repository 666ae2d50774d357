"""One answer of an upstream's stream: its deltas as events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from routing.engine.codec import Exchange
from routing.engine.formats.openai_chat.call_decoder import CallDecoder
from routing.engine.formats.openai_chat.chunks import ChunkChoice, Delta, TornTexts
from routing.engine.formats.openai_chat.content import media_of, thinking_text
from routing.engine.formats.openai_chat.think_tags import ThinkTags
from routing.engine.formats.openai_chat.vocabulary import BROKEN, DETAILS, FORMAT, finish_of
from routing.engine.logprobs import read_logprobs
from routing.engine.messages import (
    Citation,
    Cited,
    Finished,
    LogprobsDelta,
    Native,
    PartMade,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    TextDelta,
    ToolDelta,
)
from routing.engine.openai_shape import text_of

_encode = msgspec.json.Encoder().encode
_PLAIN_END = "stop"


class ChoiceDecoder:
    """Follows one choice from its first delta to its finish reason."""

    def __init__(self, exchange: Exchange, number: int) -> None:
        self.number = number
        #: The upstream's last word on why the choice ended; "" while it goes on.
        self.finish = ""
        self._exchange = exchange
        self._tags = ThinkTags() if exchange.target.capabilities.think_tags else None
        self._torn = TornTexts()
        self._calls = CallDecoder(exchange, number, self._torn)
        self._is_torn = False
        self._sequence = ""
        self._details: list[dict[str, Any]] = []
        self._is_opaque = False
        self._has_thought = False

    @property
    def is_broken(self) -> bool:
        """Whether the upstream says that it broke the answer off."""
        return self.finish in BROKEN

    def take(self, choice: ChunkChoice, is_torn: bool, events: list[StreamEvent]) -> None:
        """Append the events of one chunk."""
        self._is_torn = is_torn or bool(self._torn)
        delta = choice.delta or choice.message
        if delta is not None:
            self._read(delta, events)
        if isinstance(choice.logprobs, dict) and (tokens := read_logprobs(choice.logprobs.get("content"))):
            events.append(LogprobsDelta(tokens, self.number))
        if choice.finish_reason:
            self._read_finish(choice)
        elif choice.message is not None and choice.delta is None:
            self.finish = self.finish or _PLAIN_END  # a whole answer is at its end even if it does not say why

    def close(self, events: list[StreamEvent]) -> bool:
        """Append what was held back, and the end; return whether all of it could be told."""
        if self._tags is not None:
            thinking, text = self._tags.rest()
            self._tags = None
            self._think(thinking, events)
            self._say(text, events)
        is_nameless = self._calls.close(events)
        for key, text in self._torn.rest().items():
            if isinstance(key, int):
                events.append(ToolDelta(self._calls.number_of(key), text, self.number))
            elif key == "reasoning":
                events.append(ReasoningDelta(text, self.number))
            else:
                events.append(TextDelta(text, self.number, is_refusal=key == "refusal"))
        self._end_reasoning(events)
        finish = finish_of(self.finish, self._sequence, self._calls.count > 0)
        events.append(Finished(finish, self.number))
        return not is_nameless

    # --- what is said --------------------------------------------------------------------------------------------

    def _read(self, delta: Delta, events: list[StreamEvent]) -> None:
        if delta.reasoning_content or delta.reasoning or delta.reasoning_details or delta.thinking:
            self._read_reasoning(delta, events)
        content = delta.content
        if content:
            if type(content) is str:
                self._say(content, events)
            else:
                self._read_typed(content, events)
        if delta.refusal and isinstance(delta.refusal, str):
            self._refuse(delta.refusal, events)
        if delta.annotations or delta.images or delta.audio:
            self._read_rest(delta, events)
        if delta.tool_calls:
            self._call(delta.tool_calls, events)
        elif delta.function_call:
            self._call({"index": 0, "function": delta.function_call}, events)

    def _say(self, text: str, events: list[StreamEvent]) -> None:
        if self._tags is not None:
            thinking, text = self._tags.split(text)
            self._think(thinking, events)
        if self._is_torn:
            text = self._torn.join("text", text)
        if text:
            if self._is_opaque:
                self._end_reasoning(events)
            events.append(TextDelta(text, self.number))

    def _think(self, text: str, events: list[StreamEvent]) -> None:
        if self._is_torn:
            text = self._torn.join("reasoning", text)
        if text:
            self._has_thought = True
            events.append(ReasoningDelta(text, self.number))

    def _refuse(self, text: str, events: list[StreamEvent]) -> None:
        if self._is_torn:
            text = self._torn.join("refusal", text)
        if text:
            self._end_reasoning(events)
            events.append(TextDelta(text, self.number, is_refusal=True))

    def _call(self, entries: Any, events: list[StreamEvent]) -> None:
        if self._is_opaque:
            self._end_reasoning(events)
        self._calls.take(entries, self._is_torn, events)

    def _read_typed(self, content: Any, events: list[StreamEvent]) -> None:
        """Read content that is a list of typed parts."""
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, str):
                self._say(part, events)
            elif isinstance(part, dict):
                match part.get("type"):
                    case "thinking":
                        self._think(thinking_text(part.get("thinking")), events)
                    case "image_url":
                        self._show(part, events)
                    case _:
                        self._say(text_of(part.get("text")), events)

    # --- thinking ------------------------------------------------------------------------------------------------

    def _read_reasoning(self, delta: Delta, events: list[StreamEvent]) -> None:
        """Read thinking, told once however many members tell it."""
        details = delta.reasoning_details
        details = [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
        text = text_of(delta.reasoning_content) or text_of(delta.reasoning) or text_of(delta.thinking)
        text = text or "".join(text_of(each.get("text")) or text_of(each.get("summary")) for each in details)
        self._think(text, events)
        self._details += details
        self._is_opaque = self._is_opaque or any(each.get("data") or each.get("signature") for each in details)

    def _end_reasoning(self, events: list[StreamEvent]) -> None:
        """Append the opaque state of the thinking so far: all its details, which its issuer wants back as they were."""
        if not self._is_opaque:
            return
        state = self._exchange.issued(_encode(list(_whole_details(self._details))).decode(), DETAILS)
        events.append(ReasoningState(state, self.number, is_redacted=not self._has_thought))
        self._details, self._is_opaque = [], False

    # --- beside the text -----------------------------------------------------------------------------------------

    def _read_rest(self, delta: Delta, events: list[StreamEvent]) -> None:
        for each in _dicts(delta.annotations):
            if isinstance(source := each.get("url_citation"), dict) or isinstance(source := each, dict):
                events.append(Cited(_citation(source), self.number))
        for each in _dicts(delta.images):
            self._show(each, events)
        if isinstance(delta.audio, dict):
            events.append(PartMade(Native(FORMAT, "audio", delta.audio), self.number))

    def _show(self, image: dict[str, Any], events: list[StreamEvent]) -> None:
        link = image.get("image_url")
        url = text_of(link.get("url") if isinstance(link, dict) else link)
        if url:
            events.append(PartMade(media_of("image", url), self.number))

    def _read_finish(self, choice: ChunkChoice) -> None:
        """Take note of a finish reason: a plain stop never takes back what was said before it."""
        word = choice.finish_reason if isinstance(choice.finish_reason, str) else str(choice.finish_reason)
        if word != _PLAIN_END or not self.finish:
            self.finish = word
        self._sequence = text_of(choice.stop_reason) or text_of(choice.matched_stop) or self._sequence


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _citation(source: dict[str, Any]) -> Citation:
    start, end = source.get("start_index"), source.get("end_index")
    return Citation(
        text_of(source.get("url")),
        text_of(source.get("title")),
        start if type(start) is int else None,
        end if type(end) is int else None,
        quote=text_of(source.get("content")),
    )


def _whole_details(details: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give details that came in pieces as whole ones: pieces of one kind and index follow each other."""
    pieces: list[dict[str, Any]] = []
    for detail in details:
        if pieces and not _is_piece(pieces[-1], detail):
            yield _joined(pieces)
            pieces = []
        pieces.append(detail)
    if pieces:
        yield _joined(pieces)


def _is_piece(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same: Callable[[str], bool] = lambda name: one.get(name) == other.get(name)  # noqa: E731
    return same("type") and same("index") and not other.get("data")


def _joined(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for piece in pieces:
        whole |= {name: value for name, value in piece.items() if value is not None}
    for name in ("text", "summary"):
        if texts := [text for piece in pieces if (text := text_of(piece.get(name)))]:
            whole[name] = "".join(texts)
    return whole
