"""Responses answers: model and usage of a whole one."""

from __future__ import annotations

import msgspec

from routing.engine.format import Answer
from routing.engine.openai_shape import AnswerFacts, answer_of
from routing.engine.wirejson import decode


class Response(AnswerFacts):
    """A response object, as a whole answer and inside the events that open and end a stream."""

    id: str | None = None
    created_at: int | float | None = None
    output: msgspec.Raw = msgspec.Raw()


_RESPONSE = msgspec.json.Decoder(Response)


def read_answer(body: bytes) -> Answer:
    """Return the facts of a response.

    Raises:
        ValueError: see the contract; a response with status `failed` counts as an error inside a 200.
    """
    response = decode(_RESPONSE, body)
    answer = answer_of(response)
    if not response.output:
        raise ValueError("the answer has no output")
    return answer
