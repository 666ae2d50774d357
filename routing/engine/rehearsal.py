"""A dry run: all that a request goes through up to its first try, on a stage, and told instead of done."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import msgspec

from analytics.engine.record import AttemptRecord
from channels_app.engine.provider import UpstreamResponse
from routing.engine.attempts import Attempt
from routing.engine.call import Call
from routing.engine.choosing import prepare
from routing.engine.counting import ask_counters, estimated
from routing.engine.decision import CandidateTrace, Decision
from routing.engine.errors import GatewayError
from routing.engine.gateway import Gateway
from routing.engine.operations import is_count
from routing.engine.passage import Passage
from routing.engine.pipeline import Incoming, admit, authenticate, parse, route, spend
from routing.engine.relay import Reply
from routing.engine.sending import Committed, request_to
from routing.engine.snapshot import Candidate, Credential
from routing.engine.stage import staged


class Refusal(msgspec.Struct, frozen=True):
    """What the client would be told instead of an answer; without a wait where it is told none."""

    status: int
    code: str
    message: str
    retry_after_s: float | None = None


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a request. `channel` and `model` are those of the first try, "" when there would be none.

    `unsure` says what it depends on that only the real request finds out.
    """

    object: str = "routing.decision"
    request_id: str
    channel: str = ""
    model: str = ""
    upstream_format: str = ""
    decision: Decision
    error: Refusal | None = None
    unsure: list[str] = []


async def rehearse(call: Call, gateway: Gateway, incoming: Incoming, reply: Reply) -> None:
    """Answer a request with what would become of it; raises GatewayError where not even that can be said."""
    call.principal = authenticate(call, gateway)
    await admit(call, gateway)
    await parse(call, incoming, gateway.max_body_bytes)
    await prepare(call)
    body = msgspec.json.encode(await foresee(call, gateway))
    await reply.start(
        200,
        [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", call.id.encode()),
            (b"x-routex-dry-run", b"1"),
            (b"cache-control", b"no-store"),
        ],
    )
    await reply.end(body)


async def foresee(call: Call, gateway: Gateway) -> Rehearsed:
    """Return what would become of a parsed request now. Nothing is counted, reserved, remembered or sent."""
    assert call.snapshot is not None
    unsure: list[str] = []
    stage = staged(gateway, call.snapshot.document.tenant_id, unsure)
    try:
        groups = await spend(call, stage, route(call, stage))
        first, upstream_format = await _first_try(call, stage, groups)
    except GatewayError as refused:
        return refusal_of(call, refused, unsure)
    return Rehearsed(
        request_id=call.id,
        channel=first.channel.spec.slug,
        model=first.upstream_model,
        upstream_format=upstream_format,
        decision=_told(call),
        unsure=unsure,
    )


def refusal_of(call: Call, refused: GatewayError, unsure: Iterable[str] = ()) -> Rehearsed:
    """Return that a request would be refused, with the status that clients of its format are given."""
    status = call.format.error_reply(refused, call.id).status
    error = Refusal(status, refused.code, refused.message, refused.retry_after_s)
    return Rehearsed(request_id=call.id, decision=_told(call), error=error, unsure=list(unsure))


async def _first_try(call: Call, stage: Gateway, groups: list[list[Candidate]]) -> tuple[Candidate, str]:
    """Return who would be tried first, and in which format; "" for a count that nobody is asked for."""
    assert call.snapshot is not None and call.asked is not None
    tries = _Tries(call, stage, call.snapshot, call.asked)
    if not is_count(call.route.operation):
        answer: Committed | None = await tries.run_all(groups)
    elif (answer := await ask_counters(call, groups, tries.run_all)) is None:
        return estimated(call, groups)[0], ""
    assert answer is not None
    return answer.candidate, answer.passage.format


class _Tries(Attempt):
    """The tries of a rehearsed call: the first one that would be sent is taken for answered."""

    async def run_all(self, groups: list[list[Candidate]]) -> Committed:
        """Return the first try; who stands behind it is put in order, and looked at, as well.

        Raises:
            GatewayError: nobody would be tried; see `run`.
        """
        committed = await self.run(groups)
        for group in [group for group in groups if group][len(self.ordered) :]:
            self.ordered.append(await self.ordering.order(group))
        candidates = [candidate for group in self.ordered for candidate in group]
        for candidate in candidates[candidates.index(committed.candidate) + 1 :]:
            state = self.ordering.states[candidate.channel.spec.id]
            if self._has_credential(candidate) and not self._is_shut(candidate, state):
                self._credentials(candidate, state)
        return committed

    async def _send(self, passage: Passage, credential: Credential) -> Committed:
        await request_to(passage, self.snapshot)  # what cannot be written is refused here
        return Committed(passage, UpstreamResponse(200, [], _no_chunks(), _close), [])


async def _no_chunks() -> AsyncIterator[bytes]:
    return
    yield b""


async def _close() -> None:
    """There is nothing to close."""


def _told(call: Call) -> Decision:
    """Return the decision in words, with why each candidate would be passed over."""
    decision = call.tell()
    for attempt in call.attempts:
        if attempt.reason != "ok":
            _drop(decision.candidates, attempt)
    return decision


def _drop(traces: list[CandidateTrace], attempt: AttemptRecord) -> None:
    why = attempt.detail
    for place, trace in enumerate(traces):
        if trace.rank and not trace.dropped and (trace.channel, trace.model) == (attempt.channel, attempt.model):
            traces[place] = msgspec.structs.replace(trace, dropped=why)
            return
    traces.append(CandidateTrace(attempt.channel, attempt.model, dropped=why))
