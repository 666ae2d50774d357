"""A conversation is fitted to its target: what has no slot there is named, moved, cut or refused."""

import json
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from channels_app.engine.providers import PROVIDERS
from routing.engine.codec import Exchange, Target
from routing.engine.errors import BadRequest
from routing.engine.fitting import fit
from routing.engine.losses import Losses
from routing.engine.messages import (
    ChatRequest,
    Media,
    Message,
    Native,
    OutputFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from routing.engine.trial import Trial

ABLE = Capabilities(
    cache_key=True, custom_tools=True, allowed_tools=True, web_search=True, top_k=True, verbosity=True, metadata=True
)
HI = Message("user", (Text("hi"),))


class Codec:
    """An upstream format that lacks nothing but what a test takes away."""

    lacks: ClassVar[frozenset[str]] = frozenset()
    refuses: ClassVar[frozenset[str]] = frozenset()
    media: ClassVar[frozenset[str]] = frozenset({"image", "document", "audio", "video"})
    takes: ClassVar[frozenset[str]] = frozenset()
    rare: ClassVar[frozenset[str]] = frozenset()
    issuer: ClassVar[str] = ""


def fitted(
    lacks: set[str] = frozenset(),
    refuses: set[str] = frozenset(),
    media: set[str] = Codec.media,
    can: Any = None,
    **asked,
) -> Exchange:
    codec = Codec()
    codec.lacks, codec.refuses, codec.media = frozenset(lacks), frozenset(refuses), frozenset(media)
    request = ChatRequest(**({"format": "one", "model": "m", "messages": (HI,)} | asked))
    exchange = Exchange(
        request, Target("other", "somebody", "chn", "real-m", replace(ABLE, **(can or {}))), losses=Losses()
    )
    fit(exchange, codec)
    return exchange


@pytest.mark.parametrize(
    ("feature", "value", "empty"),
    [
        ("temperature", 0.5, None),
        ("top_p", 0.5, None),
        ("top_k", 3, None),
        ("stop", ("END",), ()),
        ("seed", 7, None),
        ("presence_penalty", 0.5, None),
        ("frequency_penalty", 0.5, None),
        ("logit_bias", {"5": 1}, None),
        ("user", "u-1", ""),
        ("metadata", {"a": "b"}, None),
        ("verbosity", "low", None),
    ],
)
def test_what_the_format_has_no_slot_for_is_dropped_and_named(feature, value, empty):
    kept = fitted(**{feature: value})
    assert getattr(kept.request, feature) == value
    assert kept.losses.codes == ()
    gone = fitted(lacks={feature}, **{feature: value})
    assert getattr(gone.request, feature) == empty
    assert gone.losses.codes == (f"dropped:{feature}",)


@pytest.mark.parametrize("value", [0, 0.0])
def test_zero_is_a_value_and_its_loss_is_told(value):
    assert fitted(lacks={"temperature"}, temperature=value).losses.codes == ("dropped:temperature",)
    assert fitted(temperature=value).request.temperature == value


def test_medium_verbosity_is_what_everyone_writes_and_no_loss():
    exchange = fitted(lacks={"verbosity"}, verbosity="medium")
    assert exchange.request.verbosity is None
    assert exchange.losses.codes == ()


def test_a_model_without_sampling_parameters_gets_none():
    exchange = fitted(can={"sampling_params": False}, temperature=1.0, top_p=1.0, top_k=5)
    assert exchange.losses.codes == ("dropped:temperature", "dropped:top_p", "dropped:top_k")


def test_numbers_are_brought_within_limits_and_said_so():
    exchange = fitted(can={"max_output": 100, "max_temperature": 1.0}, max_tokens=500, temperature=1.7)
    assert (exchange.request.max_tokens, exchange.request.temperature) == (100, 1.0)
    assert exchange.losses.codes == ("clamped:max_tokens", "clamped:temperature")


def test_stop_sequences_beyond_the_limit_are_dropped():
    exchange = fitted(can={"max_stop": 2}, stop=("a", "b", "c"))
    assert exchange.request.stop == ("a", "b")
    assert exchange.losses.codes == ("dropped:stop",)


@pytest.mark.parametrize(("asked", "param"), [({"choices": 3}, "n"), ({"logprobs": True}, "logprobs")])
def test_what_would_change_the_answer_silently_is_refused(asked, param):
    with pytest.raises(BadRequest) as refused:
        fitted(refuses=set(asked), **asked)
    assert refused.value.param == param
    assert fitted(**asked).losses.codes == ()


@pytest.mark.parametrize("name", ["previous_response_id", "conversation", "background"])
def test_state_that_lies_with_another_upstream_is_refused(name):
    with pytest.raises(BadRequest, match=name):
        fitted(native={name: "x"})
    assert fitted(native={name: None}).losses.codes == ()


def test_media_that_the_format_cannot_carry_are_refused_inside_tool_results_too():
    sound = Media("audio", "audio/wav", data="UklGRg==")
    for parts in ((sound,), (ToolResult("a", (sound,)),)):
        with pytest.raises(BadRequest, match="audio"):
            fitted(media={"image"}, messages=(Message("user", parts),))


def test_a_file_that_lies_with_another_provider_is_refused():
    with pytest.raises(BadRequest, match="file-1"):
        fitted(messages=(Message("user", (Media("document", file_id="file-1"),)),))


def test_a_file_that_only_another_cloud_opens_is_refused():
    messages = (Message("user", (Media("image", url="gs://bucket/a.png"),)),)
    with pytest.raises(BadRequest, match="cloud"):
        fitted(messages=messages)
    assert fitted(messages=messages, can={"own_urls": ("gs://",)}).losses.codes == ()


@pytest.mark.parametrize(
    ("name", "modalities"), [("modalities", ["text", "audio"]), ("responseModalities", ["TEXT", "AUDIO"])]
)
def test_a_spoken_answer_is_refused(name, modalities):
    with pytest.raises(BadRequest) as refused:
        fitted(native={name: modalities})
    assert refused.value.param == name


def test_a_long_tool_name_is_shortened_everywhere_and_restored():
    long = "a" * 70
    call = Message("assistant", (ToolCall("c", long, "{}"),))
    exchange = fitted(tools=(Tool(long),), tool_choice=ToolChoice("required", (long,)), messages=(HI, call))
    request = exchange.request
    short = request.tools[0].name
    assert len(short) == 64
    assert request.tool_choice == ToolChoice("required", (short,))
    assert request.messages[1].parts[0].name == short
    assert request.messages[2].parts[0].name == short
    assert exchange.names.restore(short) == long


def test_a_free_text_tool_becomes_a_function_with_one_input():
    tool = Tool("patch", "custom", "Patches.", grammar={"type": "grammar", "syntax": "lark", "definition": "start: x"})
    history = (HI, Message("assistant", (ToolCall("c", "patch", "*** Begin", is_custom=True),)))
    exchange = fitted(can={"custom_tools": False}, tools=(tool,), messages=history)
    made = exchange.request.tools[0]
    assert made.kind == "function"
    assert made.schema is not None
    assert list(made.schema["properties"]) == ["input"]
    assert "start: x" in made.description
    call = exchange.request.messages[1].parts[0]
    assert (call.arguments, call.is_custom) == ('{"input":"*** Begin"}', False)
    assert exchange.names.is_custom("patch")
    assert exchange.losses.codes[0] == "emulated:custom_tool"


def test_a_free_text_tool_is_known_even_where_it_goes_out_as_one():
    exchange = fitted(can={"custom_tools": True}, tools=(Tool("patch", "custom"),))
    assert exchange.request.tools[0].kind == "custom"
    assert exchange.names.is_custom("patch")
    assert exchange.losses.codes == ()


def test_a_hosted_search_goes_with_the_choice_that_demands_it():
    tool = Tool("web_search", "hosted", native={"type": "web_search_20250305"}, format="one")
    exchange = fitted(
        can={"web_search": False},
        tools=(tool,),
        tool_choice=ToolChoice("required", ("web_search",)),
        parallel_tool_calls=True,
    )
    assert (exchange.request.tools, exchange.request.tool_choice) == ((), None)
    assert exchange.request.parallel_tool_calls is None
    assert exchange.losses.codes == ("dropped:web_search",)


def test_another_hosted_tool_is_dropped_by_its_own_type():
    tool = Tool("computer", "hosted", native={"type": "computer_20250124"}, format="one")
    assert fitted(tools=(tool,)).losses.codes == ("dropped:tool:computer_20250124",)


def test_a_list_of_allowed_tools_becomes_a_shorter_list_where_it_is_not_known():
    tools = (Tool("a"), Tool("b"))
    choice = ToolChoice("required", ("b",), is_list=True)
    exchange = fitted(can={"allowed_tools": False}, tools=tools, tool_choice=choice)
    assert [tool.name for tool in exchange.request.tools] == ["b"]
    assert exchange.request.tool_choice == ToolChoice("required")
    assert exchange.losses.codes == ("emulated:allowed_tools",)
    assert fitted(tools=tools, tool_choice=choice).request.tool_choice == choice


def test_one_tool_at_a_time_is_dropped_where_it_cannot_be_said():
    gone = fitted(lacks={"parallel_tool_calls"}, tools=(Tool("a"),), parallel_tool_calls=False)
    assert gone.losses.codes == ("dropped:parallel_tool_calls",)
    silent = fitted(lacks={"parallel_tool_calls"}, tools=(Tool("a"),), parallel_tool_calls=True)
    assert silent.losses.codes == ()


def test_ids_outside_the_pattern_change_alike_on_both_sides():
    history = (
        HI,
        Message("assistant", (ToolCall("functions.f:0", "f", "{}"),)),
        Message("user", (ToolResult("functions.f:0", (Text("ok"),)),)),
    )
    for can in ({}, {"tool_id": r"^[a-zA-Z0-9]{9}$", "max_tool_id": 9}):
        request = fitted(can=can, messages=history).request
        call, result = request.messages[1].parts[0], request.messages[2].parts[0]
        assert call.id == result.call_id
        assert call.id.replace("_", "").isalnum()
        assert len(call.id) == (9 if can else 29)


def test_what_only_one_format_has_is_dropped_by_name():
    part = Native("one", "search_result", {"x": 1})
    exchange = fitted(messages=(Message("user", (Text("a"), part)),), native={"container": "c", "store": True})
    assert exchange.request.messages[0].parts == (Text("a"),)
    assert exchange.request.native == {}
    assert exchange.losses.codes == ("dropped:search_result", "dropped:container", "dropped:store")


def test_the_same_format_keeps_what_only_it_has():
    exchange = fitted(
        format="other", native={"container": "c"}, messages=(Message("user", (Native("other", "x", 1),)),)
    )
    assert exchange.request.native == {"container": "c"}
    assert exchange.losses.codes == ()


def test_a_clients_own_bookkeeping_is_left_out_without_a_word():
    exchange = fitted(system=(Text("billing", only_for="one"), Text("Be brief.")))
    assert exchange.request.system == (Text("Be brief."),)
    assert exchange.losses.codes == ()


@pytest.mark.parametrize(
    ("provider", "is_kept"),
    [("anthropic", True), ("anthropic-compatible", True), ("deepseek", False), ("moonshot", False), ("zhipu", False)],
)
def test_a_billing_header_goes_to_the_inventor_of_its_format_alone(provider, is_kept):
    can = PROVIDERS[provider].capabilities_of("anthropic", "m")
    told = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cc_entrypoint=cli;"}
    asked = told | {"system": [billing, {"type": "text", "text": "You look for birds."}]}
    tried = Trial("anthropic", "anthropic", "m", provider, can).request(json.dumps(asked).encode())
    assert [billing in tried.body["system"], len(tried.body["system"])] == [is_kept, 1 + is_kept]
    assert tried.warnings == ()


@pytest.mark.parametrize(
    ("can", "codes", "roles"),
    [
        ({"prefill": "native"}, (), ["user", "assistant"]),
        ({"prefix": True}, (), ["user", "assistant"]),
        ({"prefill": "loose"}, ("emulated:prefill",), ["user", "assistant"]),
        ({"prefill": "refused"}, ("emulated:prefill",), ["user", "user"]),
    ],
)
def test_an_answer_that_the_client_began_is_continued_as_the_model_allows(can, codes, roles):
    exchange = fitted(can=can, messages=(HI, Message("assistant", (Text("The answer is"),))))
    assert exchange.losses.codes == codes
    assert [message.role for message in exchange.request.messages] == roles


def test_a_loss_is_told_in_the_clients_word_as_well():
    losses = Losses({"top_k": "topK"})
    losses.dropped("top_k")
    assert losses.codes == ("dropped:top_k", "dropped:topK")
    assert losses.spelled("top_k") == "topK"


class Envelope(Codec):
    """Another host's envelope of the format `one`."""

    issuer = "one"
    takes = frozenset({"keep"})


def test_an_envelope_keeps_what_is_its_issuers_but_its_files():
    native = {"container": "c", "keep": 1}
    part = Native("one", "search_result", {})
    tool = Tool("bash", "hosted", native={"type": "bash_20250124"}, format="one")
    asked = ChatRequest("one", "m", (Message("user", (part,)),), tools=(tool,), native=native)
    target = Target("envelope", "host", "chn_1", "m", Capabilities())
    exchange = Exchange(asked, target)
    fit(exchange, Envelope())
    assert (exchange.request.native, exchange.request.tools) == (native, (tool,))
    assert exchange.request.messages[0].parts == (part,)
    file = Message("user", (Media("document", file_id="file_1"),))
    with pytest.raises(BadRequest, match="file_1"):
        fit(Exchange(ChatRequest("one", "m", (file,)), target), Envelope())


def test_members_that_mean_the_same_to_the_upstream_stay():
    asked = ChatRequest("openai-chat", "m", (Message("user", (Text("Hi"),)),), native={"keep": 1, "other": 2})
    exchange = Exchange(asked, Target("envelope", "host", "chn_1", "m", Capabilities()))
    fit(exchange, Envelope())
    assert exchange.request.native == {"keep": 1}
    assert list(exchange.losses) == ["dropped:other"]


def test_a_file_may_be_named_in_another_format_of_its_house():
    file = Message("user", (Media("document", file_id="file-1"),))
    assert fitted(can={"file_formats": ("one",)}, messages=(file,)).request.messages == (file,)
    # Pictures have such ids in one of the two only.
    with pytest.raises(BadRequest, match="file-1"):
        fitted(can={"file_formats": ("one",)}, messages=(Message("user", (Media("image", file_id="file-1"),)),))


class Choosy(Codec):
    """A format of whose members some upstreams know fewer."""

    rare = frozenset({"store", "moderation", "prediction"})


def test_members_that_few_upstreams_of_the_format_know_go_to_those_only():
    native = {"store": True, "moderation": {"mode": "x"}, "prediction": {"content": "x"}, "min_p": 0.1}
    asked = ChatRequest("envelope", "m", (HI,), native=native)
    exchange = Exchange(asked, Target("envelope", "host", "c", "m", Capabilities(rare_members=("prediction",))))
    fit(exchange, Choosy())
    assert exchange.request.native == {"prediction": {"content": "x"}, "min_p": 0.1}
    assert exchange.losses.codes == ("dropped:store", "dropped:safetySettings", "dropped:moderation")
    silent = Exchange(replace(asked, native={"store": False}), exchange.target)
    fit(silent, Choosy())
    assert (silent.request.native, silent.losses.codes) == ({}, ())


def test_schemas_in_the_words_of_openapi_become_json_schema():
    written = {"type": "OBJECT", "properties": {"nullable": {"type": "string"}, "a": {"type": "STRING"}}}
    maybe = {"type": "object", "properties": {"a": {"type": "string", "nullable": True}}}
    request = fitted(tools=(Tool("f", schema=written),), output=OutputFormat("json_schema", maybe)).request
    assert request.tools[0].schema == {
        "type": "object",
        "properties": {"nullable": {"type": "string"}, "a": {"type": "string"}},
    }
    assert request.output.schema == {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
    plain = {"type": "object", "properties": {"nullable": {"type": "boolean", "default": True}}, "example": {}}
    assert fitted(tools=(Tool("f", schema=plain),)).request.tools[0].schema is plain
