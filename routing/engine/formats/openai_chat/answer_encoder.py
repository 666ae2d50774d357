"""A whole answer as a completion."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from analytics.engine.record import Usage
from routing.engine.codec import Exchange
from routing.engine.formats.openai_chat.speech import (
    note_lost,
    own_audio,
    write_call_state,
    write_citation,
    write_detail,
    write_image,
)
from routing.engine.formats.openai_chat.vocabulary import (
    DETAILS,
    answer_id,
    closing_words,
    finish_word,
    is_legacy,
    tier_word,
    usage_object,
)
from routing.engine.messages import ChatAnswer, Choice, Finish, Media, Native, Reasoning, Text, ToolCall
from routing.engine.toolnames import mint_id

JSON = dict[str, Any]

_encode = msgspec.json.Encoder().encode


def encode_answer(answer: ChatAnswer, exchange: Exchange) -> bytes:
    """Return the body of a completion."""
    choices = answer.choices or (Choice(finish=Finish("stop")),)
    body: JSON = {
        "id": answer_id(exchange.request_id),
        "object": "chat.completion",
        "created": answer.created_s or int(time.time()),
        "model": exchange.request.model,
        "choices": [_choice(choice, place, exchange) for place, choice in enumerate(choices)],
        "usage": usage_object(answer.usage or Usage()),
    }
    if answer.service_tier:
        body["service_tier"] = tier_word(answer.service_tier)
    return _encode(body)


def _choice(choice: Choice, place: int, exchange: Exchange) -> JSON:
    writing = _Message(exchange, place)
    for part in choice.parts:
        writing.add(part)
    has_calls = bool(writing.calls)
    legacy = has_calls and is_legacy(exchange.request)
    word = finish_word(choice.finish, has_calls)
    return {
        "index": place,
        "message": writing.message(choice.finish, legacy),
        "logprobs": {"content": choice.logprobs, "refusal": None} if choice.logprobs else None,
        "finish_reason": "function_call" if legacy and word == "tool_calls" else word,
    }


class _Message:
    """The members of one message, filled part by part."""

    def __init__(self, exchange: Exchange, place: int) -> None:
        self.exchange = exchange
        self.place = place
        self.texts: list[str] = []
        self.refusals: list[str] = []
        self.thoughts: list[str] = []
        self.details: list[JSON] = []
        self.annotations: list[JSON] = []
        self.calls: list[JSON] = []
        self.images: list[JSON] = []
        self.audio: JSON | None = None
        #: Characters of the text and of the thinking so far.
        self.chars = self.thought_chars = 0

    def add(self, part: Any) -> None:
        match part:
            case Text():
                self._text(part)
            case Reasoning():
                self._reasoning(part)
            case ToolCall():
                self._call(part)
            case Media(kind="image"):
                self.images.append(write_image(part))
            case Media() | Native():
                if (audio := own_audio(part)) is not None:
                    self.audio = audio
                else:
                    note_lost(part, self.exchange)

    def message(self, finish: Finish | None, is_legacy: bool) -> JSON:
        """Return the message; `content` is null where the model did something else than speak."""
        text, refusal = "".join(self.texts), "".join(self.refusals)
        if not (text or refusal or self.calls):
            text, refusal = closing_words(finish)
        message: JSON = {
            "role": "assistant",
            "content": None if not text and (self.calls or refusal) else text,
            "refusal": refusal or None,
        }
        members = {
            "annotations": self.annotations,
            "reasoning_content": "".join(self.thoughts),
            DETAILS: self.details,
            "images": self.images,
            "audio": self.audio,
        }
        message |= {name: value for name, value in members.items() if value}
        if self.calls and is_legacy:
            if len(self.calls) > 1:
                self.exchange.answer_losses.dropped("tool_calls")
            message["function_call"] = self.calls[0]["function"]
        elif self.calls:
            message["tool_calls"] = self.calls
        return message

    def _text(self, part: Text) -> None:
        if part.is_refusal:
            self.refusals.append(part.text)
            return
        start = self.chars
        self.texts.append(part.text)
        self.chars += len(part.text)
        for citation in part.citations:
            if citation.url:
                self.annotations.append(write_citation(citation, start, self.chars))
            else:
                self.exchange.answer_losses.dropped("citations")

    def _reasoning(self, part: Reasoning) -> None:
        start = self.thought_chars
        self.thoughts.append(part.text)
        self.thought_chars += len(part.text)
        if part.state is not None and part.state.blob:
            place = len(self.details)
            self.details.append(write_detail(part.state, place, start, self.thought_chars, part.is_redacted))

    def _call(self, call: ToolCall) -> None:
        seed = f"{self.exchange.request_id} {self.place} {len(self.calls)} {call.name}"
        written: JSON = {"id": call.id or mint_id(seed)}
        if call.is_custom:
            written |= {"type": "custom", "custom": {"name": call.name, "input": call.arguments}}
        else:
            arguments = call.arguments if call.arguments.strip() else "{}"
            written |= {"type": "function", "function": {"name": call.name, "arguments": arguments}}
        self.calls.append(written | write_call_state(call.state))
