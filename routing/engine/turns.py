"""Turns of a conversation brought into the order that strict upstreams demand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from routing.engine.losses import Losses
from routing.engine.messages import Message, Part, Role, Text, ToolCall, ToolResult
from routing.engine.toolnames import mint_id

#: What stands for a tool's answer that the client left out; the model has to be told something.
NO_RESULT = "The tool gave no result."


def repair(messages: Sequence[Message], losses: Losses) -> tuple[Message, ...]:
    """Return the messages with every tool call answered right after its turn, in the order of the calls.

    A result that belongs to no call is dropped and a call without one gets an error result: every upstream refuses
    the conversation otherwise, and clients that compact their history leave both behind. So do they when an id stands
    for two calls: the later one gets another. Neighbouring assistant turns are one turn to every upstream, so results
    may follow the last of them.
    """
    if not any(isinstance(part, ToolCall | ToolResult) for message in messages for part in message.parts):
        return tuple(messages)
    repaired: list[Message] = []
    used: dict[str, int] = {}
    place = 0
    while place < len(messages):
        message, place = _turn_at(messages, place)
        following = place
        while following < len(messages) and messages[following].role != "assistant":
            following += 1
        run = messages[place:following] if message.role == "assistant" else messages[place - 1 : following]
        place = following
        ids = [_unused(call.id, used) for call in _calls(message)]
        answered = list(_answered(message, run, losses, ids))
        repaired += [_renamed(message, ids), *answered] if message.role == "assistant" else answered
    return tuple(repaired)


def _unused(call_id: str, used: dict[str, int]) -> str:
    """Return a call's id, or one in its place where an earlier call has it: some servers count anew in each turn."""
    unused = call_id
    while unused in used:
        used[call_id] += 1
        unused = mint_id(f"{call_id} {used[call_id]}")
    used[unused] = 1
    return unused


def _renamed(message: Message, ids: Sequence[str]) -> Message:
    if [call.id for call in _calls(message)] == ids:
        return message
    given = iter(ids)
    parts = [replace(part, id=next(given)) if isinstance(part, ToolCall) else part for part in message.parts]
    return replace(message, parts=tuple(parts))


def _turn_at(messages: Sequence[Message], place: int) -> tuple[Message, int]:
    """Return the turn at a place and the place after it; one that calls tools has taken in those that continue it."""
    message, following = messages[place], place + 1
    if message.role != "assistant" or not _calls(message):
        return message, following
    while following < len(messages) and messages[following].role == "assistant":
        following += 1
    if following > place + 1:
        message = replace(message, parts=tuple(part for each in messages[place:following] for part in each.parts))
    return message, following


def _calls(message: Message) -> list[ToolCall]:
    return [part for part in message.parts if isinstance(part, ToolCall)]


def _answered(message: Message, run: Sequence[Message], losses: Losses, ids: Sequence[str]) -> Iterable[Message]:
    """Return what follows a turn until the next assistant turn, its results first, under the ids of its calls."""
    calls = _calls(message) if message.role == "assistant" else []
    given: dict[str, list[ToolResult]] = {}
    for each in run:
        for part in each.parts:
            if isinstance(part, ToolResult):
                given.setdefault(part.call_id, []).append(part)
    results = [
        replace(_result_of(call, given, losses), call_id=unused) for call, unused in zip(calls, ids, strict=True)
    ]
    if any(given.values()):
        losses.emulated("tool_result")
    if results:
        yield Message("user", tuple(results))
    for each in run:
        rest = tuple(part for part in each.parts if not isinstance(part, ToolResult))
        if rest:
            yield each if len(rest) == len(each.parts) else replace(each, parts=rest)


def _result_of(call: ToolCall, given: dict[str, list[ToolResult]], losses: Losses) -> ToolResult:
    if found := given.get(call.id):
        return replace(found.pop(0), name=call.name, is_custom=call.is_custom)
    losses.emulated("tool_result")
    return ToolResult(call.id, (Text(NO_RESULT),), is_error=True, is_custom=call.is_custom, name=call.name)


def merge(messages: Iterable[Message]) -> list[tuple[Role, list[Part]]]:
    """Return the turns with neighbours of the same role made one, tool results first; parts keep their boundaries."""
    merged: list[tuple[Role, list[Part]]] = []
    for message in messages:
        if merged and merged[-1][0] == message.role:
            merged[-1][1].extend(message.parts)
        else:
            merged.append((message.role, list(message.parts)))
    for _, parts in merged:
        if any(isinstance(part, ToolResult) for part in parts):
            parts.sort(key=lambda part: not isinstance(part, ToolResult))
    return merged


def joined(texts: Iterable[Text]) -> str:
    """Return text blocks as one string, a blank line between them."""
    return "\n\n".join(part.text for part in texts if part.text)
