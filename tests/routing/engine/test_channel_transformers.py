"""A channel's transformers at work in the gateway: which requests they touch, and what becomes of those."""

import json

import pytest

from channels_app.engine.registry import UnknownName
from routing.engine.document import ModelSpec
from routing.engine.transformers import TRANSFORMERS, chain_of
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import GOOD_WHOLE, PATHS, Harness, Step, streamed

#: Unusual spacing and an unknown member: what is read and written again would not look like this.
BODY = b'{ "model" : "m", "messages":[{"role":"user","content":"hi"}], "x_unknown": 1.50, "max_tokens": 900 }'


def gateway(*entries, models=("m",), steps=()):
    return Harness(*steps, channels=[channel("a", transformers=entries, models=models)])


async def sent(harness, body=BODY, **how):
    answer = await harness.ask(body, **how)
    assert answer.status == 200, answer.body
    return harness.provider.sent[-1].body


@pytest.mark.asyncio
async def test_without_transformers_the_bytes_pass_as_they_are():
    assert await sent(gateway()) == BODY


@pytest.mark.asyncio
async def test_with_a_transformer_the_body_is_read_and_written_again():
    body = await sent(gateway("cleancache"))
    assert body != BODY and json.loads(body) == json.loads(BODY)


@pytest.mark.asyncio
async def test_options_apply_and_the_answer_and_the_record_say_so():
    harness = gateway({"maxtoken": {"max_tokens": 5, "field": "max_new_tokens"}})
    answer = await harness.ask(BODY)
    assert json.loads(harness.provider.sent[0].body)["max_new_tokens"] == 5
    assert "clamped:max_tokens" in answer.headers["x-routex-warnings"].split(", ")
    assert harness.record.warnings == answer.headers["x-routex-warnings"]


@pytest.mark.asyncio
async def test_a_chain_applies_in_its_order():
    first, then = {"customparams": {"a": 1}}, {"customparams": {"a": 2, "b": 3}}
    assert json.loads(await sent(gateway(first, then))).items() >= {"a": 1, "b": 3}.items()
    assert json.loads(await sent(gateway(then, first)))["a"] == 2


@pytest.mark.asyncio
async def test_transformers_meant_for_some_models_leave_the_bytes_of_others_alone():
    entry = {"customparams": {"added": 1, "models": ["small-*"]}}
    models = ("small-1", "large-1")
    small, large = BODY.replace(b'"m"', b'"small-1"'), BODY.replace(b'"m"', b'"large-1"')
    assert json.loads(await sent(gateway(entry, models=models), small))["added"] == 1
    assert await sent(gateway(entry, models=models), large) == large
    assert await sent(gateway("openai", entry, models=models), large) == large, "naming the format changes nothing"


@pytest.mark.asyncio
async def test_a_transformer_is_meant_for_the_upstreams_model_not_its_public_name():
    entry = {"customparams": {"added": 1, "models": ["their-m"]}}
    assert "added" in json.loads(await sent(gateway(entry, models=[ModelSpec("m", "their-m")])))


@pytest.mark.asyncio
async def test_only_the_channel_that_has_them_applies_them():
    harness = Harness(
        Step(500), Step(), channels=[channel("a", priority=1, transformers=({"customparams": {"x": 1}},)), channel("b")]
    )
    await harness.ask(BODY)
    first, second = (request.body for request in harness.provider.sent)
    assert "x" in json.loads(first) and second == BODY


def exit_call(**arguments):
    call = {"id": "c1", "type": "function", "function": {"name": "ExitTool", "arguments": json.dumps(arguments)}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return json.loads(GOOD_WHOLE) | {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}


TOOLS = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}


@pytest.mark.asyncio
async def test_answers_are_changed_on_their_way_back():
    harness = gateway("tooluse", steps=[Step(chunks=[json.dumps(exit_call(response="All done.")).encode()])])
    answer = await harness.ask(**TOOLS)
    asked = json.loads(harness.provider.sent[0].body)
    assert asked["tool_choice"] == "required" and len(asked["tools"]) == 2
    (choice,) = answer.json["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("All done.", "stop")


@pytest.mark.asyncio
async def test_streams_are_changed_on_their_way_back():
    (choice,) = exit_call(response="All done.")["choices"]
    message = choice.pop("message")
    message["tool_calls"][0]["index"] = 0
    events = [choice | {"delta": message, "finish_reason": None}, choice | {"delta": {}}]
    chunks = [f"data: {json.dumps({'id': 'c', 'choices': [event]})}\n\n".encode() for event in events]
    harness = gateway("tooluse", steps=[streamed(*chunks, b"data: [DONE]\n\n")])
    answer = await harness.ask(stream=True, **TOOLS)
    assert b"All done." in answer.body and b"ExitTool" not in answer.body
    assert b'"finish_reason":"stop"' in answer.body and b"tool_calls" not in answer.body


@pytest.mark.asyncio
async def test_a_client_of_another_format_gets_the_same_changes():
    body = json.loads(BODY)
    harness = gateway({"sampling": {"temperature": {"max": 0.2}}})
    harness.provider.endpoints = {"openai-chat": "/chat"}
    answer = await harness.ask(body | {"temperature": 0.9}, path=PATHS["anthropic"])
    assert answer.json["content"] == [{"type": "text", "text": "Hi"}]
    assert json.loads(harness.provider.sent[0].body)["temperature"] == 0.2
    assert "clamped:temperature" in answer.headers["x-routex-warnings"]


# --- from outside the repository -------------------------------------------------------------------------------------

OUTSIDE = """
import msgspec
from msgspec.structs import replace
from routing.engine.transformer import Transformer


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mark: str = "!"


class Shout(Transformer):
    name = "Shout"
    summary = "Says who asks, louder."
    options = Options

    def request(self, request, losses, options):
        losses.emulated("calm")
        return replace(request, user="LOUD" + options.mark)
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A package with an entry point, as pip would install it."""
    (tmp_path / "shouting.py").write_text(OUTSIDE)
    (tmp_path / "shouting-1.0.dist-info").mkdir()
    (tmp_path / "shouting-1.0.dist-info" / "METADATA").write_text("Name: shouting\nVersion: 1.0\n")
    entries = "[routex.transformers]\nShout = shouting:Shout\nmaxtoken = shouting:Shout\n"
    (tmp_path / "shouting-1.0.dist-info" / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(TRANSFORMERS, "_looked_outside", False)
    monkeypatch.setattr(TRANSFORMERS, "_paths", dict(TRANSFORMERS._paths))
    monkeypatch.setattr(TRANSFORMERS, "_made", dict(TRANSFORMERS._made))


@pytest.mark.asyncio
async def test_a_transformer_of_another_package_works_like_ones_own(outside):
    harness = gateway({"Shout": {"mark": "!!"}})
    answer = await harness.ask(BODY)
    assert json.loads(harness.provider.sent[0].body)["user"] == "LOUD!!"
    assert answer.headers["x-routex-warnings"] == "emulated:calm"


def test_a_transformer_of_another_package_is_listed_and_its_options_are_checked(outside):
    assert "Shout" in list(TRANSFORMERS)
    with pytest.raises(ValueError, match=r"transformer Shout: .*`voice`"):
        chain_of([{"Shout": {"voice": 1}}])


def test_no_package_takes_the_place_of_a_transformer_of_ours(outside):
    assert type(chain_of(["maxtoken"]).steps[0].transformer).__name__ == "MaxToken"


def test_the_names_that_may_load_can_be_narrowed(outside, monkeypatch):
    monkeypatch.setenv("ROUTEX_PLUGINS", "something-else")
    assert "Shout" not in TRANSFORMERS
    with pytest.raises(UnknownName, match="known are: anthropic"):
        TRANSFORMERS["Shout"]
