"""OpenAI Embeddings: request and answer pass as they are; there are no streams."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from routing.engine.body import read_members, read_model, refuse_other_kinds
from routing.engine.format import Answer, Asked, Route
from routing.engine.openai_shape import AnswerFacts, OpenAIShaped, answer_of
from routing.engine.wirejson import decode

_PATH = "/v1/embeddings"


class _Embeddings(AnswerFacts):
    data: msgspec.Raw = msgspec.Raw()


_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)


class OpenAIEmbeddings(OpenAIShaped):
    """OpenAI Embeddings."""

    name = "openai-embeddings"
    paths = {_PATH: "openai-embeddings"}

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        members = read_members(body)
        refuse_other_kinds(members, ("input",), _PATH)
        return Asked(read_model(members), members=members)

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of an answer; see the contract."""
        embeddings = decode(_EMBEDDINGS, body)
        answer = answer_of(embeddings)
        if not embeddings.data:
            raise ValueError("the answer has no data")
        return answer
