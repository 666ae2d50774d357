"""JSON as models write it when they do not quite: mended where what was meant is plain."""

from __future__ import annotations

import re

import msgspec

#: One step through almost-JSON: a string (perhaps unended), white space, a bare word or number, or a single mark.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|\'(?:[^\'\\]|\\.)*\'?|\s+|[\w.+-]+|.', re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS = {"True": "true", "False": "false", "None": "null", "undefined": "null", "NaN": "null"}
_CONTROL = re.compile(r"[\x00-\x1f]")
_DANGLING = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")


def mended(text: str) -> str | None:
    """Return JSON text of the object or list that was meant; None when that cannot be told.

    Valid JSON comes back as it is. Mended are: a code fence, single quotes, bare and Python words, trailing and missing
    commas, raw line ends inside strings, and an end that is missing, brackets and quotes alike.
    """
    if is_json(text):
        return text
    mending = _Mending()
    for piece in _TOKEN.findall(_unfenced(text)):
        if not piece.isspace():
            mending.take(piece)
    whole = mending.whole()
    return whole if is_json(whole) else None


def _unfenced(text: str) -> str:
    """Return the text without a code fence around it."""
    text = text.strip()
    if text.startswith("```"):
        text = text.removeprefix("```").removeprefix("json")
    return text.removesuffix("```")


def is_json(text: str) -> bool:
    """Whether the text is one JSON value."""
    try:
        msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


class _Mending:
    """What has been written so far, and the brackets that are still open."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._closers: list[str] = []

    def take(self, piece: str) -> None:
        """Write one piece, with the comma that may be missing before it."""
        if piece in {"{", "["}:
            self._value(piece)
            self._closers.append("}" if piece == "{" else "]")
        elif piece in {"}", "]"}:
            self._end(piece)
        elif piece in {",", ":"}:
            if not self._expects_value():
                self._out.append(piece)
        else:
            self._value(_scalar(piece))

    def whole(self) -> str:
        """Return it with everything closed."""
        while self._closers:
            self._close(self._closers.pop())
        return "".join(self._out)

    def _expects_value(self) -> bool:
        return not self._out or self._out[-1] in {"{", "[", ",", ":"}

    def _value(self, text: str) -> None:
        if not self._expects_value():
            self._out.append(",")
        self._out.append(text)

    def _end(self, closer: str) -> None:
        while self._closers and self._closers[-1] != closer:
            self._close(self._closers.pop())
        if self._closers:
            self._close(self._closers.pop())

    def _close(self, closer: str) -> None:
        """End an object or list; what was begun in it and not said is null, or left out."""
        out = self._out
        if out[-1] == ",":
            out.pop()
        if out[-1] == ":":
            out.append("null")
        elif closer == "}" and len(out) > 1 and out[-1].startswith('"') and out[-2] in {"{", ","}:
            out.pop()  # a name without its value
            if out[-1] == ",":
                out.pop()
        out.append(closer)


def _scalar(piece: str) -> str:
    quote = piece[0]
    if quote in "\"'":
        inner = piece[1:-1] if len(piece) > 1 and piece.endswith(quote) and not _is_escaped_end(piece) else piece[1:]
        if quote == "'":
            inner = inner.replace("\\'", "'").replace('"', '\\"')
        inner = _DANGLING.sub("", inner) if inner.endswith("\\") or _DANGLING.search(inner) else inner
        return '"' + _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", inner) + '"'
    if piece in {"true", "false", "null"} or _NUMBER.fullmatch(piece):
        return piece
    return _WORDS.get(piece) or msgspec.json.encode(piece).decode()


def _is_escaped_end(piece: str) -> bool:
    """Whether the last quote is part of the string because an odd number of backslashes stands before it."""
    body = piece[:-1]
    return (len(body) - len(body.rstrip("\\"))) % 2 == 1
