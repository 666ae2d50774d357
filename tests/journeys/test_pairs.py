"""The official client of each format over an upstream of each: a tool is called, its result told, an error raised."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

from tests.journeys.scripted import ERROR, Broken, Call, ScriptedUpstream, Text
from tests.journeys.tenants import RAW_FAULTS, Customer, make_customer

#: Upstream format → its provider.
UPSTREAMS = {"openai-chat": "openai", "openai-responses": "openai", "anthropic": "anthropic", "gemini": "gemini"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED, FOUND, SAID = "How is the weather in Zürich?", "18 °C, a light wind", "It is mild in Zürich."
CALL = ("get_weather", {"city": "Zürich"})


class Talk(ABC):
    """A conversation through one official client, which streams."""

    def __init__(self, url: str, key: str, model: str) -> None:
        self.model = model
        self.client = self.connect(url, key)
        self.history: list[Any] = self.opening()

    @abstractmethod
    def connect(self, url: str, key: str) -> Any:
        """Return the client, which tries once."""

    @abstractmethod
    def opening(self) -> list[Any]:
        """Return the history with the first question."""

    @abstractmethod
    def turn(self) -> tuple[str, tuple[str, dict[str, Any]] | None]:
        """Stream the model's next turn into the history; return its text and its call, if it has one."""

    @abstractmethod
    def answer(self, result: str) -> None:
        """Add the result of the latest call to the history."""


class Chat(Talk):
    tools: ClassVar[list[Any]] = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]

    def connect(self, url, key):
        return openai.OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0)

    def opening(self):
        return [{"role": "user", "content": ASKED}]

    def turn(self):
        text, calls = "", {}
        create = self.client.chat.completions.create
        for chunk in create(model=self.model, messages=self.history, tools=self.tools, stream=True):
            for choice in chunk.choices:
                text += choice.delta.content or ""
                for piece in choice.delta.tool_calls or ():
                    call = calls.setdefault(piece.index, {"id": piece.id, "type": "function", "function": {}})
                    for name in ("name", "arguments"):
                        said = call["function"].get(name, "") + (getattr(piece.function, name) or "")
                        call["function"][name] = said
        turn = {"role": "assistant", "content": text or None} | ({"tool_calls": list(calls.values())} if calls else {})
        self.history.append(turn)
        called = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls.values()]
        return text, called[0] if called else None

    def answer(self, result):
        call_id = self.history[-1]["tool_calls"][0]["id"]
        self.history.append({"role": "tool", "tool_call_id": call_id, "content": result})


class Responses(Chat):
    tools: ClassVar[list[Any]] = [{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}]

    def turn(self):
        asked = {"model": self.model, "input": self.history, "tools": self.tools, "store": False}
        for event in self.client.responses.create(stream=True, **asked):
            if event.type in {"error", "response.failed"}:  # to the package these are events, no exceptions
                raise openai.APIError(str(event), httpx2.Request("POST", "/v1/responses"), body=None)
        answer = event.response
        self.history += [item.model_dump(exclude_none=True) for item in answer.output]
        called = [(item.name, json.loads(item.arguments)) for item in answer.output if item.type == "function_call"]
        return answer.output_text, called[0] if called else None

    def answer(self, result):
        call_id = self.history[-1]["call_id"]
        self.history.append({"type": "function_call_output", "call_id": call_id, "output": result})


class Messages(Talk):
    tools: ClassVar[list[Any]] = [{"name": "get_weather", "input_schema": SCHEMA}]

    def connect(self, url, key):
        return anthropic.Anthropic(api_key=key, base_url=url, max_retries=0)

    def opening(self):
        return [{"role": "user", "content": ASKED}]

    def turn(self):
        asked = {"model": self.model, "max_tokens": 500, "messages": self.history, "tools": self.tools}
        with self.client.messages.stream(**asked) as stream:
            message = stream.get_final_message()
        self.history.append({"role": "assistant", "content": message.content})
        text = "".join(block.text for block in message.content if block.type == "text")
        called = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
        return text, called[0] if called else None

    def answer(self, result):
        call = next(block for block in self.history[-1]["content"] if block.type == "tool_use")
        told = {"type": "tool_result", "tool_use_id": call.id, "content": result}
        self.history.append({"role": "user", "content": [told]})


class GenerateContent(Talk):
    def connect(self, url, key):
        once = types.HttpRetryOptions(attempts=1)
        return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url, retry_options=once))

    def opening(self):
        return [types.Content(role="user", parts=[types.Part(text=ASKED)])]

    def turn(self):
        declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema=SCHEMA)
        config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
        config.automatic_function_calling = types.AutomaticFunctionCallingConfig(disable=True)
        asked = {"model": self.model, "contents": self.history, "config": config}
        parts = []
        for chunk in self.client.models.generate_content_stream(**asked):
            for candidate in chunk.candidates or ():
                parts += candidate.content.parts or () if candidate.content else ()
        self.history.append(types.Content(role="model", parts=parts))
        text = "".join(part.text or "" for part in parts if not part.thought)
        called = [(part.function_call.name, part.function_call.args) for part in parts if part.function_call]
        return text, called[0] if called else None

    def answer(self, result):
        call = next(part.function_call for part in self.history[-1].parts if part.function_call)
        told = types.FunctionResponse(id=call.id, name=call.name, response={"output": result})
        self.history.append(types.Content(role="user", parts=[types.Part(function_response=told)]))


CLIENTS = {"openai-chat": Chat, "openai-responses": Responses, "anthropic": Messages, "gemini": GenerateContent}


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedUpstream]:
    """The upstream of all channels here."""
    server = ScriptedUpstream()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pairing(gateway, scripted, django_db_blocker) -> Customer:
    """A tenant with a channel for each upstream format, whose model has the format's name."""
    with django_db_blocker.unblock():
        customer = make_customer("pairing", **RAW_FAULTS)
        for name, provider in UPSTREAMS.items():
            lane = type("Lane", (), {"url": f"{scripted.url}/pairs-{name}"})
            customer.add_channel(lane, f"only-{name}", provider, [f"model-{name}"], format=name)
    return customer


@pytest.fixture
def talk(client_format, upstream_format, gateway, pairing) -> Iterator[Talk]:
    """A conversation of one client with an upstream of one format."""
    talking = CLIENTS[client_format](gateway.url, pairing.key, f"model-{upstream_format}")
    yield talking
    talking.client.close()


pytestmark = [pytest.mark.parametrize("client_format", CLIENTS), pytest.mark.parametrize("upstream_format", UPSTREAMS)]


def test_a_tool_is_called_and_its_result_told(talk, upstream_format, scripted):
    lane = scripted.script(f"pairs-{upstream_format}", Call(*CALL), Text(SAID))
    assert talk.turn() == ("", CALL)
    talk.answer(FOUND)
    assert talk.turn() == (SAID, None)
    first, second = lane.seen
    assert "get_weather" in json.dumps(first["tools"]) and ASKED in json.dumps(first, ensure_ascii=False)
    assert FOUND in json.dumps(second, ensure_ascii=False)


def test_an_error_amid_a_stream_raises(talk, upstream_format, scripted):
    scripted.script(f"pairs-{upstream_format}", Broken())
    with pytest.raises((openai.APIError, anthropic.APIError, genai_errors.APIError)) as caught:
        talk.turn()
    assert ERROR in str(caught.value)
