"""Conversations as clients leave them, brought into the order that strict upstreams demand."""

from routing.engine.losses import Losses
from routing.engine.messages import Message, Text, ToolCall, ToolResult
from routing.engine.turns import merge, repair


def call(name: str) -> ToolCall:
    return ToolCall(name, f"tool_{name}", "{}")


def result(name: str, text: str = "ok") -> ToolResult:
    return ToolResult(name, (Text(text),))


def ids(message: Message) -> list[str]:
    return [part.call_id for part in message.parts if isinstance(part, ToolResult)]


def test_a_conversation_without_tools_is_left_alone():
    losses = Losses()
    messages = (Message("user", (Text("a"),)), Message("assistant", (Text("b"),)))
    assert repair(messages, losses) == messages
    assert losses.codes == ()


def test_results_follow_their_turn_in_the_order_of_the_calls():
    losses = Losses()
    given = (
        Message("assistant", (call("a"), call("b"))),
        Message("user", (Text("well?"), result("b"))),
        Message("user", (result("a"),)),
    )
    fixed = repair(given, losses)
    assert [message.role for message in fixed] == ["assistant", "user", "user"]
    assert ids(fixed[1]) == ["a", "b"]
    assert fixed[2].parts == (Text("well?"),)
    assert losses.codes == ()


def test_a_call_without_a_result_gets_an_error_result():
    losses = Losses()
    fixed = repair((Message("assistant", (call("a"),)), Message("user", (Text("go on"),))), losses)
    made = fixed[1].parts[0]
    assert isinstance(made, ToolResult)
    assert (made.call_id, made.is_error) == ("a", True)
    assert losses.codes == ("emulated:tool_result",)


def test_calls_at_the_very_end_are_answered_too():
    fixed = repair((Message("user", (Text("x"),)), Message("assistant", (call("a"),))), Losses())
    assert ids(fixed[-1]) == ["a"]


def test_an_id_that_stands_for_two_calls_is_given_to_the_first():
    losses = Losses()
    turns = [(Message("assistant", (call("a"),)), Message("user", (result("a", text),))) for text in ("1", "2", "3")]
    fixed = repair([message for turn in turns for message in turn], losses)
    calls = [part.id for message in fixed[::2] for part in message.parts if isinstance(part, ToolCall)]
    assert calls[0] == "a"
    assert len(set(calls)) == 3
    assert [each for message in fixed[1::2] for each in ids(message)] == calls
    assert [message.parts[0].parts for message in fixed[1::2]] == [(Text("1"),), (Text("2"),), (Text("3"),)]
    assert losses.codes == ()
    again = repair([message for turn in turns for message in turn], Losses())
    assert again == fixed


def test_results_may_follow_the_last_of_neighbouring_turns():
    losses = Losses()
    given = (
        Message("assistant", (Text("one moment"),)),
        Message("assistant", (call("a"),)),
        Message("assistant", (Text("and"), call("b"))),
        Message("user", (result("a"),)),
        Message("user", (result("b"), Text("well?"))),
    )
    fixed = repair(given, losses)
    assert [message.role for message in fixed] == ["assistant", "assistant", "user", "user"]
    assert fixed[1].parts == (call("a"), Text("and"), call("b"))
    assert ids(fixed[2]) == ["a", "b"]
    assert fixed[3].parts == (Text("well?"),)
    assert losses.codes == ()


def test_a_result_of_no_call_is_dropped():
    losses = Losses()
    fixed = repair((Message("user", (result("z"), Text("hi"))), Message("assistant", (Text("ok"),))), losses)
    assert [part for message in fixed for part in message.parts] == [Text("hi"), Text("ok")]
    assert losses.codes == ("emulated:tool_result",)


def test_a_second_result_of_the_same_call_is_dropped():
    losses = Losses()
    fixed = repair((Message("assistant", (call("a"),)), Message("user", (result("a", "1"), result("a", "2")))), losses)
    assert [part.parts for part in fixed[1].parts if isinstance(part, ToolResult)] == [(Text("1"),)]
    assert "emulated:tool_result" in losses.codes


def test_results_learn_the_name_of_their_tool():
    fixed = repair((Message("assistant", (call("a"),)), Message("user", (result("a"),))), Losses())
    assert fixed[1].parts[0].name == "tool_a"


def test_merging_keeps_the_parts_and_puts_results_first():
    merged = merge(
        [Message("user", (result("a"),)), Message("user", (Text("x"), Text("y"))), Message("user", (result("b"),))]
    )
    ((role, parts),) = merged
    assert role == "user"
    assert [type(part).__name__ for part in parts] == ["ToolResult", "ToolResult", "Text", "Text"]
