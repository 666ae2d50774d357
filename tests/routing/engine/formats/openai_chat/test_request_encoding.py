import pytest
from msgspec.structs import replace

from routing.engine.errors import BadRequest
from routing.engine.messages import (
    OutputFormat,
    Search,
    Text,
    Tool,
    ToolChoice,
)
from tests.routing.engine.formats.openai_chat.talk import (
    asked,
    decoded,
    messages,
    model,
    user,
    written,
)

# --- tools on offer ----------------------------------------------------------------------------------------------


def test_functions_carry_only_what_they_have():
    bare, strict = Tool("f"), Tool("g", schema={"anyOf": [{"type": "object"}]}, strict=True)
    sent, lost = written(asked(tools=(bare, strict)), strict_tools=False)
    assert sent["tools"][0] == {"type": "function", "function": {"name": "f"}}
    assert sent["tools"][1]["function"].keys() == {"name", "parameters"}
    assert sent["tools"][1]["function"]["parameters"]["type"] == "object"
    assert lost == ("dropped:strict",)
    sent, _ = written(asked(tools=(strict,)))
    assert sent["tools"][0]["function"]["strict"] is True


@pytest.mark.parametrize(
    ("choice", "can", "wanted"),
    [
        (ToolChoice("auto"), {}, "auto"),
        (ToolChoice("none"), {}, "none"),
        (ToolChoice("required"), {}, "required"),
        (ToolChoice("required"), {"required_choice": "any"}, "any"),
        (ToolChoice("required", ("f",)), {}, {"type": "function", "function": {"name": "f"}}),
        (ToolChoice("required", ("p",)), {"custom_tools": True}, {"type": "custom", "custom": {"name": "p"}}),
        (
            ToolChoice("auto", ("f", "p"), is_list=True),
            {"custom_tools": True, "allowed_tools": True},
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "p"}},
                    ],
                },
            },
        ),
    ],
)
def test_tool_choices(choice, can, wanted):
    sent, _ = written(asked(tools=(Tool("f"), Tool("p", "custom")), tool_choice=choice), **can)
    assert sent["tool_choice"] == wanted


def test_named_choice_becomes_the_only_tool_where_names_are_not_taken():
    request = asked(tools=(Tool("f"), Tool("g")), tool_choice=ToolChoice("required", ("g",)))
    sent, lost = written(request, named_choice=False)
    assert sent["tool_choice"] == "required"
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["g"]
    assert "emulated:tool_choice" in lost


def test_demand_that_cannot_be_made_is_dropped():
    sent, lost = written(asked(tools=(Tool("f"),), tool_choice=ToolChoice("required")), required_choice="")
    assert "tool_choice" not in sent
    assert lost == ("dropped:tool_choice",)


def test_search_becomes_options_where_the_model_searches():
    wanted = Search(place={"city": "Oslo"})
    search = Tool("web_search", "hosted", native={"type": "web_search_2025"}, format="anthropic", search=wanted)
    request = asked(tools=(search, Tool("f")), tool_choice=ToolChoice("required", ("web_search",)))
    sent, lost = written(request, web_search=True)
    assert sent["web_search_options"] == {"user_location": {"type": "approximate", "approximate": {"city": "Oslo"}}}
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["f"]
    assert "tool_choice" not in sent
    assert {"emulated:web_search", "dropped:tool_choice"} <= set(lost)


def test_search_leaves_no_trace_where_the_model_does_not():
    search = Tool("web_search", "hosted", native={"type": "web_search_2025"}, format="anthropic")
    sent, lost = written(asked(tools=(search,), tool_choice=ToolChoice("required", ("web_search",))))
    assert not {"tools", "tool_choice", "web_search_options"} & sent.keys()
    assert lost == ("dropped:web_search",)


def test_hosted_tools_of_this_format_stay_as_they_were():
    tool = {"type": "web_search", "web_search": {"enable": True}}
    sent, _ = written(decoded(tools=[tool]), web_search=True)
    assert sent["tools"] == [tool]
    sent, _ = written(decoded(web_search_options={"search_context_size": "low"}), web_search=True)
    assert sent["web_search_options"] == {"search_context_size": "low"}


# --- the shape of the answer -------------------------------------------------------------------------------------

CLOSED = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {
            "type": "array",
            "items": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        },
    },
    "required": ["a", "b"],
    "additionalProperties": False,
}
OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "client", "strict", "wanted"),
    [
        (CLOSED, "anthropic", None, True),
        (OPEN, "anthropic", None, None),
        ({**CLOSED, "required": ["a"]}, "anthropic", None, None),
        ({**CLOSED, "properties": {"a": OPEN, "b": {}}}, "anthropic", None, None),
        ({**CLOSED, "$defs": {"x": OPEN}}, "anthropic", None, None),
        (CLOSED, "openai-chat", None, None),
        (CLOSED, "anthropic", False, False),
        (OPEN, "openai-chat", True, True),
    ],
)
def test_schemas_are_strict_where_they_can_be(schema, client, strict, wanted):
    request = replace(asked(output=OutputFormat("json_schema", schema, strict=strict)), format=client)
    named = written(request)[0]["response_format"]["json_schema"]
    assert (named["name"], named["schema"], named.get("strict")) == ("response", schema, wanted)


def test_schema_keeps_a_name_that_fits():
    output = OutputFormat("json_schema", OPEN, name="my answer!", description="d")
    named = written(asked(output=output))[0]["response_format"]["json_schema"]
    assert (named["name"], named["description"]) == ("my_answer_", "d")


def test_schema_becomes_words_where_it_is_not_taken():
    request = asked(output=OutputFormat("json_schema", OPEN), system=(Text("s"),))
    sent, lost = written(request, structured_output=False)
    assert sent["response_format"] == {"type": "json_object"}
    assert '"integer"' in sent["messages"][0]["content"][1]["text"]
    assert lost == ("emulated:response_format",)
    sent, _ = written(request, structured_output=False, json_object=False)
    assert "response_format" not in sent


def test_json_mode_is_named_to_the_model_where_its_client_did_not():
    output = OutputFormat("json_object")
    assert "JSON" in messages(asked(output=output))[0]["content"]
    said = asked(user(Text("answer in json")), output=output)
    assert [message["role"] for message in messages(said)] == ["user"]
    own = replace(asked(output=output), format="openai-chat")
    assert [message["role"] for message in messages(own)] == ["user"]
    assert written(asked(output=output), json_object=False)[1] == ("emulated:response_format",)


# --- everything else ---------------------------------------------------------------------------------------------


def test_streams_always_ask_for_usage():
    sent, _ = written(asked(is_stream=True, wants_usage=False))
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert "stream_options" not in written(asked(is_stream=True), stream_usage=False)[0]
    assert "stream" not in written(asked())[0]
    kept = decoded(stream=True, stream_options={"include_obfuscation": False})
    assert written(kept)[0]["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_numbers_go_under_the_names_that_the_target_knows():
    request = asked(
        max_tokens=5,
        temperature=0,
        top_p=0.5,
        top_k=4,
        stop=("a", "b"),
        seed=1,
        choices=2,
        logprobs=True,
        top_logprobs=2,
    )
    sent, lost = written(request, max_tokens_field="max_completion_tokens", seed_field="random_seed", top_k=True)
    assert (sent["max_completion_tokens"], sent["temperature"], sent["top_p"], sent["top_k"]) == (5, 0, 0.5, 4)
    assert (sent["stop"], sent["random_seed"], sent["n"]) == (["a", "b"], 1, 2)
    assert (sent["logprobs"], sent["top_logprobs"], lost) == (True, 2, ())
    sent, lost = written(request)
    assert ("max_tokens" in sent, "top_k" in sent, lost) == (True, False, ("dropped:top_k",))


def test_top_logprobs_alone_ask_for_logprobs():
    assert written(asked(top_logprobs=2))[0]["logprobs"] is True


def test_several_answers_are_refused_where_they_cannot_be_had():
    with pytest.raises(BadRequest):
        written(asked(choices=2), choices=False)


def test_long_users_are_shortened_the_same_way_every_time():
    sent, _ = written(asked(user="x" * 170))
    assert len(sent["user"]) == 64
    assert sent == written(asked(user="x" * 170))[0]
    assert written(asked(user="ann"))[0]["user"] == "ann"


@pytest.mark.parametrize(("known", "member"), [(True, "safety_identifier"), (False, "user")])
def test_safety_identifier_is_used_by_clients_that_used_it(known, member):
    sent, lost = written(decoded(safety_identifier="s"), safety_identifier=known)
    assert ({name: sent.get(name) for name in ("safety_identifier", "user")}[member], lost) == ("s", ())
    assert len({"safety_identifier", "user"} & sent.keys()) == 1


def test_members_are_sent_only_where_they_are_known():
    request = asked(cache_key="k", service_tier="priority", verbosity="low", metadata={"a": "b"})
    sent, lost = written(request, cache_key=True, service_tier=True, verbosity=True, metadata=True)
    assert (sent["prompt_cache_key"], sent["service_tier"], sent["verbosity"]) == ("k", "priority", "low")
    assert (sent["metadata"], lost) == ({"a": "b"}, ())
    sent, lost = written(request)
    assert not {"prompt_cache_key", "service_tier", "verbosity", "metadata"} & sent.keys()
    assert set(lost) == {"dropped:service_tier", "dropped:verbosity", "dropped:metadata"}


def test_native_members_go_through_to_a_dialect_of_the_same_format():
    body = {"chat_template_kwargs": {"a": 1}, "guided_json": {}, "min_p": 0.1, "provider": {"order": []}}
    sent, lost = written(decoded(**body))
    assert {name: sent[name] for name in body} == body
    assert lost == ()
    other = replace(decoded(**body), format="gemini")
    assert not body.keys() & written(other)[0].keys()


def test_names_and_unknown_parts_go_through_to_a_dialect():
    odd = {"type": "doc_url", "doc_url": {"url": "x"}}
    sent = messages(decoded(messages=[{"role": "user", "name": "ann", "content": [odd]}]))
    assert sent == [{"role": "user", "name": "ann", "content": [odd]}]


def test_own_refusals_and_voices_keep_their_members():
    history = [
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": "?"},
        {"role": "assistant", "audio": {"id": "a1", "data": "x"}},
    ]
    assert messages(decoded(messages=history)) == [
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "audio": {"id": "a1"}},
    ]


def test_foreign_refusals_are_text():
    sent = messages(asked(user(Text("q")), model(Text("no", is_refusal=True)), user(Text("?"))))
    assert sent[1] == {"role": "assistant", "content": "no"}


def test_beginning_of_an_answer_is_marked_where_that_is_known():
    request = asked(user(Text("Sun in Greek?")), model(Text("The answer is (")))
    assert messages(request, prefix=True)[1] == {"role": "assistant", "content": "The answer is (", "prefix": True}
    sent, lost = written(request)
    assert ("prefix" in sent["messages"][1], lost) == (False, ("emulated:prefill",))
    done = asked(user(Text("q")), model(Text("a")), user(Text("?")))
    assert not any("prefix" in message for message in messages(done, prefix=True))


def test_a_schema_in_the_hosts_own_words():
    output = OutputFormat("json_schema", {"type": "object"}, name="n")
    sent, lost = written(asked(output=output), schema_as_value=True)
    assert (sent["response_format"], lost) == ({"type": "json", "value": {"type": "object"}}, ())


def test_caching_goes_where_its_key_is_known():
    request = decoded(messages=[{"role": "user", "content": "hi"}], prompt_cache_retention="24h")
    assert written(request, cache_key=True)[0]["prompt_cache_retention"] == "24h"
    sent, lost = written(request)
    assert ("prompt_cache_retention" in sent, lost) == (False, ("dropped:prompt_cache_retention",))
