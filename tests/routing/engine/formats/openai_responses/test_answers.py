import json

import msgspec
import pytest
from msgspec.structs import replace
from openai.types.responses import Response

from analytics.engine.record import Usage
from routing.engine.answers import Collector, events_of
from routing.engine.messages import (
    ChatAnswer,
    Choice,
    Citation,
    Finish,
    Media,
    Native,
    Reasoning,
    Text,
    ToolCall,
    ToolChoice,
)
from tests.routing.engine.formats.openai_responses.wire import (
    CODEC,
    NAME,
    accumulated,
    ask,
    client,
    exchange,
    read,
    sent,
    state,
    tell,
)

USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 12},
    "total_tokens": 130,
}


def answer(*parts, finish: Finish | None = None, **members) -> ChatAnswer:
    usage = Usage(input_tokens=100, output_tokens=30, cache_read_tokens=80, cache_write_tokens=5, reasoning_tokens=12)
    return ChatAnswer("up_1", "gpt-x", 1790000000, (Choice(parts, finish or Finish("stop")),), usage, **members)


def told(given: ChatAnswer, asked=None) -> dict:
    """Return the body of an answer, valid by the SDK's own type."""
    body = CODEC.encode_answer(given, asked or exchange())
    Response.model_validate_json(body)
    return json.loads(body)


def heard(**body) -> ChatAnswer:
    """Return what an upstream's answer means."""
    return CODEC.decode_answer(json.dumps({"id": "resp_u", "status": "completed", **body}).encode(), exchange())


PARTS = (
    Reasoning(("a", "b"), state("SIG", format="anthropic")),
    Text("Hi", citations=(Citation("https://e.com", "E", 0, 2),)),
    Text("you"),
    ToolCall("c0", "f"),
    ToolCall("c1", "g", '{"a":1}'),
    ToolCall("c2", "p", "free", is_custom=True),
)


def test_items_stand_in_the_order_of_the_parts():
    reasoning, message, one, other, custom = told(answer(*PARTS, finish=Finish("tool_calls")))["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    assert reasoning["encrypted_content"].startswith("rtx1:anthropic:openai:chn_1:")
    assert [part["text"] for part in message["content"]] == ["Hi", "you"]
    assert message["content"][0]["annotations"] == [
        {"type": "url_citation", "url": "https://e.com", "title": "E", "start_index": 0, "end_index": 2}
    ]
    assert (one["call_id"], one["arguments"], one["status"]) == ("c0", "{}", "completed")
    assert (other["type"], other["arguments"]) == ("function_call", '{"a":1}')
    assert (custom["type"], custom["input"]) == ("custom_tool_call", "free")
    assert [item["id"].partition("_")[0] for item in (reasoning, message, one, custom)] == ["rs", "msg", "fc", "ctc"]


def test_the_response_names_itself_and_repeats_the_request():
    asked = exchange(
        ask(
            model="mine",
            instructions="I",
            temperature=0.2,
            metadata={"a": "b"},
            tools=[{"type": "custom", "name": "p"}],
        )
    )
    body = told(answer(Text("x"), service_tier="flex"), asked)
    assert (body["id"], body["model"], body["created_at"]) == ("resp_1", "mine", 1790000000)
    assert (body["status"], body["error"], body["incomplete_details"]) == ("completed", None, None)
    assert (body["instructions"], body["temperature"], body["metadata"]) == ("I", 0.2, {"a": "b"})
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", True)
    assert body["tools"] == [{"type": "custom", "name": "p"}]
    assert (body["usage"], body["service_tier"]) == (USAGE, "flex")


def test_tools_are_repeated_by_the_names_of_the_client():
    name = "n" * 90
    asked = exchange(
        ask(
            tools=[{"type": "function", "name": name}, {"type": "custom", "name": "p"}],
            tool_choice={"type": "function", "name": name},
        ),
        custom_tools=False,
    )
    from routing.engine.fitting import fit

    fit(asked, CODEC)
    body = told(answer(Text("x")), asked)
    assert [(tool["type"], tool["name"]) for tool in body["tools"]] == [("function", name), ("custom", "p")]
    assert body["tool_choice"] == {"type": "function", "name": name}
    assert asked.request.tool_choice != ToolChoice("required", (name,))


def test_a_name_that_the_upstream_gave_the_response_is_kept():
    assert told(replace(answer(Text("x")), id="resp_u"))["id"] == "resp_u"


@pytest.mark.parametrize(
    ("finish", "status", "details"),
    [
        (Finish("length"), "incomplete", {"reason": "max_output_tokens"}),
        (Finish("filter"), "incomplete", {"reason": "content_filter"}),
        (Finish("pause"), "completed", None),
        (Finish("other", detail="X"), "completed", None),
        (Finish("stop_sequence", "Z"), "completed", None),
    ],
)
def test_how_answers_end(finish, status, details):
    body = told(answer(Text("x"), finish=finish))
    assert (body["status"], body["incomplete_details"]) == (status, details)
    assert body["output"][-1]["status"] == status


def test_a_call_is_incomplete_when_it_was_cut():
    cut = answer(ToolCall("c", "f", '{"a"'), finish=Finish("length"))
    assert told(cut)["output"][0]["status"] == "incomplete"
    assert told(answer(ToolCall("c", "f", "{}"), finish=Finish("length")))["output"][0]["status"] == "completed"


def test_an_empty_answer_gives_the_reason_for_being_empty():
    odd, blocked = (
        told(answer(finish=Finish(reason, message="Why.")))["output"][0]["content"][0] for reason in ("other", "filter")
    )
    assert (odd["type"], odd["text"]) == ("output_text", "Why.")
    assert (blocked["type"], blocked["refusal"]) == ("refusal", "Why.")


def test_only_calls_make_no_message():
    assert [item["type"] for item in told(answer(ToolCall("c", "f")))["output"]] == ["function_call"]


def test_states_of_calls_and_texts_stand_in_reasoning_items_and_come_back():
    of_call, of_text = state("A", "call", format="gemini"), state("B", "text", format="gemini")
    parts = (
        Reasoning(("why",)),
        ToolCall("c", "f", "{}", state=of_call),
        ToolCall("d", "f", "{}", state=of_call),
        Text("t", state=of_text),
    )
    output = told(answer(*parts))["output"]
    kinds = ["reasoning", "function_call", "reasoning", "function_call", "message", "reasoning"]
    assert [item["type"] for item in output] == kinds
    assert [
        replace(part, id="") if isinstance(part, Reasoning) else part for part in ask(input=output).messages[0].parts
    ] == list(parts)


def test_hidden_thinking_comes_back_as_such():
    output = told(answer(Reasoning((), state("D", format="anthropic"), is_redacted=True), Text("t")))["output"]
    part = ask(input=output).messages[0].parts[0]
    assert (part.is_redacted, part.state.blob) == (True, "D")


def test_pictures_and_native_items():
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}}
    asked = exchange()
    body = told(
        answer(Native(NAME, "web_search_call", item), Media("image", "image/png", data="AAA"), Native("x", "odd", {})),
        asked,
    )
    assert body["output"][0] == item
    assert (body["output"][1]["type"], body["output"][1]["result"]) == ("image_generation_call", "AAA")
    assert asked.answer_losses.codes == ("dropped:odd",)


def test_an_item_of_another_kind_has_an_id_whatever_its_upstream_sent():
    search = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    ids_sent: list[dict] = [{}, {"id": ""}, {"id": 7}, {"id": "ws_1"}]
    odd = [Native(NAME, "web_search_call", search | sent) for sent in ids_sent]
    ids = [item["id"] for item in told(answer(*odd))["output"]]
    assert all(isinstance(each, str) and each for each in ids) and len(set(ids)) == 4
    assert ids[3] == "ws_1"


def test_a_source_without_an_address_is_noted():
    asked = exchange()
    body = told(answer(Text("x", citations=(Citation(title="book", quote="q"),))), asked)
    assert body["output"][0]["content"][0]["annotations"] == []
    assert asked.answer_losses.codes == ("dropped:citations",)


def test_offsets_of_sources_count_from_the_start_of_their_part():
    parts = Text("one "), Text("two", citations=(Citation("https://e.com", "", 4, 7),))
    content = told(answer(*parts))["output"][0]["content"]
    assert [(each["start_index"], each["end_index"]) for each in content[1]["annotations"]] == [(0, 3)]
    again = heard(output=[{"type": "message", "content": content}]).choices[0].parts[1].citations[0]
    assert (again.start, again.end) == (4, 7)


def test_log_probabilities_have_bytes():
    choice = Choice((Text("é"),), Finish("stop"), [{"token": "é", "logprob": -0.5, "bytes": None, "top_logprobs": []}])
    body = told(replace(answer(), choices=(choice,)))
    assert body["output"][0]["content"][0]["logprobs"][0]["bytes"] == [195, 169]


def test_the_sdk_reads_the_text_and_the_calls():
    body = CODEC.encode_answer(answer(*PARTS), exchange())
    response = client(body, "application/json").responses.create(model="m", input="x")
    assert response.output_text == "Hiyou"
    assert response.usage is not None
    assert response.usage.input_tokens_details.cached_tokens == 80


# --- heard ----------------------------------------------------------------------------------------------------------


def test_items_become_parts():
    got = heard(
        model="gpt-x",
        created_at=1790000000.0,
        service_tier="default",
        output=[
            {
                "id": "rs_1",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
                "encrypted_content": "gENC",
            },
            {
                "id": "msg_1",
                "type": "message",
                "phase": "final_answer",
                "content": [{"type": "output_text", "text": "hi"}, {"type": "refusal", "refusal": "no"}],
            },
            {"id": "fc_1", "type": "function_call", "call_id": "call_9", "name": "f", "arguments": "{}"},
            {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_8", "name": "p", "input": "free"},
            {"id": "ws_1", "type": "web_search_call", "status": "completed"},
        ],
        usage=USAGE,
    )
    issued = state("gENC", "rs_1", family="gpt")
    assert got.choices[0].parts == (
        Reasoning(("a", "b"), issued, id="rs_1"),
        Text("hi", phase="final_answer"),
        Text("no", is_refusal=True, phase="final_answer"),
        ToolCall("call_9", "f", "{}"),
        ToolCall("call_8", "p", "free", is_custom=True),
        Native(NAME, "web_search_call", {"id": "ws_1", "type": "web_search_call", "status": "completed"}),
    )
    assert got.choices[0].finish == Finish("tool_calls")
    assert (got.id, got.created_s, got.service_tier) == ("resp_u", 1790000000, "default")
    assert got.usage == replace(answer().usage, web_searches=1)


@pytest.mark.parametrize(
    ("members", "finish"),
    [
        ({"status": "completed"}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "other"),
        ({"status": None}, "stop"),
    ],
)
def test_why_answers_ended(members, finish):
    assert heard(output=[], **members).choices[0].finish.reason == finish


def test_items_may_lack_nearly_everything():
    got = heard(
        output=[
            None,
            {"type": "message", "content": "plain"},
            {"type": "message", "content": None},
            {"type": "message", "content": [None, {"type": "output_text", "text": None, "annotations": None}]},
            {"type": "function_call", "id": "fc_1", "name": "f", "arguments": {"a": 1}},
            {"type": "function_call", "call_id": "fc_1", "name": "g", "arguments": None},
            {"type": "reasoning", "summary": None, "content": None},
            {},
        ],
        usage={"input_tokens": "many", "output_tokens": 5},
    )
    texts = [part.text for part in got.choices[0].parts if isinstance(part, Text)]
    calls = [part for part in got.choices[0].parts if isinstance(part, ToolCall)]
    assert texts == ["plain", ""]
    assert (calls[0].arguments, calls[1].arguments) == ('{"a":1}', "")
    assert calls[0].id != calls[1].id
    assert got.usage.output_tokens == 5


def test_an_output_that_is_null_is_an_empty_one():
    assert heard(object="response", output=None).choices[0].parts == ()


def test_a_call_without_a_schema_is_a_functions_for_other_formats():
    operation = {"type": "create_file", "path": "a", "diff": "+x"}
    got = heard(output=[{"type": "apply_patch_call", "id": "apc_1", "call_id": "c1", "operation": operation}])
    (call,) = got.choices[0].parts
    assert (call.id, call.name, json.loads(call.arguments)) == ("c1", "apply_patch_call", operation)
    assert got.choices[0].finish.reason == "tool_calls"
    own = CODEC.decode_answer(
        json.dumps({"status": "completed", "output": [{"type": "apply_patch_call", "call_id": "c1"}]}).encode(),
        exchange(ask()),
    )
    assert isinstance(own.choices[0].parts[0], Native)


def test_cached_tokens_that_stand_beside_the_input_are_added():
    body = json.dumps({"status": "completed", "output": [], "usage": USAGE}).encode()
    assert CODEC.decode_answer(body, exchange(input_includes_cache=False)).usage.input_tokens == 185


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"status":"failed","error":{"code":"server_error","message":"It broke."},"output":[]}', "It broke."),
        (b'{"error":{"message":"no key"}}', "no key"),
        (b'{"id":"r"}', "no output"),
        (b'{"status":"in_progress","output":[]}', "not finished"),
        (b"<html>", "JSON"),
        (b"[]", "object"),
    ],
)
def test_what_is_no_answer_is_refused(body, message):
    with pytest.raises(ValueError, match=message):
        CODEC.decode_answer(body, exchange())


# --- both -----------------------------------------------------------------------------------------------------------


def bare(items: list[dict]) -> list[dict]:
    return [{key: value for key, value in item.items() if key != "id"} for item in items]


@pytest.mark.parametrize("finish", [Finish("tool_calls"), Finish("length")])
def test_whole_and_streamed_answers_are_the_same(finish):
    of_call = state("A", format="gemini")
    given = answer(
        *PARTS,
        Reasoning(("w",), is_verbatim=True),
        Text("no", is_refusal=True),
        Text("end", phase="final_answer", state=state("B", format="gemini")),
        Reasoning(("why",)),
        ToolCall("c9", "f", "{}", state=of_call),
        finish=finish,
    )
    whole = told(given)
    streamed = sent(tell(events_of(given)))[-1]["response"]
    assert bare(whole["output"]) == bare(streamed["output"])
    assert {**whole, "output": None, "completed_at": None} == {**streamed, "output": None, "completed_at": None}


def test_an_answer_told_and_read_again_says_the_same():
    given = answer(*PARTS, finish=Finish("tool_calls"))
    collector = Collector()
    collector.take(read(tell(events_of(given)), 7))
    whole = heard(output=told(given)["output"])
    assert collector.is_complete
    streamed = collector.answer().choices[0]
    assert [type(part) for part in streamed.parts] == [type(part) for part in whole.choices[0].parts]
    assert streamed.parts[1:] == whole.choices[0].parts[1:]
    assert streamed.finish == Finish("tool_calls")
    assert accumulated(tell(events_of(given)))["status"] == "completed"


@pytest.mark.parametrize(
    ("body", "message", "code", "wait_s"),
    [
        (
            b'{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}',
            "slow",
            "rate_limit_exceeded",
            2,
        ),
        (b'{"message":"bad"}', "bad", "", 2),
        (b'{"detail":[{"msg":"field required"}]}', '[{"msg":"field required"}]', "", 2),
        (b'[{"error":{"message":"m","code":400}}]', "m", "", 2),
        (b'{"error":"plain"}', "plain", "", 2),
        (b"<html>502</html>", "", "", 2),
        (b"null", "", "", 2),
    ],
)
def test_errors_are_read_whatever_their_shape(body, message, code, wait_s):
    said = CODEC.decode_error(body, {b"retry-after": b"2"})
    assert (said.message, said.code, said.retry_after_s) == (message, code, wait_s)


def test_bodies_are_json_of_the_engine():
    assert msgspec.json.decode(CODEC.encode_answer(answer(Text("\u2028世界")), exchange()))["object"] == "response"
