"""OpenAI Chat Completions: the Format object."""

from __future__ import annotations

from collections.abc import Mapping

from routing.engine.format import Answer, Asked, Route, StreamReader
from routing.engine.formats.openai_chat.passthrough import ChatReader, read_answer, read_request, write_request
from routing.engine.openai_shape import OpenAIShaped


class OpenAIChat(OpenAIShaped):
    """OpenAI Chat Completions."""

    name = "openai-chat"
    paths = {"/v1/chat/completions": "openai-chat"}
    output_limits = (("max_completion_tokens",), ("max_tokens",))
    choice_counts = (("n",),)
    unread_input = (b'"file_id"', b'"file_data"')
    heartbeat = b": ka\n\n"

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        return read_request(body)

    def write_request(self, body: bytes, asked: Asked, model: str) -> bytes:
        """Return the body for an upstream; see the contract."""
        return write_request(body, asked, model)

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of a whole answer; see the contract."""
        return read_answer(body)

    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader of chunks."""
        return ChatReader(asked)
