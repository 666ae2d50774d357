"""Chat Completions answers: model and usage of a whole one."""

from __future__ import annotations

import msgspec

from routing.engine.format import Answer
from routing.engine.openai_shape import AnswerFacts, answer_of
from routing.engine.wirejson import decode


class _Completion(AnswerFacts):
    choices: msgspec.Raw = msgspec.Raw()


_COMPLETION = msgspec.json.Decoder(_Completion)


def read_answer(body: bytes) -> Answer:
    """Return the facts of a completion.

    Raises:
        ValueError: see the contract.
    """
    completion = decode(_COMPLETION, body)
    answer = answer_of(completion)
    if not completion.choices:
        raise ValueError("the answer has no choices")
    return answer
