"""Random answers within what a format can carry, and the many ways in which a stream may tell one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import strategies as st
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.answers import events_of
from routing.engine.messages import (
    ChatAnswer,
    Choice,
    Citation,
    Finish,
    Opaque,
    Part,
    ReasoningDelta,
    StreamEvent,
    Text,
    TextDelta,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolEnded,
    UsageReport,
)
from tests.routing.engine.translation import words
from tests.routing.engine.translation.carries import Carries
from tests.routing.engine.translation.conversations import reasonings

CREATED_S = 1_790_000_000
_TOKEN = st.builds(
    lambda token, value: {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []},
    words.spoken,
    st.sampled_from((-0.5, -1.25, 0.0)),
)


@st.composite
def usages(draw: st.DrawFn, carries: Carries) -> Usage:
    """Draw counts that agree with one another: parts are never more than their wholes."""
    read, write, fresh = draw(words.tokens), draw(words.tokens), draw(words.tokens)
    thought, said = draw(words.tokens), draw(words.tokens)
    if "cache_write_tokens" in carries.uncounted:
        write = 0
    return Usage(
        input_tokens=fresh + read + write,
        output_tokens=said + thought,
        cache_read_tokens=read,
        cache_write_tokens=write,
        reasoning_tokens=thought,
    )


@st.composite
def answers(draw: st.DrawFn, carries: Carries, most_choices: int | None = None) -> ChatAnswer:
    """Draw a whole answer."""
    most = carries.choices if most_choices is None else most_choices
    choices = [_choice(draw, carries) for _ in range(draw(st.integers(1, most)))]
    return ChatAnswer("up_1", "upstream-model", CREATED_S, tuple(choices), draw(usages(carries)))


def _choice(draw: st.DrawFn, carries: Carries) -> Choice:
    parts = draw(st.lists(_parts(carries), min_size=1, max_size=4))
    parts = _with_ids_of_their_own(parts)
    finish = draw(carries.finishes)
    if any(isinstance(part, ToolCall) for part in parts) and finish.reason not in {"length", "filter"}:
        finish = Finish("tool_calls")
    if any(isinstance(part, Text) and part.is_refusal for part in parts):
        finish = Finish("filter")
    logprobs = draw(st.one_of(st.none(), st.lists(_TOKEN, min_size=1, max_size=2))) if carries.logprobs else None
    return Choice(tuple(parts), finish, logprobs)


def _parts(carries: Carries) -> st.SearchStrategy[Part]:
    states = st.builds(Opaque, words.blobs)
    signed = st.one_of(st.none(), states) if "text" in carries.states else st.none()
    kinds: list[st.SearchStrategy[Part]] = [
        st.builds(Text, words.spoken, state=signed, phase=st.sampled_from(_phases(carries))),
        reasonings(carries),
        st.builds(
            ToolCall,
            words.call_ids,
            words.tool_names,
            carries.arguments,
            state=st.one_of(st.none(), states) if "call" in carries.states else st.none(),
        ),
    ]
    if "refusals" in carries.keeps:
        kinds.append(st.builds(Text, words.spoken, st.just(True)))
    if not carries.citations.is_empty:
        kinds.append(_cited(carries))
    return st.one_of(kinds)


def _phases(carries: Carries) -> tuple[str, ...]:
    return ("", "commentary", "final_answer") if "phases" in carries.keeps else ("",)


@st.composite
def _cited(draw: st.DrawFn, carries: Carries) -> Text:
    text = draw(words.spoken)
    return Text(text, citations=tuple(draw(st.lists(carries.citations, min_size=1, max_size=2))))


def _with_ids_of_their_own(parts: Iterable[Part]) -> list[Part]:
    """Return the parts with calls numbered where two have the same id."""
    seen: set[str] = set()
    made: list[Part] = []
    for part in parts:
        if isinstance(part, ToolCall):
            if part.id in seen:
                part = replace(part, id=f"call_{len(seen)}")
            seen.add(part.id)
        made.append(part)
    return made


def url_citation(start: int, end: int) -> Citation:
    """Return a citation of a page, over a stretch of the answer."""
    return Citation("https://a.example/x", "Ä title", start, end)


# --- in pieces -----------------------------------------------------------------------------------------------------


@st.composite
def tellings(draw: st.DrawFn, answer: ChatAnswer) -> list[StreamEvent]:
    """Draw one of the streams that tell an answer: deltas cut anywhere, calls of one turn taking turns."""
    events: list[StreamEvent] = []
    for event in events_of(answer):
        events += _chopped(draw, event)
    if draw(st.booleans()):
        events = _interleaved(draw, events)
    if draw(st.booleans()):
        # Not every upstream says when a call is whole.
        events = [event for event in events if not isinstance(event, ToolEnded)]
    if answer.usage is not None and draw(st.booleans()):
        events.insert(1, UsageReport(replace(answer.usage, output_tokens=answer.usage.reasoning_tokens)))
    return events


def _chopped(draw: st.DrawFn, event: StreamEvent) -> list[StreamEvent]:
    """Return a delta as several."""
    if not isinstance(event, TextDelta | ReasoningDelta | ToolDelta) or len(event.text) < 2:
        return [event]
    at = draw(st.lists(st.integers(1, len(event.text) - 1), max_size=3).map(sorted))
    ends = [0, *at, len(event.text)]
    return [replace(event, text=event.text[start:end]) for start, end in pairwise(ends) if end > start]


def _interleaved(draw: st.DrawFn, events: list[StreamEvent]) -> list[StreamEvent]:
    """Return the events with each run of calls begun first, their arguments taking turns, their ends last."""
    told: list[StreamEvent] = []
    run: list[StreamEvent] = []
    for event in events:
        if isinstance(event, ToolBegan | ToolDelta | ToolEnded):
            run.append(event)
            continue
        told += _turns(draw, run)
        run = []
        told.append(event)
    return told + _turns(draw, run)


def _turns(draw: st.DrawFn, run: list[StreamEvent]) -> list[StreamEvent]:
    begun = [event for event in run if isinstance(event, ToolBegan)]
    waiting: dict[tuple[int, int], list[StreamEvent]] = {(event.choice, event.call): [] for event in begun}
    for event in run:
        if isinstance(event, ToolDelta):
            waiting[event.choice, event.call].append(event)
    told: list[StreamEvent] = []
    while any(waiting.values()):
        place = draw(st.sampled_from([place for place, left in waiting.items() if left]))
        told.append(waiting[place].pop(0))
    return [*begun, *told, *(event for event in run if isinstance(event, ToolEnded))]
