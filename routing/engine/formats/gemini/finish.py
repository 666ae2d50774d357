"""Why an answer ended, in Gemini's words and ours."""

from __future__ import annotations

import re

from routing.engine.messages import Finish

#: A reason that is not known here and may well be a new one; anything else is damage.
_WORD = re.compile(r"[A-Z][A-Z0-9_]{0,59}")
#: Words for an answer that was held back.
_FILTERS = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
    }
)


def finish_of(word: str, message: str, *, has_calls: bool) -> Finish:
    """Return why an answer ended: calls count for more than the word, which is STOP for them, or a complaint."""
    if word == "MAX_TOKENS":
        return Finish("length", message=message)
    if word in _FILTERS:
        return Finish("filter", message=message, detail=word)
    if has_calls:
        return Finish("tool_calls")
    if word in {"", "STOP"}:
        return Finish("stop", message=message)
    return Finish("other", message=message, detail=word)


def encode_finish(finish: Finish | None, *, is_own: bool, is_refusal: bool) -> str:
    """Return the `finishReason`; words of the upstream are kept where it speaks the same format.

    A tool turn ends with STOP: clients take anything else for a failure.
    """
    if finish is None:
        return "STOP"
    if finish.reason == "length":
        return "MAX_TOKENS"
    if finish.reason == "filter" or (is_refusal and finish.reason == "stop"):
        return finish.detail if finish.detail in _FILTERS else "SAFETY"
    return finish.detail if finish.reason == "other" and is_own and _WORD.fullmatch(finish.detail) else "STOP"
