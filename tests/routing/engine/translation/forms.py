"""One form for conversations that a format does not tell apart; two are the same to it when their forms are equal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from analytics.engine.record import Usage
from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Choice,
    Finish,
    Media,
    Message,
    Native,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from routing.engine.provenance import unwrap, unwrap_bytes
from tests.routing.engine.translation.carries import Carries


def peeled(state: Opaque | None) -> Opaque | None:
    """Return the artefact itself, out of whatever wrappers it has been carried in."""
    if state is None:
        return None
    inner = unwrap_bytes(state.blob)
    if inner.origin is None:
        inner = unwrap(state.blob)
    return Opaque(inner.blob) if inner.origin is None else peeled(inner)


def assert_same(one: Any, other: Any) -> None:
    """Fail with the places where two values differ, rather than with both of them whole."""
    found = list(_differences(one, other, ""))
    assert not found, "\n".join(found)


def _differences(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, msgspec.Struct) and type(one) is type(other):
        for name in one.__struct_fields__:
            yield from _differences(getattr(one, name), getattr(other, name), f"{path}.{name}")
    elif isinstance(one, dict) and isinstance(other, dict):
        for key in one | other:
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, tuple | list) and type(one) is type(other) and len(one) == len(other):
        for place, (mine, yours) in enumerate(zip(one, other, strict=True)):
            yield from _differences(mine, yours, f"{path}[{place}]")
    elif one != other:
        yield f"{path or 'all'}: {one!r} is not {other!r}"


# --- requests ------------------------------------------------------------------------------------------------------


def request_form(request: ChatRequest, carries: Carries) -> ChatRequest:
    """Return a request without what its format does not tell apart."""
    messages: list[Message] = []
    for message in request.messages:
        parts = _history(message.parts, carries)
        name = message.name if "names" in carries.keeps else ""
        if messages and (messages[-1].role, messages[-1].name) == (message.role, name):
            messages[-1] = replace(messages[-1], parts=_results_first((*messages[-1].parts, *parts)))
        elif parts:
            messages.append(Message(message.role, _results_first(parts), name))
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    if choice is not None and choice.mode == "none" and carries.name == "anthropic":
        parallel = None  # where no call is allowed, the flag has no place
    if request.parallel_tool_calls is False and choice is None and carries.name == "anthropic":
        choice = ToolChoice("auto")  # the flag is a member of the choice there
    return replace(
        request,
        messages=tuple(replace(message, parts=_joined(message.parts, carries)) for message in messages),
        system=request.system if "system_blocks" in carries.keeps else _one_text(request.system),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        wants_usage=True,
        native={name: value for name, value in request.native.items() if name not in carries.added},
    )


def _results_first(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: not isinstance(part, ToolResult)))


def _history(parts: Iterable[Part], carries: Carries) -> tuple[Part, ...]:
    return tuple(_part(part, carries) for part in parts if not (isinstance(part, Text) and not part.text))


def _part(part: Part, carries: Carries) -> Part:
    match part:
        case Text():
            keeps_state = "text" in carries.states
            return replace(part, state=peeled(part.state) if keeps_state else None)
        case Reasoning():
            texts = tuple(text for text in part.texts if text)
            if "summaries" not in carries.keeps:
                texts = tuple(filter(None, ("\n\n".join(texts),)))
            state = peeled(part.state) if "reasoning" in carries.states else None
            return Reasoning(texts, state, part.is_redacted, part.is_verbatim)
        case ToolCall():
            state = peeled(part.state) if "call" in carries.states else None
            return replace(part, arguments=_arguments(part, carries), state=state)
        case ToolResult():
            return replace(part, name="", is_custom=False, parts=_result(part.parts, carries))
    return part


def _arguments(call: ToolCall, carries: Carries) -> Any:
    if call.is_custom:
        return call.arguments
    said = call.arguments or "{}"
    return said if carries.arguments_are_text else read_json(said)


def read_json(text: str) -> Any:
    """Return what a JSON text means, every digit of its numbers kept; the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _result(parts: Iterable[Any], carries: Carries) -> tuple[Any, ...]:
    if "result_texts" in carries.keeps:
        return tuple(parts)
    texts = [read_json(part.text) for part in parts if isinstance(part, Text)]
    return (*texts, *(part for part in parts if isinstance(part, Media)))


def _one_text(texts: Iterable[Text]) -> tuple[Text, ...]:
    said = "\n\n".join(text.text for text in texts if text.text)
    return (Text(said),) if said else ()


def _joined(parts: Iterable[Part], carries: Carries) -> tuple[Part, ...]:
    """Return the parts with neighbouring texts made one, where the format does not keep them apart."""
    if "text_breaks" in carries.keeps:
        return tuple(parts)
    told: list[Part] = []
    for part in parts:
        last = told[-1] if told else None
        if _runs_on(last, part):
            state = _both(last.state, part.state)
            told[-1] = replace(last, text=last.text + part.text, state=state, citations=last.citations + part.citations)
        else:
            told.append(part)
    return tuple(told)


def _runs_on(last: Part | None, part: Part) -> bool:
    is_text = isinstance(last, Text) and isinstance(part, Text)
    return is_text and (last.is_refusal, last.cache) == (part.is_refusal, part.cache)


def _both(one: Opaque | None, other: Opaque | None) -> Opaque | None:
    """Return the states of two parts that are told as one: neither may be lost."""
    return Opaque(f"{one.blob} {other.blob}") if one and other else one or other


# --- answers -------------------------------------------------------------------------------------------------------


def answer_form(answer: ChatAnswer, carries: Carries) -> ChatAnswer:
    """Return an answer without its id, and without what its format does not tell apart."""
    choices = tuple(_choice(choice, carries) for choice in answer.choices)
    usage = replace(answer.usage or Usage(), **dict.fromkeys(carries.uncounted, 0))
    return ChatAnswer(choices=choices, usage=usage)


def _choice(choice: Choice, carries: Carries) -> Choice:
    parts = [_part(part, carries) for part in choice.parts]
    parts = [part for part in parts if not _is_silent(part)]
    if "order" not in carries.keeps:
        parts = _gathered(parts)
    finish = choice.finish or Finish("stop")
    sequence = finish.sequence if carries.name == "anthropic" else ""
    return Choice(
        _told(_thoughts_joined(_joined(parts, carries), carries), carries),
        Finish(finish.reason, sequence),
        choice.logprobs if carries.logprobs else None,
    )


def _is_silent(part: Part) -> bool:
    if isinstance(part, Text):
        return not part.text and part.state is None
    return isinstance(part, Reasoning) and not part.texts and part.state is None


def _gathered(parts: Iterable[Part]) -> list[Part]:
    """Return all reasoning as one, then all text, refusals, calls, and the rest."""
    thoughts = [part.text for part in parts if isinstance(part, Reasoning)]
    said = [part for part in parts if isinstance(part, Text) and not part.is_refusal]
    refused = [part for part in parts if isinstance(part, Text) and part.is_refusal]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    others = [part for part in parts if isinstance(part, Media | Native)]
    gathered: list[Part] = [Reasoning(("".join(thoughts),))] if "".join(thoughts) else []
    return [*gathered, *said, *refused, *calls, *others]


def _thoughts_joined(parts: Iterable[Part], carries: Carries) -> tuple[Part, ...]:
    """Return the parts with neighbouring thoughts made one where the format does not keep them apart."""
    if "summaries" in carries.keeps or carries.name == "anthropic":
        return tuple(parts)
    told: list[Part] = []
    for part in parts:
        last = told[-1] if told else None
        if isinstance(last, Reasoning) and isinstance(part, Reasoning):
            texts = tuple(filter(None, ("".join((*last.texts, *part.texts)),)))
            told[-1] = replace(part, texts=texts, state=_both(last.state, part.state))
        else:
            told.append(part)
    return tuple(told)


def _told(parts: Iterable[Part], carries: Carries) -> tuple[Part, ...]:
    """Return the parts less what only some formats say of a text."""
    return tuple(
        replace(
            part,
            is_refusal=part.is_refusal and "refusals" in carries.keeps,
            phase=part.phase if "phases" in carries.keeps else "",
            citations=tuple(_citation(each) for each in part.citations),
        )
        if isinstance(part, Text)
        else part
        for part in parts
    )


def _citation(citation: Any) -> Any:
    return replace(citation, native=None, format="", quote="")
