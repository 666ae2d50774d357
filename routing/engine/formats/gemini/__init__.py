"""Gemini generateContent and its neighbours: the Format object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from routing.engine.errors import GatewayError
from routing.engine.format import NO_QUERY, Answer, Asked, Format, Route, StreamReader
from routing.engine.formats.gemini.passthrough import GeminiReader, read_answer, read_request, write_request
from routing.engine.formats.gemini.vocabulary import error_body, model_card, model_list
from routing.engine.paging import page, read_size

_METHODS = frozenset({"generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"})
# google-genai 3 asks /v1, older ones and Gemini CLI /v1beta.
_VERSIONS = ("/v1beta/", "/v1/")


#: Its protocol buffers take both spellings.
_CONFIG = ("generationConfig", "generation_config")


class Gemini(Format):
    """Gemini generateContent and its neighbours."""

    name = "gemini"
    # A line end alone: the Python SDK raises on comments.
    heartbeat = b"\r\n"
    takes_key_in_query = True
    methods = _METHODS
    output_limits = tuple((outer, inner) for outer in _CONFIG for inner in ("maxOutputTokens", "max_output_tokens"))
    choice_counts = tuple((outer, inner) for outer in _CONFIG for inner in ("candidateCount", "candidate_count"))
    kept_input = ("cachedContent", "cached_content")
    unread_input = (b'"fileData"', b'"file_data"', b'"application/pdf"')
    has_output = False

    def route(self, path: str) -> Route | None:
        """Return method and model of `/{version}/models/{model}:{method}`.

        The model may contain slashes and colons; a tuned model keeps its `tunedModels/`.
        """
        version = next((version for version in _VERSIONS if path.startswith(version)), None)
        if version is None:
            return None
        resource, _, method = unquote(path[len(version) :]).rpartition(":")
        model = resource.removeprefix("models/")
        if method not in _METHODS or not model or (model == resource and not model.startswith("tunedModels/")):
            return None
        return Route(f"gemini:{method}", model)

    def speaks(self, headers: Mapping[bytes, bytes], path: str) -> bool:
        """Whether it is a Google client (google-genai 3 lists models on /v1), or on a path of Google's own."""
        return b"x-goog-api-key" in headers or b"x-goog-api-client" in headers or path.startswith("/v1beta/")

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        return read_request(route, query, body)

    def write_request(self, body: bytes, asked: Asked, model: str) -> bytes:
        """Return the body for an upstream; see the contract."""
        return write_request(body, asked, model)

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of a whole answer; see the contract."""
        return read_answer(body)

    def stream_type(self, asked: Asked) -> bytes:
        """Return the type of events, or of the array that a client without `alt=sse` reads."""
        return super().stream_type(asked) if asked.wants_sse else b"application/json; charset=utf-8"

    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader of chunks."""
        return GeminiReader(asked)

    def error_body(self, error: GatewayError, request_id: str) -> tuple[int, bytes]:
        """Return status and body in Google's words."""
        return error_body(error, request_id)

    def model_list(self, models: Sequence[str], created_s: int, query: Mapping[str, str] = NO_QUERY) -> bytes:
        """Return `{"models": […]}`, all of them unless a `pageSize` is given; the token is the last name."""
        found = page(models, read_size(query.get("pageSize"), "pageSize"), after=query.get("pageToken", ""))
        return model_list(found.names, next_page=found.names[-1] if found.has_more else "")

    def model_card(self, model: str, created_s: int) -> bytes:
        """Return one entry of the listing."""
        return model_card(model)
