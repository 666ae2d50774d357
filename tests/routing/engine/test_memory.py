"""What clients forget of a model's reasoning comes back with the tool call that it belongs to."""

from routing.engine.memory import MAX_ENTRY_CHARS, Noting, Remembered, StateMemory
from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Choice,
    Finish,
    Finished,
    Message,
    Opaque,
    Origin,
    Reasoning,
    ReasoningDelta,
    ReasoningState,
    StreamEvent,
    Text,
    TextDelta,
    ToolBegan,
    ToolCall,
)

STATE = Opaque("sig", Origin("some-format", family="m"), "call")
CALL = ToolCall("call_1", "f", "{}")


def asked(*parts) -> ChatRequest:
    return ChatRequest("x", "m", (Message("assistant", parts),))


def test_a_call_gets_its_state_and_reasoning_back():
    memory = StateMemory()
    answer = ChatAnswer(choices=(Choice((Reasoning(("plan",)), ToolCall("call_1", "f", "{}", state=STATE))),))
    memory.note_answer("tnt_a", answer)
    ((message),) = memory.recall("tnt_a", asked(CALL)).messages
    assert message.parts == (Reasoning(("plan",)), ToolCall("call_1", "f", "{}", state=STATE))


def test_another_tenant_gets_nothing():
    memory = StateMemory()
    memory.note("tnt_a", "call_1", Remembered(STATE))
    request = asked(CALL)
    assert memory.recall("tnt_b", request) is request


def test_what_the_client_brought_itself_counts():
    memory = StateMemory()
    memory.note("tnt_a", "call_1", Remembered(STATE, (Reasoning(("old",)),)))
    own = (Reasoning(("new",)), ToolCall("call_1", "f", "{}", state=Opaque("own")))
    assert memory.recall("tnt_a", asked(*own)).messages[0].parts == own


FIRST = Reasoning(("one",), Opaque("s1", Origin("some-format", family="m")))
HIDDEN = Reasoning((), Opaque("s2", Origin("some-format", family="m")), is_redacted=True)
LAST = Reasoning(("two",), Opaque("s3", Origin("some-format", family="m")))
SECOND = ToolCall("call_2", "f", "{}")


def test_all_reasoning_of_a_turn_comes_back_where_it_stood():
    memory = StateMemory()
    memory.note_answer("t", ChatAnswer(choices=(Choice((FIRST, HIDDEN, Text("so"), LAST, CALL, FIRST, SECOND)),)))
    ((message),) = memory.recall("t", asked(Text("so"), CALL, SECOND)).messages
    assert message.parts == (FIRST, HIDDEN, Text("so"), LAST, CALL, FIRST, SECOND)


def test_reasoning_told_without_its_state_gets_it_back():
    memory = StateMemory()
    memory.note_answer("t", ChatAnswer(choices=(Choice((FIRST, LAST, CALL)),)))
    ((message),) = memory.recall("t", asked(Reasoning(("one\n\ntwo",)), CALL)).messages
    assert message.parts == (FIRST, LAST, CALL)


def test_all_reasoning_of_a_stream_is_noted():
    memory = StateMemory()
    noting = Noting(memory, "t")
    events: list[StreamEvent] = [
        *(ReasoningDelta("o"), ReasoningDelta("ne"), ReasoningState(FIRST.state)),
        ReasoningState(HIDDEN.state, is_redacted=True),
        *(TextDelta("s"), TextDelta("o"), ReasoningDelta("two"), ReasoningState(LAST.state)),
        *(ToolBegan(0, "call_1", "f"), ToolBegan(1, "call_2", "f"), Finished(Finish("tool_calls"))),
    ]
    for event in events:
        noting.take(event)
    ((message),) = memory.recall("t", asked(Text("so"), CALL, SECOND)).messages
    assert message.parts == (FIRST, HIDDEN, Text("so"), LAST, CALL, SECOND)


def test_a_state_told_behind_the_last_call_comes_back_with_it():
    memory = StateMemory()
    noting = Noting(memory, "t")
    events: list[StreamEvent] = [
        *(ReasoningDelta("one"), ToolBegan(0, "call_1", "f"), ReasoningState(LAST.state)),
        Finished(Finish("tool_calls")),
    ]
    for event in events:
        noting.take(event)
    ((message),) = memory.recall("t", asked(CALL)).messages
    assert message.parts == (Reasoning(("one",)), Reasoning((), LAST.state), CALL)


def test_reasoning_behind_a_later_text_is_none_of_a_calls():
    memory = StateMemory()
    memory.note_answer("t", ChatAnswer(choices=(Choice((FIRST, CALL, Text("so"), LAST)),)))
    ((message),) = memory.recall("t", asked(CALL)).messages
    assert message.parts == (FIRST, CALL)


def test_a_stream_is_noted_when_its_choice_ends():
    memory = StateMemory()
    noting = Noting(memory, "tnt_a")
    for event in (ReasoningDelta("pl"), ReasoningDelta("an"), ToolBegan(0, "call_1", "f", state=STATE)):
        noting.take(event)
    assert memory.recall("tnt_a", asked(CALL)).messages[0].parts == (CALL,)
    noting.take(Finished(Finish("tool_calls")))
    assert memory.recall("tnt_a", asked(CALL)).messages[0].parts[0] == Reasoning(("plan",))


def test_of_a_client_that_brings_its_reasoning_only_the_calls_states_are_noted():
    memory = StateMemory()
    noting = Noting(memory, "t", only_calls=True)
    call = ToolBegan(0, "call_1", "f", state=STATE)
    for event in (ReasoningDelta("plan"), TextDelta("so"), call, Finished(Finish("tool_calls"))):
        noting.take(event)
    thought, signed = Reasoning(("plan",)), ToolCall("call_1", "f", "{}", state=STATE)
    assert memory.recall("t", asked(thought, Text("so"), CALL)).messages[0].parts == (thought, Text("so"), signed)
    assert memory.recall("t", asked(Text("so"), CALL)).messages[0].parts == (Text("so"), signed)


def test_the_oldest_go_when_it_is_full():
    memory = StateMemory(max_chars=10)
    for name in ("a", "b", "c"):
        memory.note("t", name, Remembered(Opaque("1234")))
    assert memory.recall("t", asked(ToolCall("a", "f"))).messages[0].parts[0].state is None
    assert memory.recall("t", asked(ToolCall("c", "f"))).messages[0].parts[0].state == Opaque("1234")


def test_one_that_is_too_large_is_not_kept():
    memory = StateMemory()
    memory.note("t", "a", Remembered(Opaque("x" * (MAX_ENTRY_CHARS + 1))))
    assert memory.recall("t", asked(ToolCall("a", "f"))).messages[0].parts[0].state is None
