"""Random requests within what a format can carry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from routing.engine.messages import (
    ChatRequest,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from tests.routing.engine.translation import words
from tests.routing.engine.translation.carries import Carries

MODEL = "asked-model"
#: Upstreams refuse more, so encoders leave out the rest.
MOST_MARKS = 4


@st.composite
def requests(draw: st.DrawFn, carries: Carries) -> ChatRequest:
    """Draw a whole request: fields, tools, and a conversation in which every call is answered."""
    fields: dict[str, Any] = {
        name: draw(values)
        for name, values in carries.fields.items()
        if name in carries.required or draw(st.integers(0, 3)) == 3
    }
    if "top_logprobs" in fields and "logprobs" not in fields:
        del fields["top_logprobs"]
    if fields.get("thinking") is not None:
        # Upstreams refuse sampling beside thinking, so encoders may leave it out.
        fields = {name: value for name, value in fields.items() if name not in {"temperature", "top_p", "top_k"}}
    fields |= _tools(draw, carries, fields)
    native = draw(st.sampled_from(({}, dict(carries.native))))
    asked = ChatRequest(
        format=carries.name,
        model=MODEL,
        messages=tuple(_messages(draw, carries, fields)),
        system=tuple(draw(st.lists(_texts(carries), max_size=2 if "system_blocks" in carries.keeps else 1))),
        native=native,
        **fields,
    )
    assume(_marks(asked) <= MOST_MARKS)
    if carries.name == "anthropic":
        # Upstreams refuse calls of tools that are not declared, and thinking amid calls that began without: the encoder
        # declares the tools, and leaves out the thinking.
        assume(asked.tools or not _has_calls(asked.messages))
        assume(asked.thinking is None or not _has_calls(each for each in asked.messages if not _begins_thinking(each)))
    return asked


def _has_calls(messages: Iterable[Message]) -> bool:
    return any(isinstance(part, ToolCall) for message in messages for part in message.parts)


def _begins_thinking(message: Message) -> bool:
    return isinstance(message.parts[0], Reasoning)


def _marks(asked: ChatRequest) -> int:
    """Return how many places of a request have a cache mark."""
    parts = [part for message in asked.messages for part in message.parts]
    marked: list[Any] = [*asked.system, *asked.tools, *parts]
    return sum(getattr(each, "cache", None) is not None for each in [asked, *marked])


def _tools(draw: st.DrawFn, carries: Carries, fields: dict[str, Any]) -> dict[str, Any]:
    tools = draw(st.lists(carries.tools, max_size=3, unique_by=lambda tool: tool.name))
    if not tools:
        fields.pop("parallel_tool_calls", None)
        return {}
    said: dict[str, Any] = {"tools": tuple(tools)}
    if draw(st.booleans()):
        choice = draw(carries.tool_choice)
        forced = choice.mode == "required" and "thinking" in fields
        if not forced and set(choice.names) <= set(names := [tool.name for tool in tools]):
            said["tool_choice"] = choice
        elif choice.names and not forced:
            said["tool_choice"] = _naming(choice, names, carries)
    return said


def _naming(choice: ToolChoice, names: list[str], carries: Carries) -> ToolChoice:
    """Return a choice of as many tools, but of those on offer."""
    kept = names[: len(choice.names)]
    is_list = choice.is_list and (len(kept) > 1 or carries.name != "gemini")  # there a list of one name is that name
    return ToolChoice(choice.mode, tuple(kept), is_list)


def _messages(draw: st.DrawFn, carries: Carries, fields: dict[str, Any]) -> list[Message]:
    """Draw turns by turns: what the user says, what the model answered, what its tools gave."""
    customs = [tool.name for tool in fields.get("tools", ()) if tool.kind == "custom"]
    messages = [_user(draw, carries)]
    seen: set[str] = set()
    for _ in range(draw(st.integers(0, 2))):
        turn, calls = _assistant(draw, carries, customs, seen)
        messages.append(turn)
        if calls:
            messages += [Message("user", (_result(draw, carries, call),)) for call in calls]
        if carries.mid_system and draw(st.integers(0, 4)) == 4:
            messages.append(Message("system", (draw(_texts(carries)),)))
        if not calls or draw(st.booleans()):
            messages.append(_user(draw, carries))
    return messages


def _texts(carries: Carries, role: str = "user") -> st.SearchStrategy[Text]:
    mark = st.one_of(st.none(), carries.mark) if "text" in carries.marks and role == "user" else st.none()
    return st.builds(Text, words.spoken, cache=mark)


def _user(draw: st.DrawFn, carries: Carries) -> Message:
    parts = st.one_of(_texts(carries), carries.media)
    name = draw(st.sampled_from(("", "ann"))) if "names" in carries.keeps else ""
    return Message("user", tuple(draw(st.lists(parts, min_size=1, max_size=3))), name)


def _assistant(draw: st.DrawFn, carries: Carries, customs: list[str], seen: set[str]) -> tuple[Message, list[ToolCall]]:
    """Draw a turn in the order in which every format has it: thoughts, words, calls."""
    parts: list[Part] = []
    if carries.reasoning_in_history and draw(st.booleans()):
        parts.append(draw(reasonings(carries)))
    most = 2 if "text_breaks" in carries.keeps else 1
    parts += draw(st.lists(_texts(carries, "assistant"), max_size=most))
    calls = draw(
        st.lists(calls_of(carries, customs), min_size=0 if parts else 1, max_size=3, unique_by=lambda call: call.id)
    )
    calls = [call for call in calls if call.id not in seen]
    seen.update(call.id for call in calls)
    if not parts and not calls:
        parts.append(Text("…"))
    return Message("assistant", (*parts, *calls)), calls


def reasonings(carries: Carries) -> st.SearchStrategy[Reasoning]:
    """Draw thinking with a state that its issuer left, as formats that take it back demand."""
    states = st.builds(Opaque, words.blobs)
    shown = st.lists(words.spoken, min_size=1, max_size=3 if "summaries" in carries.keeps else 1).map(tuple)
    if "reasoning" not in carries.states:
        return st.builds(Reasoning, shown)
    signed = st.builds(Reasoning, shown, states)
    if carries.name == "anthropic":
        return st.one_of(signed, st.builds(Reasoning, st.just(()), states, is_redacted=st.just(True)))
    return signed


def calls_of(carries: Carries, customs: list[str]) -> st.SearchStrategy[ToolCall]:
    """Draw a call of a function, or of one of these free-text tools."""
    functions = words.tool_names.filter(lambda name: name not in customs)
    state = st.one_of(st.none(), st.builds(Opaque, words.blobs)) if "call" in carries.states else st.none()
    made = st.builds(ToolCall, words.call_ids, functions, carries.arguments, state=state)
    if not customs:
        return made
    free = st.builds(ToolCall, words.call_ids, st.sampled_from(customs), words.texts, is_custom=st.just(True))
    return st.one_of(made, free)


def _result(draw: st.DrawFn, carries: Carries, call: ToolCall) -> ToolResult:
    most = 2 if "result_texts" in carries.keeps else 1
    parts: list[Any] = draw(st.lists(st.builds(Text, words.spoken), min_size=1, max_size=most))
    if draw(st.integers(0, 3)) == 3 and not carries.result_media.is_empty:
        parts.append(draw(carries.result_media))
    is_error = "errors" in carries.keeps and draw(st.booleans())
    mark = draw(st.one_of(st.none(), carries.mark)) if "result" in carries.marks else None
    return ToolResult(call.id, tuple(parts), is_error, call.is_custom, call.name, mark)
