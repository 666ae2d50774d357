"""OpenAI Responses: the Format object."""

from __future__ import annotations

from collections.abc import Mapping

from routing.engine.format import Answer, Asked, Route, StreamReader
from routing.engine.formats.openai_responses.passthrough import ResponsesReader, read_answer, read_request
from routing.engine.openai_shape import OpenAIShaped


class OpenAIResponses(OpenAIShaped):
    """OpenAI Responses."""

    name = "openai-responses"
    paths = {"/v1/responses": "openai-responses"}
    output_limits = (("max_output_tokens",),)
    kept_input = ("previous_response_id", "conversation", "prompt")
    unread_input = (b'"file_id"', b'"file_url"', b'"file_data"')
    heartbeat = b": ka\n\n"

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        return read_request(body)

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of a whole answer; see the contract."""
        return read_answer(body)

    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader of named events."""
        return ResponsesReader(asked)
