"""An upstream's chunks, or its whole answer, as events."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from routing.engine.codec import Exchange
from routing.engine.errors import BadRequest
from routing.engine.formats.gemini import halves
from routing.engine.formats.gemini.arguments import text_of
from routing.engine.formats.gemini.contents_decoding import OWN_PARTS
from routing.engine.formats.gemini.finish import finish_of
from routing.engine.formats.gemini.grounding import Offsets, bases_of, decode_citations, decode_grounding, in_chars
from routing.engine.formats.gemini.logprobs import decode_logprobs
from routing.engine.formats.gemini.media import decode_media
from routing.engine.formats.gemini.members import Members, camel
from routing.engine.formats.gemini.partial_args import PartialArgs
from routing.engine.formats.gemini.signatures import ON_CALL, ON_TEXT, ON_THOUGHT
from routing.engine.formats.gemini.usage import UsageNews
from routing.engine.formats.gemini.vocabulary import ErrorObject
from routing.engine.messages import (
    Began,
    Cited,
    Ended,
    Failed,
    Finish,
    Finished,
    LogprobsDelta,
    Native,
    Opaque,
    PartEnded,
    PartMade,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    TextDelta,
    TextState,
    ToolBegan,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from routing.engine.toolnames import mint_id
from routing.engine.wirejson import Halves

FORMAT = "gemini"
#: What only this format says of an answer; told to clients that speak it.
_OWN = ("safetyRatings", "groundingMetadata", "citationMetadata", "urlContextMetadata", "avgLogprobs")
#: Members of a candidate that nearly every chunk has.
_USUAL = frozenset({"content", "index", "finishReason"})


class _Candidate:
    """One of the answers, as far as it has come."""

    __slots__ = ("calls", "choice", "cited", "finish", "half", "message", "offsets", "open", "own", "partial", "texts")

    def __init__(self, choice: int) -> None:
        self.choice = choice
        self.calls = 0
        #: `text` or `thought` while one is open.
        self.open = ""
        self.finish = ""
        self.message = ""
        self.half = Halves()
        #: All text so far; measured once something is cited.
        self.texts: list[str] = []
        self.offsets = Offsets()
        self.cited: set[tuple[str, int | None, int | None]] = set()
        self.partial: _PartialCall | None = None
        self.own: Members = {}


class _PartialCall:
    """A call whose arguments come in pieces."""

    __slots__ = ("args", "whole")

    def __init__(self) -> None:
        self.args = PartialArgs()
        self.whole: Any = None


class Chunks:
    """The chunks of one answer in order. After a failure, or once closed, nothing more is read."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._is_own_client = exchange.request.format == exchange.target.format
        self._wanted = exchange.request.choices
        self._candidates: dict[int, _Candidate] = {}
        self._ids: set[str] = set()
        self._usage = UsageNews(exchange.target.capabilities.input_includes_cache)
        self._model = ""
        self._blocked: Finish | None = None
        self._has_begun = False
        self._may_have_halves = False
        self.is_over = False

    # --- chunks ----------------------------------------------------------------------------------------------------

    def read(self, data: bytes, events: list[StreamEvent]) -> None:
        """Append the events of a chunk, or of a list of chunks."""
        if self.is_over or data == b"[DONE]":
            return
        try:
            found, self._may_have_halves = halves.decode(data)
        except (ValueError, RecursionError):
            self._fail(events, "the upstream sent a chunk that is no JSON")
            return
        for chunk in found if isinstance(found, list) else (found,):
            if self.is_over:
                return
            if isinstance(chunk, dict):
                self._chunk(camel(chunk), events)

    def _fail(self, events: list[StreamEvent], message: str, status: int = 0, code: str = "") -> None:
        events.append(Failed(message, status, code))
        self.is_over = True

    def _chunk(self, chunk: Members, events: list[StreamEvent]) -> None:
        if chunk.get("error"):
            error = error_of(chunk["error"])
            message, status = error.failure
            self._fail(events, message, status, error.status if isinstance(error.status, str) else "")
            return
        said = chunk.get("candidates")
        given = [camel(each) for each in said if isinstance(each, dict)] if isinstance(said, list) else []
        candidates = [(_index(each, place), each) for place, each in enumerate(given)]
        self._model = self._model or _word(chunk.get("modelVersion"))
        usage = self._usage.news(chunk.get("usageMetadata"), candidates, self._model)
        if not self._has_begun:
            self._has_begun = True
            events.append(Began(_word(chunk.get("responseId")), self._model, usage=usage))
        if usage is not None:
            events.append(UsageReport(usage))
        for index, candidate in candidates:
            self._candidate(candidate, index, events)
        if (feedback := chunk.get("promptFeedback")) is not None:
            self._feedback(feedback)

    def _feedback(self, feedback: Any) -> None:
        if not isinstance(feedback, dict):
            return
        feedback = camel(feedback)
        reason, message = feedback.get("blockReason"), feedback.get("blockReasonMessage")
        if reason:
            said = message if isinstance(message, str) and message else f"The prompt was blocked: {reason}."
            self._blocked = Finish("filter", message=said, detail=str(reason))

    # --- candidates ------------------------------------------------------------------------------------------------

    def _number(self, index: int) -> int:
        """Return a new candidate's number: its index where the client asked for so many, else its place in the order.

        The later one of several may speak first; but an index may also be missing, or leave a gap.
        """
        if self._wanted == 1:
            return len(self._candidates)
        return index if 0 <= index < self._wanted else self._wanted + len(self._candidates)

    def _candidate(self, given: Members, index: int, events: list[StreamEvent]) -> None:
        candidate = self._candidates.get(index)
        if candidate is None:
            candidate = self._candidates[index] = _Candidate(self._number(index))
        content = given.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        is_first = not candidate.texts and not candidate.offsets.size
        if isinstance(parts, list):
            for part in parts:
                if isinstance(part, dict):
                    self._part(camel(part), candidate, events)
        reason = given.get("finishReason")
        if reason and reason != "FINISH_REASON_UNSPECIFIED":
            candidate.finish = reason.upper() if isinstance(reason, str) else "OTHER"
        if len(given) > 2 and not given.keys() <= _USUAL:
            self._said_of(given, candidate, parts if is_first and isinstance(parts, list) else [], events)

    def _said_of(self, given: Members, candidate: _Candidate, parts: list[Any], events: list[StreamEvent]) -> None:
        """Read what a chunk says of an answer beside its content."""
        message = given.get("finishMessage")
        if isinstance(message, str) and message:
            candidate.message = message
        if tokens := decode_logprobs(given.get("logprobsResult")):
            events.append(LogprobsDelta(tokens, candidate.choice))
        if given.get("groundingMetadata") is not None or given.get("citationMetadata") is not None:
            self._cite(given, candidate, parts, events)
        if self._is_own_client:
            candidate.own |= {name: given[name] for name in _OWN if given.get(name) is not None}

    def _cite(self, given: Members, candidate: _Candidate, parts: list[Any], events: list[StreamEvent]) -> None:
        bases = bases_of(parts)
        for text in candidate.texts:
            candidate.offsets.add(text)
        candidate.texts = []
        sources = [
            *decode_grounding(given.get("groundingMetadata")),
            *decode_citations(given.get("citationMetadata")),
        ]
        for source, part in sources:
            citation = in_chars(source, candidate.offsets, bases[part] if part < len(bases) else 0)
            key = (citation.url, citation.start, citation.end)
            if key in candidate.cited:
                continue
            candidate.cited.add(key)
            if candidate.open == "text":
                events.append(Cited(citation, candidate.choice))
            else:
                self._exchange.answer_losses.dropped("citations")

    # --- parts -----------------------------------------------------------------------------------------------------

    def _part(self, part: Members, candidate: _Candidate, events: list[StreamEvent]) -> None:
        text = part.get("text")
        if isinstance(text, str) and len(part) == 1:
            if text:
                self._text(text, candidate, events)
            return
        signature = part.get("thoughtSignature")
        signature = signature if isinstance(signature, str) else ""
        if (call := part.get("functionCall")) is not None:
            self._call(call, signature, candidate, events)
        elif any(part.get(key) is not None for key in OWN_PARTS):
            kind = next(key for key in OWN_PARTS if part.get(key) is not None)
            self._close(candidate, events)
            events.append(PartMade(Native(FORMAT, kind, part), candidate.choice))
        elif part.get("inlineData") is not None or part.get("fileData") is not None:
            self._media(part, signature, candidate, events)
        else:
            words = text if isinstance(text, str) else ""
            if part.get("thought") is True:
                self._thought(words, signature, candidate, events)
            else:
                self._signed_text(words, signature, candidate, events)

    def _text(self, words: str, candidate: _Candidate, events: list[StreamEvent]) -> None:
        if candidate.open != "text":
            self._open("text", candidate, events)
        if self._may_have_halves or candidate.half.held:
            words = candidate.half.join(words)
            if not words:
                return
        candidate.texts.append(words)
        events.append(TextDelta(words, candidate.choice))

    def _open(self, kind: str, candidate: _Candidate, events: list[StreamEvent]) -> None:
        self._flush_half(candidate, events)
        self._end_partial(candidate, events)
        candidate.open = kind

    def _flush_half(self, candidate: _Candidate, events: list[StreamEvent]) -> None:
        if rest := candidate.half.rest():
            kind = ReasoningDelta if candidate.open == "thought" else TextDelta
            events.append(kind(rest, candidate.choice))

    def _close(self, candidate: _Candidate, events: list[StreamEvent]) -> None:
        """End what is open: something else begins."""
        self._open("", candidate, events)

    def _signed_text(self, words: str, signature: str, candidate: _Candidate, events: list[StreamEvent]) -> None:
        if words:
            self._text(words, candidate, events)
        if not signature:
            return
        if candidate.open == "text":
            self._flush_half(candidate, events)
            events.append(TextState(self._issued(signature, ON_TEXT), candidate.choice))
            events.append(PartEnded(candidate.choice))
        else:
            place = ON_THOUGHT if candidate.open == "thought" else ON_TEXT
            self._flush_half(candidate, events)
            events.append(ReasoningState(self._issued(signature, place), candidate.choice))
        candidate.open = ""

    def _thought(self, words: str, signature: str, candidate: _Candidate, events: list[StreamEvent]) -> None:
        if words:
            if candidate.open != "thought":
                self._open("thought", candidate, events)
            if self._may_have_halves or candidate.half.held:
                words = candidate.half.join(words)
            if words:
                events.append(ReasoningDelta(words, candidate.choice))
        if signature:
            if candidate.open != "thought":
                self._open("thought", candidate, events)
            self._flush_half(candidate, events)
            events.append(ReasoningState(self._issued(signature, ON_THOUGHT), candidate.choice))
            candidate.open = ""

    def _media(self, part: Members, signature: str, candidate: _Candidate, events: list[StreamEvent]) -> None:
        if part.get("thought") is True:
            return  # a sketch on the way to the picture
        try:
            media = decode_media(part, "part")
        except BadRequest:
            return
        if media is None or not (media.data or media.url or media.file_id or media.text):
            return
        self._close(candidate, events)
        state = self._issued(signature, ON_TEXT) if signature else None
        events.append(PartMade(replace(media, state=state), candidate.choice))

    def _issued(self, signature: str, place: str) -> Opaque:
        return self._exchange.issued(signature, place)

    # --- calls -----------------------------------------------------------------------------------------------------

    def _call(self, call: Any, signature: str, candidate: _Candidate, events: list[StreamEvent]) -> None:
        if not isinstance(call, dict):
            return
        call = camel(call)
        name = call.get("name")
        if isinstance(name, str) and name:
            self._close(candidate, events)
            state = self._issued(signature, ON_CALL) if signature else None
            events.append(ToolBegan(candidate.calls, self._id(call.get("id")), name, candidate.choice, state=state))
            candidate.calls += 1
            candidate.partial = _PartialCall()
        partial = candidate.partial
        if partial is None:
            return
        if call.get("args") is not None:
            partial.whole = call["args"]
        partial.args.add(call.get("partialArgs"))
        if call.get("willContinue") is not True:
            self._end_partial(candidate, events)

    def _id(self, given: Any) -> str:
        """Return the id of a call: the upstream's, unless it has none or gave it to another call."""
        call_id = given if isinstance(given, str) and given and given not in self._ids else mint_id()
        self._ids.add(call_id)
        return call_id

    def _end_partial(self, candidate: _Candidate, events: list[StreamEvent]) -> None:
        partial, candidate.partial = candidate.partial, None
        if partial is not None:
            arguments = partial.whole if partial.whole is not None else partial.args.whole()
            number = candidate.calls - 1
            events.append(ToolDelta(number, text_of(arguments), candidate.choice))
            events.append(ToolEnded(number, candidate.choice))

    # --- the end ---------------------------------------------------------------------------------------------------

    def close(self, events: list[StreamEvent], *, is_whole: bool = False) -> None:
        """Append what the end of the bytes means; a whole answer needs no finish reason to be one."""
        if self.is_over:
            return
        self.is_over = True
        for candidate in self._candidates.values():
            self._close(candidate, events)
        if not self._is_complete(is_whole):
            return
        for candidate in self._candidates.values():
            if candidate.own:
                events.append(PartMade(Native(FORMAT, "candidate", candidate.own), candidate.choice))
            finish = finish_of(candidate.finish, candidate.message, has_calls=candidate.calls > 0)
            if self._blocked is not None and not candidate.finish:
                finish = self._blocked
            events.append(Finished(finish, candidate.choice))
        if not self._candidates and self._blocked is not None:
            events.append(Finished(self._blocked))
        events.append(Ended())

    def _is_complete(self, is_whole: bool) -> bool:
        if self._blocked is not None:
            return True
        candidates = self._candidates.values()
        return bool(candidates) and (is_whole or all(candidate.finish for candidate in candidates))


def error_of(value: Any) -> ErrorObject:
    """Return the error object of a chunk or body; one that is plain text is its message."""
    if not isinstance(value, dict):
        return ErrorObject(message=str(value))
    return ErrorObject(value.get("code"), value.get("message"), value.get("status"))


def _index(candidate: Members, place: int) -> int:
    index = candidate.get("index")
    return index if isinstance(index, int) else place


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
