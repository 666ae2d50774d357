"""Token counts: the upstream's own where it has them, else ours, so that a count never fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from routing.engine.attempts import Attempt
from routing.engine.call import Call
from routing.engine.decoding import conversation
from routing.engine.errors import BadRequest, GatewayError
from routing.engine.formats import client_codec
from routing.engine.gateway import Gateway
from routing.engine.operations import counting
from routing.engine.relay import Header, Reply, answer_headers, relay
from routing.engine.snapshot import Candidate
from routing.engine.tokens import Vocabulary, count_request

#: What an upstream answers when the request itself is wrong. Others say that it cannot count: no such endpoint or model
#: for it (404, as servers say that are only compatible), or not now (429).
_REFUSALS = frozenset({400, 413, 422})

T = TypeVar("T")
#: Tries groups of candidates one after the other.
Run = Callable[[list[list[Candidate]]], Awaitable[T]]


async def serve_count(call: Call, gateway: Gateway, groups: list[list[Candidate]], reply: Reply) -> None:
    """Answer a count: ask a channel that counts itself, and estimate where there is none or it fails.

    Raises:
        BadRequest: the body is no request of its format.
    """
    assert call.snapshot is not None and call.asked is not None
    answer = await ask_counters(call, groups, Attempt(call, gateway, call.snapshot, call.asked).run)
    if answer is not None:
        call.served_by, call.upstream_format = answer.candidate, answer.passage.format
        await relay(call, answer, reply, gateway)
        return
    candidate, body = estimated(call, groups)
    call.served_by, call.warnings = candidate, ("emulated:count_tokens",)
    headers: list[Header] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-routex-warnings", b"emulated:count_tokens"),
        *answer_headers(call, candidate),
    ]
    await reply.start(200, headers)
    await reply.end(body)


async def ask_counters(call: Call, groups: list[list[Candidate]], run: Run[T]) -> T | None:
    """Return what those candidates say that count themselves; None where there is none, or they fail.

    Raises:
        BadRequest: the body is no request of its format.
        GatewayError: the upstream says that the request is wrong.
    """
    operations = tuple(dict.fromkeys((call.route.operation, *counting())))
    able = [each for each in groups[0] if each.operation(operations)]
    if not able:
        return None
    call.operations = operations
    try:
        return await run([able])
    except BadRequest:
        raise
    except GatewayError as error:
        if error.status in _REFUSALS and error.raw_body is not None:
            raise
        return None


def estimated(call: Call, groups: Iterable[list[Candidate]]) -> tuple[Candidate, bytes]:
    """Return the count that is reckoned here, in the client's format, and for whose vocabulary.

    Raises:
        BadRequest: the body is no request of its format.
    """
    codec = client_codec(call.format.name)
    assert codec is not None
    candidate = next(each for group in groups for each in group)
    return candidate, codec.encode_count(count_request(conversation(call), vocabulary_of(candidate)))


def vocabulary_of(candidate: Candidate) -> Vocabulary:
    """Return the vocabulary nearest to a candidate's own."""
    return "claude" if "claude" in candidate.upstream_model.lower() else "o200k"
