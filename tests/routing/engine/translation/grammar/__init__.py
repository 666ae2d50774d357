"""What a client's SDK demands of a stream, checked event by event: each format's grammar in the plainest words.

`assert_clean` and `assert_error` are for tests; `reading_of` says what is wrong with a stream and how it ended.
"""

from __future__ import annotations

from typing import Any

from tests.routing.engine.translation.grammar.anthropic import AnthropicReading
from tests.routing.engine.translation.grammar.chat import ChatReading
from tests.routing.engine.translation.grammar.gemini import GeminiArrayReading, GeminiReading
from tests.routing.engine.translation.grammar.reading import Reading
from tests.routing.engine.translation.grammar.responses import ResponsesReading

READINGS: dict[str, type[Reading]] = {
    "anthropic": AnthropicReading,
    "gemini": GeminiReading,
    "gemini array": GeminiArrayReading,
    "openai-chat": ChatReading,
    "openai-responses": ResponsesReading,
}


def reading_of(name: str, told: bytes, **options: Any) -> Reading:
    """Return the reading of a whole stream in a client's format."""
    reading = READINGS[name](**options)
    reading.read(told)
    reading.close()
    return reading


def assert_clean(name: str, told: bytes, **options: Any) -> list[dict[str, Any]]:
    """Return the events of a stream that keeps its grammar and ends well."""
    reading = reading_of(name, told, **options)
    assert reading.problems == [], _report(reading, told)
    assert reading.ending == "clean", _report(reading, told)
    return reading.events


def assert_error(name: str, told: bytes, **options: Any) -> list[dict[str, Any]]:
    """Return the events of a stream that keeps its grammar and ends with an error."""
    reading = reading_of(name, told, **options)
    assert reading.problems == [], _report(reading, told)
    assert reading.ending == "error", _report(reading, told)
    return reading.events


def _report(reading: Reading, told: bytes) -> str:
    return f"ending: {reading.ending}; problems: {reading.problems}; told: {told.decode(errors='backslashreplace')}"
