"""Messages as the `contents` and `systemInstruction` of an upstream."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from routing.engine.codec import Exchange
from routing.engine.formats.gemini.arguments import object_of
from routing.engine.formats.gemini.contents_decoding import OWN_PARTS
from routing.engine.formats.gemini.media import encode_blob, encode_media, general_detail
from routing.engine.formats.gemini.members import Members
from routing.engine.formats.gemini.signatures import SKIP, sendable
from routing.engine.messages import Media, Message, Native, Opaque, Part, Reasoning, Text, ToolCall, ToolResult
from routing.engine.turns import joined, merge

#: What stands for a turn that says nothing: a part must not be empty, and turns must take turns.
_BLANK: Members = {"text": " "}
#: Members that say something about the part they stand in.
_ASIDES = frozenset(
    {
        "videoMetadata",
        "partMetadata",
        "mediaProcessing",
        "mediaResolution",
        "audioTranscription",
        "speechMetadata",
        "documentMetadata",
        "spreadsheetMetadata",
        "audioMetadata",
    }
)


def encode_system(blocks: Iterable[Text]) -> Members | None:
    """Return the system instruction, block by block, None where it says nothing."""
    parts = [{"text": block.text} for block in blocks if block.text]
    return {"parts": parts} if parts else None


def encode_contents(exchange: Exchange) -> list[Members]:
    """Return the conversation: roles take turns, results stand before what is said beside them."""
    writing = _Writing(exchange)
    if any(message.role == "system" for message in exchange.request.messages):
        exchange.losses.emulated("system")
    merged = list(merge(_spoken(message) for message in exchange.request.messages))
    loop = _loop_start(merged)
    turns = [
        ("model", writing.model(parts, is_in_loop=place > loop))
        if role == "assistant"
        else ("user", writing.user(parts))
        for place, (role, parts) in enumerate(merged)
    ]
    contents: list[Members] = []
    for place, (role, parts) in enumerate(turns):
        if not parts:
            if role == "user" or not 0 < place < len(turns) - 1:
                continue
            parts = [dict(_BLANK)]
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents or [{"role": "user", "parts": [dict(_BLANK)]}]


def _loop_start(turns: Sequence[tuple[str, Sequence[Part]]]) -> int:
    """Return the place of the user's last turn that answers no call: signatures are looked for after it only."""
    asked = (
        place
        for place, (role, parts) in enumerate(turns)
        if role == "user" and not any(isinstance(part, ToolResult) for part in parts)
    )
    return max(asked, default=-1)


def _spoken(message: Message) -> Message:
    """Return a message as one of the two roles: what the operator says in between is marked as such."""
    if message.role != "system":
        return message
    said = joined(part for part in message.parts if isinstance(part, Text))
    reminder = (Text(f"<system-reminder>\n{said}\n</system-reminder>"),) if said else ()
    return Message("user", (*reminder, *(part for part in message.parts if not isinstance(part, Text))))


class _Writing:
    """One request's turns on their way out."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._losses = exchange.losses
        self._can = exchange.target.capabilities
        self._is_own_client = exchange.request.format == exchange.target.format
        self._general_detail = general_detail(exchange)

    # --- the user's turns ------------------------------------------------------------------------------------------

    def user(self, parts: list[Part]) -> list[Members]:
        """Return the parts of a user's turn: pictures out of results, the results, then the rest."""
        beside: list[Members] = []
        results: list[Members] = []
        rest: list[Members] = []
        for part in parts:
            if isinstance(part, ToolResult):
                results.append(self._result(part, beside))
            elif isinstance(part, Text):
                if part.text:
                    rest.append({"text": part.text})
            else:
                self._other(part, rest)
        return [*beside, *results, *rest]

    def _result(self, result: ToolResult, beside: list[Members]) -> Members:
        texts = [part.text for part in result.parts if isinstance(part, Text) and part.text]
        shown: list[Members] = []
        for part in result.parts:
            if isinstance(part, Media):
                if part.text:
                    texts.append(self._media(part)["text"])
                elif self._can.tool_result_media:
                    shown.append(encode_blob(part))
                else:
                    beside.append(self._media(part))
        response: Members = {"id": result.call_id} if self._can.tool_ids and result.call_id else {}
        response["name"] = result.name
        response["response"] = _response("\n\n".join(texts), result.is_error)
        if shown:
            response["parts"] = shown
        if result.native and self._is_own_client:
            response |= result.native
        return {"functionResponse": response}

    def _media(self, media: Media, *, takes_resolution: bool = False) -> Members:
        if media.detail == self._general_detail:
            media = replace(media, detail="")
        return encode_media(media, self._losses, takes_resolution=takes_resolution)

    def _other(self, part: Part, written: list[Members]) -> None:
        """Add a part that both roles may have."""
        if isinstance(part, Media):
            encoded = self._media(part, takes_resolution=self._can.tool_result_media)
            self._sign(encoded, part.state)
            written.append(encoded)
        elif isinstance(part, Native):
            if part.kind in _ASIDES and part.kind not in OWN_PARTS:
                if written:
                    written[-1].update(part.value)
            else:
                written.append(part.value)

    # --- the model's turns -----------------------------------------------------------------------------------------

    def model(self, parts: list[Part], *, is_in_loop: bool) -> list[Members]:
        """Return the parts of a model's turn, each signature on the part that the upstream looks for it on."""
        written: list[Members] = []
        thought = _ThoughtSignature()
        is_signed = any(isinstance(part, Text | ToolCall) and sendable(part.state, self._exchange) for part in parts)
        for part in parts:
            if isinstance(part, Reasoning) and self._is_own_client:
                written += self._thoughts(part)
            elif isinstance(part, Reasoning):
                thought.begin(self._thought(part, is_signed))
            elif (encoded := self._said(part, written)) is not None:
                thought.pass_on(encoded)
                written.append(encoded)
        thought.end()
        if is_in_loop and self._can.thought_signature_required:
            first = next((part for part in written if "functionCall" in part), {})
            if first:
                first.setdefault("thoughtSignature", SKIP)
        return written

    def _said(self, part: Part, written: list[Members]) -> Members | None:
        if isinstance(part, Text):
            return self._text(part)
        if isinstance(part, ToolCall):
            return self._call(part)
        self._other(part, written)
        return None

    def _thoughts(self, part: Reasoning) -> list[Members]:
        """Return a thought as the client of this format has it, none where another upstream signed it."""
        blob = sendable(part.state, self._exchange)
        if part.state is not None and not blob:
            self._losses.left_behind()
            return []
        signature = {"thoughtSignature": blob} if blob else {}
        return [{"text": part.text, "thought": True, **signature}]

    def _thought(self, part: Reasoning, is_signed: bool) -> str:
        """Return the signature of a thought that is this upstream's own; other clients' thoughts stay behind.

        In a turn that is signed elsewhere, that signature stands for the words of a thought.
        """
        blob = sendable(part.state, self._exchange)
        if not blob and (part.state is not None or not is_signed):
            self._losses.left_behind()
        return blob

    def _text(self, part: Text) -> Members | None:
        encoded: Members = {"text": part.text}
        self._sign(encoded, part.state)
        return encoded if part.text or "thoughtSignature" in encoded else None

    def _call(self, call: ToolCall) -> Members:
        arguments, is_exact = object_of(call.arguments)
        if not is_exact:
            self._losses.emulated("tool_arguments")
        function: Members = {"id": call.id} if self._can.tool_ids and call.id else {}
        encoded: Members = {"functionCall": function | {"name": call.name, "args": arguments}}
        self._sign(encoded, call.state)
        return encoded

    def _sign(self, encoded: Members, state: Opaque | None) -> None:
        if state is None:
            return
        if blob := sendable(state, self._exchange):
            encoded["thoughtSignature"] = blob
        else:
            self._losses.left_behind()


class _ThoughtSignature:
    """A thought's signature on its way to the next call, or where none comes, to the text that followed the thought.

    Thoughts themselves are not sent back for clients of other formats.
    """

    def __init__(self) -> None:
        self._blob = ""
        self._said: Members | None = None

    def begin(self, blob: str) -> None:
        if blob:
            self.end()
            self._blob, self._said = blob, None

    def pass_on(self, encoded: Members) -> None:
        if not self._blob:
            return
        if "functionCall" in encoded:
            encoded.setdefault("thoughtSignature", self._blob)
            self._blob = ""
        elif self._said is None:
            self._said = encoded

    def end(self) -> None:
        if self._blob and self._said is not None:
            self._said.setdefault("thoughtSignature", self._blob)


def _response(text: str, is_error: bool) -> dict[str, Any]:
    """Return a tool's answer as the object that a function response must be."""
    if is_error:
        return {"error": text}
    if text.lstrip()[:1] == "{":
        found, is_exact = object_of(text)
        if is_exact:
            return found
    return {"output": text}
