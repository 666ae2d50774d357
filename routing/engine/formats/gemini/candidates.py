"""One of the answers as a client reads it, told at once or bit by bit."""

from __future__ import annotations

from routing.engine.codec import Exchange
from routing.engine.formats.gemini.arguments import object_of
from routing.engine.formats.gemini.finish import encode_finish
from routing.engine.formats.gemini.grounding import encode_grounding
from routing.engine.formats.gemini.media import encode_blob
from routing.engine.formats.gemini.members import Members
from routing.engine.formats.gemini.signatures import encode_signature
from routing.engine.messages import Citation, Finish, Media, Native, Opaque, Part, Reasoning, Text, ToolCall

FORMAT = "gemini"
#: What stands where nothing is said: SDKs take a candidate without parts for a broken one.
BLANK: Members = {"text": ""}


class CandidateWriter:
    """What has been told of one answer, and what is still owed at its end."""

    def __init__(self, index: int, exchange: Exchange) -> None:
        self.index = index
        self._exchange = exchange
        #: The signature of thinking that showed nothing: it goes on the next part.
        self._waiting = ""
        self._is_empty = True
        self._texts: list[tuple[int, str]] = []
        self._refusal: list[str] = []
        self._own: Members = {}
        self.citations: list[Citation] = []

    def part(self, part: Part) -> Members | None:
        """Return a part for the client, None for one that is told later or has no place here."""
        encoded: Members | None = None
        match part:
            case Text() if part.text or part.state:
                encoded = self.signed({"text": part.text}, part.state)
            case Reasoning() if part.text:
                encoded = self.signed({"text": part.text, "thought": True}, part.state, is_redacted=part.is_redacted)
            case Reasoning():
                self.sign_next(part.state, is_redacted=part.is_redacted)
            case ToolCall():
                encoded = self.call(part.id, part.name, part.arguments, part.state)
            case Media():
                encoded = self.signed(encode_blob(part), part.state)
            case Native() if part.format == FORMAT and part.kind == "candidate":
                self._own = part.value
            case Native() if part.format == FORMAT:
                encoded = dict(part.value)
            case Native():
                self._exchange.answer_losses.dropped(part.kind)
        return encoded

    def call(self, call_id: str, name: str, arguments: str, state: Opaque | None) -> Members:
        """Return a call, whole."""
        args, is_exact = object_of(arguments)
        if not is_exact:
            self._exchange.answer_losses.emulated("tool_arguments")
        function: Members = {"id": call_id} if call_id else {}
        return self.signed({"functionCall": function | {"name": name, "args": args}}, state)

    def sign_next(self, state: Opaque | None, *, is_redacted: bool = False) -> None:
        """Keep the state of thinking that showed nothing for the part that follows."""
        if state is not None:
            self._waiting = encode_signature(state, is_redacted=is_redacted)

    def signed(self, part: Members, state: Opaque | None, *, is_redacted: bool = False) -> Members:
        """Return a part with its own signature, or the one that waits for a part."""
        self._is_empty = False
        if state is not None:
            part["thoughtSignature"] = encode_signature(state, is_redacted=is_redacted)
        elif self._waiting and not part.get("thought"):
            part["thoughtSignature"], self._waiting = self._waiting, ""
        return part

    @property
    def is_plain(self) -> bool:
        """Whether the next text needs nothing beside it."""
        return not self._waiting

    def note_text(self, text: str, part: int = 0, *, is_refusal: bool = False) -> None:
        """Take note of text that was told, and of the number of its part."""
        self._is_empty = False
        self._texts.append((part, text))
        if is_refusal:
            self._refusal.append(text)

    def end(self, finish: Finish | None) -> Members:
        """Return the candidate that ends this answer: what is still owed, and why it ended."""
        message, refusal = (finish.message if finish is not None else ""), "".join(self._refusal)
        last = dict(BLANK)
        if self._waiting:
            last["thoughtSignature"] = self._waiting
        elif self._is_empty and finish is not None and finish.reason == "other":
            last["text"] = message
        is_own = self._exchange.target.format == FORMAT
        ended: Members = {
            "content": {"role": "model", "parts": [last]},
            "finishReason": encode_finish(finish, is_own=is_own, is_refusal=bool(refusal)),
            "index": self.index,
        }
        if message or refusal:
            ended["finishMessage"] = message or refusal
        sources = [citation for citation in self.citations if citation.url or citation.format == FORMAT]
        if len(sources) < len(self.citations):
            # Places in the client's own documents, which have no address.
            self._exchange.answer_losses.dropped("citations")
        if (grounding := encode_grounding(sources, self._joined_texts())) is not None:
            ended["groundingMetadata"] = grounding
        return ended | self._own

    def _joined_texts(self) -> list[tuple[int, str]]:
        """Return the texts, one for each part."""
        joined: dict[int, list[str]] = {}
        for part, text in self._texts:
            joined.setdefault(part, []).append(text)
        return [(part, "".join(texts)) for part, texts in joined.items()]
