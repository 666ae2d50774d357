"""Anthropic Messages: the Format object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from routing.engine.errors import GatewayError
from routing.engine.format import NO_QUERY, Allowance, Answer, Asked, Format, Route, StreamReader
from routing.engine.formats.anthropic.passthrough import MessagesReader, read_answer, read_request
from routing.engine.formats.anthropic.vocabulary import error_body, model_card, model_list
from routing.engine.paging import page, read_size

#: What is told of an allowance of requests, and of tokens.
_HEADERS = tuple(
    tuple(b"anthropic-ratelimit-%b-%b" % (kind, what) for what in (b"limit", b"remaining", b"reset"))
    for kind in (b"requests", b"tokens", b"input-tokens", b"output-tokens")
)


class Anthropic(Format):
    """Anthropic Messages."""

    name = "anthropic"
    paths = {"/v1/messages": "anthropic", "/v1/messages/count_tokens": "anthropic:count_tokens"}
    output_limits = (("max_tokens",),)
    output_floors = (("thinking", "budget_tokens"),)
    unread_input = (b'"document"', b'"file_id"')
    heartbeat = b'event: ping\ndata: {"type":"ping"}\n\n'
    request_id_header = b"request-id"

    def speaks(self, headers: Mapping[bytes, bytes], path: str) -> bool:
        """Whether `anthropic-version` is there, which every client of the format sends."""
        return b"anthropic-version" in headers

    def read_request(self, route: Route, query: Mapping[str, str], body: bytes) -> Asked:
        """Return the facts of a request; see the contract."""
        asked = read_request(body)
        if route.operation == "anthropic:count_tokens":
            asked.is_stream = False  # whole requests are sent to be counted, and a count is no stream
        return asked

    def read_answer(self, operation: str, body: bytes) -> Answer:
        """Return the facts of a whole answer; see the contract."""
        return read_answer(body)

    def stream_reader(self, operation: str, asked: Asked) -> StreamReader:
        """Return a reader of named events."""
        return MessagesReader(asked)

    def limit_headers(
        self, requests: Allowance | None, tokens: Allowance | None, now_s: float
    ) -> tuple[tuple[bytes, bytes], ...]:
        """Return `anthropic-ratelimit-…`; a reset is a point in time.

        A limit on tokens counts input and output together: so many may be left of each.
        """
        told: list[tuple[bytes, bytes]] = []
        for names, allowance in ((_HEADERS[:1], requests), (_HEADERS[1:], tokens)):
            if allowance is not None:
                reset = datetime.fromtimestamp(math.ceil(now_s + allowance.reset_s), UTC)
                at = reset.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
                values = (b"%d" % allowance.limit, b"%d" % allowance.left, at)
                for of_kind in names:
                    told += zip(of_kind, values, strict=True)
        return tuple(told)

    def error_body(self, error: GatewayError, request_id: str) -> tuple[int, bytes]:
        """Return status and body in Anthropic's words."""
        return error_body(error, request_id)

    def model_list(self, models: Sequence[str], created_s: int, query: Mapping[str, str] = NO_QUERY) -> bytes:
        """Return `{"data": […], "has_more": …}`, all of them unless a `limit` is given."""
        size = read_size(query.get("limit"), "limit")
        found = page(models, size, after=query.get("after_id", ""), before=query.get("before_id", ""))
        return model_list(found.names, created_s, has_more=found.has_more)

    def model_card(self, model: str, created_s: int) -> bytes:
        """Return one entry of the listing."""
        return model_card(model, created_s)
