import pytest
from msgspec.structs import replace

from routing.engine.messages import (
    CacheMark,
    Media,
    Message,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from tests.routing.engine.formats.openai_chat.talk import (
    CALL,
    PNG,
    RESULT,
    WEATHER,
    asked,
    decoded,
    messages,
    model,
    user,
    written,
)

# --- the system prompt -------------------------------------------------------------------------------------------


def test_system_blocks_stay_apart_in_one_leading_message():
    request = asked(system=(Text("a"), Text("b")))
    assert messages(request)[0] == {
        "role": "system",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    }
    assert messages(request, text_parts=False)[0]["content"] == "a\n\nb"
    assert messages(asked(system=(Text("a"),)), developer_role=True)[0] == {"role": "developer", "content": "a"}


def test_empty_system_prompt_is_no_message():
    assert [message["role"] for message in messages(asked(system=(Text(""),)))] == ["user"]


def test_system_in_the_middle_stays_in_place():
    request = asked(user(Text("one")), model(Text("1")), Message("system", (Text("now"),)), user(Text("two")))
    assert [message["role"] for message in messages(request)] == ["user", "assistant", "system", "user"]


def test_strict_alternation_merges_neighbours():
    request = asked(user(Text("a")), Message("system", (Text("now"),)), user(PNG), model(Text("1")), model(Text("2")))
    sent, lost = written(request, strict_alternation=True)
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant"]
    assert [part["type"] for part in sent["messages"][0]["content"]] == ["text", "text", "image_url"]
    assert "emulated:system" in lost
    assert messages(request, strict_alternation=True, text_parts=False)[1]["content"] == "1\n\n2"


def test_strict_alternation_begins_with_the_user():
    request = asked(model(Text("Hello.")), user(Text("hi")), system=(Text("s"),))
    sent, lost = written(request, strict_alternation=True)
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "user"]
    assert lost == ("emulated:messages",)
    assert [message["role"] for message in messages(request)] == ["system", "assistant", "user"]


def test_a_turn_stands_between_a_result_and_the_user_where_that_order_is_refused():
    request = asked(user(Text("q")), model(CALL), user(RESULT, Text("and now?")), tools=(WEATHER,))
    roles = [message["role"] for message in messages(request, user_after_tool=False)]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]
    assert [message["role"] for message in messages(request)] == ["user", "assistant", "tool", "user"]


# --- content -----------------------------------------------------------------------------------------------------


def test_one_text_is_a_string_and_mixed_parts_keep_their_order():
    request = asked(
        user(
            Media("document", "application/pdf", data="JVBERi0=", title="r"),
            Media("image", url="https://a.example/a.png", detail="low"),
            PNG,
            Media("audio", "audio/mpeg", data="SUQz"),
            Media("document", "text/plain", text="plain notes", title="Notes"),
            Text("compare"),
        ),
        user(Text("hi")),
    )
    first, second = messages(request)
    assert first["content"] == [
        {"type": "file", "file": {"filename": "r.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "image_url", "image_url": {"url": "https://a.example/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR"}},
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        {"type": "text", "text": "Notes\n\nplain notes"},
        {"type": "text", "text": "compare"},
    ]
    assert second["content"] == "hi"


def test_several_texts_stay_apart_where_lists_are_taken():
    request = asked(user(Text("a"), Text("b")), model(Text("A"), Text("B")))
    assert [len(message["content"]) for message in messages(request)] == [2, 2]
    # One turn's blocks were one text to the model; a user's were not.
    assert [message["content"] for message in messages(request, text_parts=False)] == ["a\n\nb", "AB"]


def test_what_has_no_part_is_dropped_and_said():
    request = asked(user(Media("document", url="https://a.example/a.pdf"), Media("document", text="t", context="c")))
    sent, lost = written(request)
    assert sent["messages"][0]["content"] == "t"
    assert {"dropped:document", "dropped:context"} <= set(lost)


def test_a_turn_of_which_nothing_can_be_carried_keeps_its_place():
    request = asked(user(Text("a")), model(Text("b")), user(Media("document", url="https://a.example/a.pdf")))
    assert messages(request)[-1] == {"role": "user", "content": "[An attachment was left out.]"}


def test_pictures_in_a_models_turn_are_dropped_and_said():
    sent, lost = written(asked(user(Text("draw")), model(PNG, Text("there"))))
    assert sent["messages"][1] == {"role": "assistant", "content": "there"}
    assert "dropped:image" in lost


@pytest.mark.parametrize(
    ("can", "mark"),
    [
        ({"cache_control": True}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        ({"cache_breakpoints": True}, {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}),
        (
            {"cache_breakpoints": True, "text_parts": False},
            {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
        ),
    ],
)
def test_cache_marks_are_written_where_they_are_known(can, mark):
    request = asked(user(Text("a", cache=CacheMark("1h"))), system=(Text("s", cache=CacheMark("1h")),))
    for message, text in zip(messages(request, **can), "sa", strict=True):
        assert message["content"] == [{"type": "text", "text": text, **mark}]


def test_cache_marks_leave_without_a_trace_elsewhere():
    sent, lost = written(asked(user(Text("a", cache=CacheMark("1h"))), cache=CacheMark()))
    assert (sent["messages"][0]["content"], lost) == ("a", ())


def test_automatic_caching_is_asked_for_where_it_is_known():
    sent, _ = written(asked(cache=CacheMark("5m")), cache_control=True)
    assert sent["cache_control"] == {"type": "ephemeral", "ttl": "5m"}


# --- tools in the history ----------------------------------------------------------------------------------------


def test_results_come_right_after_their_turn_and_the_rest_follows():
    other = ToolCall("c2", "get_weather", "")
    request = asked(
        user(Text("weather?")),
        model(Text("Checking."), CALL, other),
        user(RESULT, ToolResult("c2", ()), Text("Be short.")),
        tools=(WEATHER,),
    )
    assert messages(request)[1:] == [
        {
            "role": "assistant",
            "content": "Checking.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}},
                {"id": "c2", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "4C"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "user", "content": "Be short."},
    ]


def test_turn_of_calls_only_has_null_content():
    assert messages(asked(user(Text("q")), model(CALL), user(RESULT)))[1]["content"] is None


def test_custom_calls_keep_their_free_text_where_they_are_known():
    request = asked(
        user(Text("q")),
        model(ToolCall("c1", "patch", "*** x", is_custom=True)),
        user(ToolResult("c1", (Text("ok"),))),
        tools=(Tool("patch", "custom", grammar={"type": "grammar", "syntax": "lark", "definition": "d"}),),
    )
    sent, _ = written(request, custom_tools=True)
    assert sent["messages"][1]["tool_calls"] == [
        {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** x"}}
    ]
    assert sent["tools"] == [
        {
            "type": "custom",
            "custom": {
                "name": "patch",
                "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "d"}},
            },
        }
    ]


def test_media_of_results_move_behind_all_tool_messages():
    second = ToolCall("c2", "get_weather")
    request = asked(
        user(Text("look")),
        model(CALL, second),
        user(ToolResult("c1", (PNG,)), ToolResult("c2", (Text("t"), PNG)), Text("and?")),
    )
    sent, lost = written(request)
    roles = [message["role"] for message in sent["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "user", "user"]
    assert "iVBOR" not in str(sent["messages"][2:4])
    assert sent["messages"][2]["content"].startswith("[1 image")
    shown = [part for part in sent["messages"][4]["content"] if part["type"] == "image_url"]
    assert [part["image_url"]["url"] for part in shown] == ["data:image/png;base64,iVBOR"] * 2
    assert sent["messages"][5]["content"] == "and?"
    assert "emulated:tool_result_media" in lost


def test_pictures_stay_in_tool_messages_that_take_them():
    sent, lost = written(asked(user(Text("q")), model(CALL), user(ToolResult("c1", (PNG,)))), tool_message_images=True)
    assert sent["messages"][2]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR"}}
    ]
    assert lost == ()


def test_errors_of_tools_are_said_in_words():
    failed = ToolResult("c1", (Text("no such city"),), is_error=True)
    sent, lost = written(asked(user(Text("q")), model(CALL), user(failed)))
    assert sent["messages"][2]["content"] == "Error: no such city"
    assert "emulated:is_error" in lost
    sent, _ = written(asked(user(Text("q")), model(CALL), user(replace(failed, parts=()))))
    assert "rror" in sent["messages"][2]["content"]


def test_turns_of_other_formats_fold_into_one_message():
    request = asked(user(Text("q")), model(Text("Running.")), model(CALL), user(RESULT))
    assert [message["role"] for message in messages(request)] == ["user", "assistant", "tool"]


def test_turns_of_this_format_stay_apart():
    request = decoded(messages=[{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}])
    assert [message["content"] for message in messages(request)] == ["a", "b"]


# --- hosts with words of their own -----------------------------------------------------------------------------------


def test_a_speakers_name_is_left_out_where_it_is_refused():
    request = asked(Message("user", (Text("a"),), name="bob"), Message("assistant", (Text("b"),), name="al"))
    sent, lost = written(request, names=False, prefix=True)
    assert not any("name" in message for message in sent["messages"])
    assert lost == ("dropped:name",)
    assert [message["name"] for message in messages(request)] == ["bob", "al"]


def test_a_document_is_a_url_where_there_is_no_part_for_files():
    pdf = Media("document", "application/pdf", data="JVBERi0=", title="a.pdf")
    assert messages(asked(user(pdf)), document_urls=True)[0]["content"] == [
        {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0=", "document_name": "a.pdf"}
    ]
