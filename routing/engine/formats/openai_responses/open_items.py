"""Output items that are still growing in a client's stream, and the events that each of them is told by."""

from __future__ import annotations

from typing import Any

import msgspec

from routing.engine.formats.openai_responses.output import (
    Item,
    call_item,
    message_item,
    reasoning_item,
    search_item,
    text_content,
)
from routing.engine.messages import Opaque, TextDelta, ToolBegan

_encode = msgspec.json.Encoder().encode


class EventWriter:
    """Writes named events, each with the next sequence number."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    def event(self, kind: bytes, members: bytes) -> bytes:
        """Return an event; `members` is what stands beside type and number, without braces."""
        number = self._next
        self._next += 1
        return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b}\n\n' % (kind, kind, number, members)

    def delta(self, head: bytes, text: str) -> bytes:
        """Return an event that says no more than a text; `head` is what `delta_head` made."""
        number = self._next
        self._next += 1
        return b'%b"sequence_number":%d,"delta":%b}\n\n' % (head, number, _encode(text))


def delta_head(kind: bytes, members: bytes) -> bytes:
    """Return what is the same in all deltas of one part."""
    return b'event: %b\ndata: {"type":"%b",%b,' % (kind, kind, members)


class OpenItem:
    """An item that has been added and is not done: where it stands, and how its events begin."""

    prefix = ""

    def __init__(self, writer: EventWriter, item_id: str, index: int) -> None:
        self.writer = writer
        self.id = item_id
        self.index = index
        #: The members by which each of its events names it.
        self.place = b'"item_id":"%b","output_index":%d' % (item_id.encode(), index)

    def added(self) -> bytes:
        """Return the event that announces it."""
        return self._item_event(b"response.output_item.added", self.item("in_progress"))

    def done(self, status: str) -> tuple[bytes, msgspec.Raw]:
        """Return what closes it, and the whole item as it stands in the response."""
        closing = self.close()
        raw = msgspec.Raw(_encode(self.item(status)))
        return closing + self._item_event(b"response.output_item.done", raw), raw

    def _item_event(self, kind: bytes, item: Item | msgspec.Raw) -> bytes:
        return self.writer.event(kind, b'"output_index":%d,"item":%b' % (self.index, _encode(item)))

    def close(self) -> bytes:
        """Return the events that end what is open inside it."""
        raise NotImplementedError

    def item(self, status: str) -> Item:
        """Return the item as far as it has come."""
        raise NotImplementedError


class OpenMessage(OpenItem):
    """A message and, while one is open, its growing content part."""

    prefix = "msg"

    def __init__(self, writer: EventWriter, item_id: str, index: int, phase: str) -> None:
        super().__init__(writer, item_id, index)
        self.phase = phase
        self._content: list[Any] = []
        self._open: _OpenText | None = None

    @property
    def has_open_part(self) -> bool:
        """Whether a content part is open."""
        return self._open is not None

    def text(self, event: TextDelta) -> bytes:
        """Return the events of more text, of a new part where there is none of its kind."""
        opened = b""
        part = self._open
        if part is None or part.is_refusal != event.is_refusal:
            opened = self.close()
            part = self._open = _OpenText(self.place, len(self._content), event.is_refusal)
            opened += self.writer.event(b"response.content_part.added", b"%b,%b" % (part.place, part.content()))
        if not event.text:
            return opened
        part.texts.append(event.text)
        part.chars += len(event.text)
        return opened + self.writer.delta(part.head, event.text)

    def annotate(self, annotation: Item) -> bytes:
        """Return the event of an annotation of the open text."""
        part = self._open
        if part is None or part.is_refusal:
            return b""
        part.annotations.append(annotation)
        members = b'%b,"annotation_index":%d,"annotation":%b'
        return self.writer.event(
            b"response.output_text.annotation.added",
            members % (part.place, len(part.annotations) - 1, _encode(annotation)),
        )

    def logprobs(self, tokens: list[Any]) -> bytes:
        """Return an event without text that brings the log probabilities of the last one."""
        part = self._open
        if part is None or part.is_refusal:
            return b""
        part.logprobs += tokens
        members = b'%b,"delta":"","logprobs":%b' % (part.place, _encode(tokens))
        return self.writer.event(b"response.output_text.delta", members)

    @property
    def chars(self) -> int:
        """How many characters the open part has."""
        return 0 if self._open is None else self._open.chars

    def whole_part(self, content: Item) -> bytes:
        """Return the events of a content part that comes in one piece."""
        closed = self.close()
        place = b'%b,"content_index":%d,"part":%b' % (self.place, len(self._content), _encode(content))
        self._content.append(content)
        added = self.writer.event(b"response.content_part.added", place)
        return closed + added + self.writer.event(b"response.content_part.done", place)

    def close(self) -> bytes:
        """Return the events that end the open part."""
        part, self._open = self._open, None
        if part is None:
            return b""
        whole = part.whole()
        self._content.append(whole)
        text = _encode(whole["refusal" if part.is_refusal else "text"])
        if part.is_refusal:
            said = self.writer.event(b"response.refusal.done", b'%b,"refusal":%b' % (part.place, text))
        else:
            members = b'%b,"text":%b,"logprobs":%b' % (part.place, text, _encode(part.logprobs))
            said = self.writer.event(b"response.output_text.done", members)
        return said + self.writer.event(b"response.content_part.done", b'%b,"part":%b' % (part.place, _encode(whole)))

    def item(self, status: str) -> Item:
        """Return the message with the parts that are closed."""
        return message_item(self.id, self._content, status, self.phase)


class _OpenText:
    """A content part that is growing: text or refusal."""

    __slots__ = ("annotations", "chars", "head", "is_refusal", "logprobs", "place", "texts")

    def __init__(self, place: bytes, number: int, is_refusal: bool) -> None:
        self.is_refusal = is_refusal
        self.place = b'%b,"content_index":%d' % (place, number)
        kind = b"response.refusal.delta" if is_refusal else b"response.output_text.delta"
        self.head = delta_head(kind, self.place + (b"" if is_refusal else b',"logprobs":[]'))
        self.texts: list[str] = []
        self.chars = 0
        self.annotations: list[Item] = []
        self.logprobs: list[Any] = []

    def whole(self) -> Item:
        text = "".join(self.texts)
        if self.is_refusal:
            return {"type": "refusal", "refusal": text}
        return text_content(text, self.annotations, self.logprobs)

    def content(self) -> bytes:
        return b'"part":' + _encode(self.whole())


class OpenReasoning(OpenItem):
    """A reasoning item: parts of a summary, or the words themselves."""

    prefix = "rs"

    def __init__(self, writer: EventWriter, item_id: str, index: int, *, is_verbatim: bool = False) -> None:
        super().__init__(writer, item_id, index)
        self.is_verbatim = is_verbatim
        self.state: Opaque | None = None
        #: What it thought is whole; more thinking is another item.
        self.has_ended = False
        self._whole: list[str] = []
        self._texts: list[str] | None = None
        self._number = 0
        self._head = b""

    def text(self, text: str, number: int) -> bytes:
        """Return the events of more thinking; a new number begins a new part."""
        opened = b""
        if self._texts is None or self._number != number:
            opened = self.close() + self._open(number)
        assert self._texts is not None
        self._texts.append(text)
        return opened + self.writer.delta(self._head, text)

    def _open(self, number: int) -> bytes:
        self._texts, self._number = [], number
        if self.is_verbatim:
            self._head = delta_head(b"response.reasoning_text.delta", self._place())
            return b""
        self._head = delta_head(b"response.reasoning_summary_text.delta", self._place())
        members = b'%b,"part":{"type":"summary_text","text":""}' % self._place()
        return self.writer.event(b"response.reasoning_summary_part.added", members)

    def _place(self) -> bytes:
        name = b"content_index" if self.is_verbatim else b"summary_index"
        return b'%b,"%b":%d' % (self.place, name, len(self._whole))

    def close(self) -> bytes:
        """Return the events that end the open part."""
        if self._texts is None:
            return b""
        place, text = self._place(), "".join(self._texts)
        self._texts = None
        self._whole.append(text)
        said = b'%b,"text":%b' % (place, _encode(text))
        if self.is_verbatim:
            return self.writer.event(b"response.reasoning_text.done", said)
        part = b'%b,"part":{"type":"summary_text","text":%b}' % (place, _encode(text))
        return self.writer.event(b"response.reasoning_summary_text.done", said) + self.writer.event(
            b"response.reasoning_summary_part.done", part
        )

    def item(self, status: str) -> Item:
        """Return the reasoning with the parts that are closed; such items have no status of their own."""
        return reasoning_item(self.id, self._whole, self.state, is_verbatim=self.is_verbatim)


class OpenCall(OpenItem):
    """A call of a client's tool; several may be open at once."""

    def __init__(self, writer: EventWriter, item_id: str, index: int, began: ToolBegan, call_id: str) -> None:
        super().__init__(writer, item_id, index)
        self._began = began
        self._call_id = call_id
        self._texts: list[str] = []
        self._kind = b"response.custom_tool_call_input" if began.is_custom else b"response.function_call_arguments"
        self._head = delta_head(self._kind + b".delta", self.place)

    def more(self, text: str) -> bytes:
        """Return the event of more arguments."""
        if not text:
            return b""
        self._texts.append(text)
        return self.writer.delta(self._head, text)

    def close(self) -> bytes:
        """Return the events that end the arguments; a function without any is told the empty object."""
        if self._began.is_custom:
            member, missing = b"input", b""
        else:
            member, missing = b"arguments", b"" if self._texts else self.more("{}")
        whole = b'%b,"%b":%b' % (self.place, member, _encode("".join(self._texts)))
        return missing + self.writer.event(self._kind + b".done", whole)

    def item(self, status: str) -> Item:
        """Return the call with its arguments so far."""
        began, arguments = self._began, "".join(self._texts)
        written = call_item(
            self.id, self._call_id, began.name, arguments, custom=began.is_custom, native=began.native, status=status
        )
        if status == "in_progress" and not began.is_custom:
            written["arguments"] = ""
        return written


class OpenSearch(OpenCall):
    """A search for tools that the client does: its arguments have no events of their own."""

    def more(self, text: str) -> bytes:
        """Keep more arguments."""
        self._texts.append(text)
        return b""

    def close(self) -> bytes:
        """Return nothing: the item says it all."""
        return b""

    def item(self, status: str) -> Item:
        """Return the search with its arguments, once they are whole."""
        arguments = "" if status == "in_progress" else "".join(self._texts)
        return search_item(self.id, self._call_id, arguments, status)
