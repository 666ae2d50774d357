"""Whether an upstream's bytes hold its terminal marker: judged by the specification, apart from the codecs."""

from __future__ import annotations

import json
import re
from typing import Any

_LINE_END = re.compile(rb"\r\n|\n|\r")


#: Stands for data that is no JSON.
TORN = object()


def events_in(body: bytes) -> list[tuple[str, Any]]:
    """Return each event's name and decoded data, `TORN` for what is no JSON; a last one without its end counts."""
    events: list[tuple[str, Any]] = []
    name, data = b"", []
    for line in [*_LINE_END.split(body.removeprefix(b"\xef\xbb\xbf")), b""]:
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ")
        else:
            if any(data):
                events.append((name.decode(errors="replace"), _json(b"\n".join(data))))
            name, data = b"", []
    return events


def _json(data: bytes) -> Any:
    if data.strip() == b"[DONE]":
        return {}
    try:
        # Decoders need not look at bytes that they have no use for.
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return TORN


def is_whole(name: str, body: bytes, choices: int = 1) -> bool:
    """Whether a stream of well-formed events has come to its own end."""
    events = [data if isinstance(data, dict) else {} for _, data in events_in(body)]
    if name == "anthropic":
        return any(_is_end_of_message(event) for event in events)
    if name == "openai-responses":
        return any(event.get("type") in {"response.completed", "response.incomplete"} for event in events)
    if name == "gemini":
        if any((event.get("promptFeedback") or {}).get("blockReason") for event in events):
            return True
        said = [each for event in events for each in event.get("candidates") or ()]
        return _all_finished(said, "finishReason", choices)
    said = [each for event in events for each in event.get("choices") or ()]
    return _all_finished(said, "finish_reason", choices)


def _is_end_of_message(event: dict[str, Any]) -> bool:
    """Whether an event is a message's last, or says why it stopped, to which the last adds nothing."""
    delta = event.get("delta")
    has_reason = isinstance(delta, dict) and delta.get("stop_reason") is not None
    return event.get("type") == "message_stop" or (event.get("type") == "message_delta" and has_reason)


def _all_finished(said: list[dict[str, Any]], member: str, choices: int) -> bool:
    seen = {each.get("index", 0) for each in said}
    return len(seen) >= choices and seen == {each.get("index", 0) for each in said if each.get(member)}


def may_end(name: str, event: Any) -> bool:
    """Whether a stream might be over after an event: nothing that follows has to be read."""
    if not isinstance(event, dict):
        return False
    if name == "anthropic":
        return _is_end_of_message(event)
    if name == "openai-responses":
        return event.get("type") in ("response.completed", "response.incomplete")
    said = event.get("candidates") if name == "gemini" else event.get("choices")
    finish = "finishReason" if name == "gemini" else "finish_reason"
    is_finish = isinstance(said, list) and any(isinstance(each, dict) and each.get(finish) for each in said)
    return is_finish or bool(event.get("promptFeedback"))
