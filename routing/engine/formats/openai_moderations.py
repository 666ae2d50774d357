"""OpenAI Moderations: request and answer pass as they are; there are no streams."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from routing.engine.body import read_any, read_members, read_model, refuse_other_kinds
from routing.engine.format import Answer, Asked, Route
from routing.engine.openai_shape import AnswerFacts, OpenAIShaped, answer_of
from routing.engine.wirejson import decode

_PATH = "/v1/moderations"
#: What the API takes when a request names no model: https://platform.openai.com/docs/api-reference/moderations.
DEFAULT_MODEL = "omni-moderation-latest"


class _Moderation(AnswerFacts):
    results: list[msgspec.Raw] | None = None


_MODERATION = msgspec.json.Decoder(_Moderation)


class OpenAIModerations(OpenAIShaped):
    """OpenAI Moderations."""

    name = "openai-moderations"
    paths = {_PATH: "openai-moderations"}
    has_output = False

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract. It need not name a model."""
        members = read_members(body)
        refuse_other_kinds(members, ("input",), _PATH)
        is_unnamed = "model" not in members or read_any(members, "model") is None
        return Asked(DEFAULT_MODEL if is_unnamed else read_model(members), members=members)

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of an answer; see the contract."""
        moderation = decode(_MODERATION, body)
        answer = answer_of(moderation)
        if moderation.results is None:
            raise ValueError("the answer has no results")
        return answer
