"""multipart/form-data read in passing: which fields there are and where their values stand, whatever their size.

The bytes are forwarded unread, so what is found here must be what the receiver finds. Whatever parsers are known to
read in more than one way (RFC 7578, RFC 2046 §5.1) is refused rather than guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

#: Longest value of an ordinary field that is kept; a longer one is found, and its value is cut.
MAX_VALUE_BYTES = 64 * 1024
#: Longest head of one part, and the most parts of a form.
MAX_HEAD_BYTES = 8 * 1024
MAX_PARTS = 1000

_BOUNDARY = re.compile(rb';[ \t]*boundary=(?:"([^"\\\r\n]{1,70})"|([^\s;"\\]{1,70}))(?=[ \t]*(?:;|$))', re.IGNORECASE)
_DISPOSITION = re.compile(r'form-data((?:[ \t]*;[ \t]*[\w!#$&^.+-]+\*?=(?:"(?:[^"\\]|\\.)*"|[^\s;"\\]+))*)[ \t]*', re.I)
_PARAMETER = re.compile(r';[ \t]*([\w!#$&^.+-]+\*?)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"\\]+))')
_LENGTH = re.compile(rb"^Content-Length:[ \t]*([0-9]{1,15})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_CHARSET = re.compile(r'charset=(?!"?(?:utf-?8|us-ascii)"?\s*(?:;|$))', re.IGNORECASE)


class MalformedForm(ValueError):
    """The body is not a form that every receiver reads alike; the text says where and is safe to show."""


@dataclass(frozen=True, slots=True)
class Part:
    """One field: its value stands at `start` to `end` of the body. `value` is empty for files; see MAX_VALUE_BYTES.

    `length` are the digits of its own Content-Length, which a few clients send, and `length_at` where they stand.
    """

    name: str
    start: int
    end: int
    value: bytes = b""
    is_file: bool = False
    filename: str = ""
    content_type: str = ""
    length: bytes = b""
    length_at: int = 0


def boundary_of(content_type: bytes) -> bytes:
    """Return the boundary that a request's content type names.

    Raises:
        MalformedForm: the type is another one, or names no boundary or several.
    """
    if content_type.partition(b";")[0].strip().lower() != b"multipart/form-data":
        raise MalformedForm("The content type must be multipart/form-data")
    found = _BOUNDARY.findall(content_type)
    if len(found) != 1 or content_type.lower().count(b"boundary") != 1:
        raise MalformedForm("The content type must name one boundary of 1 to 70 characters")
    quoted, plain = found[0]
    return bytes(quoted or plain)


class FormScanner:
    """Follows a form as its bytes pass; any cut of the bytes finds the same parts. Memory stays small."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first delimiter may do without its line end, as if one stood before the body.
        self._held = b"\r\n"
        self._at = -2
        self._step = self._first
        self._count = 0
        self._head: Part | None = None
        self._value = bytearray()
        self.is_complete = False

    def feed(self, chunk: bytes) -> list[Part]:
        """Return the parts that this chunk completes, in order.

        Raises:
            MalformedForm: the body is none, or may be read in more than one way.
        """
        found: list[Part] = []
        self._held += chunk
        while self._step(found):
            pass
        return found

    def finish(self) -> None:
        """The body has ended.

        Raises:
            MalformedForm: it ended in the middle.
        """
        if not self.is_complete:
            raise MalformedForm("The form has no closing boundary: it is cut, or its boundary is another one")

    # Each step looks at what is held, takes what it understands, and returns whether the next one may go on.

    def _first(self, found: list[Part]) -> bool:
        size = len(self._delimiter)
        if self._held[2:4] == b"\r\n":  # some clients begin with the line end
            self._take(2)
        if not self._delimiter.startswith(self._held[:size]):
            raise MalformedForm("The form does not begin with the boundary that its content type names")
        if len(self._held) < size:
            return False
        self._take(size)
        self._step = self._after_delimiter
        return True

    def _after_delimiter(self, found: list[Part]) -> bool:
        if len(self._held) < 2:
            return False
        if self._held.startswith(b"--"):
            self.is_complete = True
            self._step = self._epilogue
        elif self._held.startswith(b"\r\n"):
            self._take(2)
            self._count += 1
            if self._count > MAX_PARTS:
                raise MalformedForm(f"The form has more than {MAX_PARTS} parts")
            self._step = self._part_head
        else:
            raise MalformedForm(f"The boundary at byte {self._at} is followed by something else than a line end")
        return True

    def _part_head(self, found: list[Part]) -> bool:
        end = self._held.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEAD_BYTES:
            if len(self._held) > MAX_HEAD_BYTES:
                raise MalformedForm(f"The head of part {self._count} is longer than {MAX_HEAD_BYTES} bytes")
            return False
        head = self._held[:end]
        self._take(end + 4)
        self._head = _read_head(head, self._at, self._count)
        # An empty value: the line end that belongs to the delimiter is the one that ended the head.
        self._held = b"\r\n" + self._held
        self._at -= 2
        self._value.clear()
        self._step = self._part_value
        return True

    def _part_value(self, found: list[Part]) -> bool:
        head = self._head
        assert head is not None
        end = self._held.find(self._delimiter)
        # What may be the beginning of a delimiter stays held.
        passed = end if end >= 0 else max(len(self._held) - len(self._delimiter) + 1, 0)
        skipped = max(head.start - self._at, 0)  # the line end put before the value
        if not head.is_file and len(self._value) < MAX_VALUE_BYTES:
            self._value += self._held[skipped:passed]
        self._take(passed)
        if end < 0:
            return False
        value = bytes(self._value[:MAX_VALUE_BYTES])
        at = max(self._at, head.start)
        if head.length and int(head.length) != at - head.start:
            # RFC 7578 knows no such header, and yet some receivers go by it.
            raise MalformedForm(f"Part {self._count} has another length than its Content-Length says")
        found.append(replace(head, end=at, value=value))
        self._take(len(self._delimiter))
        self._step = self._after_delimiter
        return True

    def _epilogue(self, found: list[Part]) -> bool:
        self._take(len(self._held))
        return False

    def _take(self, count: int) -> None:
        self._held = self._held[count:]
        self._at += count


def _read_head(head: bytes, start: int, number: int) -> Part:
    """Return a part whose value begins at `start`, from the lines of its head."""
    fields: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if not colon or "\r" in value or "\n" in value or not re.fullmatch(r"[\w-]+", name):
            raise MalformedForm(f"The head of part {number} holds a line that is no header")
        if name.lower() in fields:
            raise MalformedForm(f"Part {number} has two {name} headers")
        fields[name.lower()] = value.strip()
    disposition = _DISPOSITION.fullmatch(fields.get("content-disposition", ""))
    if disposition is None:
        raise MalformedForm(f"Part {number} has no readable Content-Disposition: form-data")
    found = _PARAMETER.findall(disposition[1])
    parameters = {key.lower(): quoted or plain for key, quoted, plain in found}
    name = parameters.get("name", "")
    if len(parameters) != len(found) or not name or "name*" in parameters or "\\" in name:
        raise MalformedForm(f"Part {number} must have one plain name")
    content_type = fields.get("content-type", "")
    is_file = "filename" in parameters or "filename*" in parameters
    if fields.get("content-transfer-encoding", "binary").lower() not in {"binary", "8bit", "7bit"}:
        raise MalformedForm(f"Part {number} is encoded; send it as it is")
    if not is_file and _CHARSET.search(content_type):
        raise MalformedForm(f"Part {number} must be in UTF-8")
    part = Part(name, start, start, b"", is_file, parameters.get("filename", ""), content_type)
    if "content-length" not in fields:
        return part
    length = _LENGTH.search(head)
    if length is None:
        raise MalformedForm(f"Part {number} has a Content-Length that is no number")
    return replace(part, length=length[1], length_at=start - len(head) - len(b"\r\n\r\n") + length.start(1))
