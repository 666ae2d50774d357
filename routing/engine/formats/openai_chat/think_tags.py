"""Thinking that a server left in the text: `<think>…</think>` at its start."""

from __future__ import annotations

OPEN = "<think>"
CLOSE = "</think>"
#: White space before the tag that is still no text.
_MAX_LEAD = 32


class ThinkTags:
    """Tells thinking from text, whatever the cuts; looks at each character a constant number of times.

    States in order: `start` (no tag yet), `lead` (line ends after the tag), `thinking`, `gap` (line ends after the
    closing tag), `text`.
    """

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""

    def split(self, text: str) -> tuple[str, str]:
        """Return what is certain by now to be thinking, and what is certain to be text after it."""
        match self._state:
            case "start":
                return self._begin(self._held + text)
            case "lead" | "thinking":
                return self._think(text)
            case "gap":
                return "", self._after(text)
        return "", text

    def rest(self) -> tuple[str, str]:
        """Return what was held back, now that nothing more comes."""
        held, self._held = self._held, ""
        return ("", held) if self._state == "start" else (held, "")

    def _begin(self, text: str) -> tuple[str, str]:
        seen = text.lstrip()
        if len(text) - len(seen) <= _MAX_LEAD:
            if seen.startswith(OPEN):
                self._state, self._held = "lead", ""
                return self._think(seen[len(OPEN) :])
            if OPEN.startswith(seen):
                self._held = text
                return "", ""
        self._state, self._held = "text", ""
        return "", text

    def _think(self, text: str) -> tuple[str, str]:
        if self._state == "lead":
            text = text.lstrip("\n")
            if not text:
                return "", ""
            self._state = "thinking"
        text = self._held + text
        thinking, tag, after = text.partition(CLOSE)
        if tag:
            self._state, self._held = "gap", ""
            return thinking, self._after(after)
        cut = len(text) - _tag_begun(text)
        self._held = text[cut:]
        return text[:cut], ""

    def _after(self, text: str) -> str:
        text = text.lstrip("\n")
        if text:
            self._state = "text"
        return text


def _tag_begun(text: str) -> int:
    """Return how many characters at the end of the text may be the beginning of a closing tag."""
    return next((length for length in range(len(CLOSE) - 1, 0, -1) if text.endswith(CLOSE[:length])), 0)
