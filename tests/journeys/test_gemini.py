"""The official `google-genai` package through a gateway process: contents, tools, images, embeddings, listings."""

from __future__ import annotations

import json

import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

TEXT = "eins zwei drei vier – fünf 六 🙂"
DECLARATION = types.FunctionDeclaration(
    name="weather",
    parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
TOOLS = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[DECLARATION])],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


def test_contents_are_generated_with_usage_and_request_id(genai_client, model):
    answer = genai_client.models.generate_content(model=model, contents=TEXT)
    assert answer.text == TEXT
    assert answer.usage_metadata.prompt_token_count == answer.usage_metadata.candidates_token_count > 0
    assert answer.sdk_http_response.headers["x-request-id"].startswith("req_")


def test_contents_stream_word_by_word(genai_client, model):
    chunks = list(genai_client.models.generate_content_stream(model=model, contents=TEXT))
    words = [chunk.text for chunk in chunks if chunk.text]
    assert "".join(words) == TEXT and len(words) == len(TEXT.split())
    assert chunks[-1].usage_metadata.candidates_token_count > 0


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_function_is_called_and_its_result_taken(genai_client, model, is_stream):
    asked = [types.Content(role="user", parts=[types.Part(text="call tool")])]
    if is_stream:
        chunks = list(genai_client.models.generate_content_stream(model=model, contents=asked, config=TOOLS))
        (call,) = [call for chunk in chunks for call in chunk.function_calls or []]
    else:
        (call,) = genai_client.models.generate_content(model=model, contents=asked, config=TOOLS).function_calls
    assert call.name == "weather" and "city" in call.args
    asked += [
        types.Content(role="model", parts=[types.Part(function_call=call)]),
        types.Content(role="user", parts=[types.Part.from_function_response(name=call.name, response={"sky": "rain"})]),
    ]
    again = genai_client.models.generate_content(model=model, contents=asked, config=TOOLS)
    assert again.text == 'The tool answered: {"sky":"rain"}'


def test_contents_take_an_image(genai_client, model):
    pixel = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")
    answer = genai_client.models.generate_content(model=model, contents=["what is this", pixel])
    assert answer.text == "what is this [image]"


def test_tokens_are_counted(genai_client, model):
    counted = genai_client.models.count_tokens(model=model, contents=TEXT).total_tokens
    answer = genai_client.models.generate_content(model=model, contents=TEXT)
    assert counted == answer.usage_metadata.prompt_token_count > 0


def test_one_text_and_many_are_embedded(genai_client, model):
    one = genai_client.models.embed_content(model=model, contents="a").embeddings
    many = genai_client.models.embed_content(model=model, contents=["a", "b"]).embeddings
    assert (len(one), len(many)) == (1, 2)
    assert one[0].values == many[0].values != many[1].values


def test_models_are_listed_and_described_in_googles_shape(genai_client):
    listed = {card.name: card for card in genai_client.models.list()}
    assert "generateContent" in listed["models/known-gemini"].supported_actions
    assert genai_client.models.get(model="known-gemini").name == "models/known-gemini"
    with pytest.raises(genai_errors.ClientError, match="not served here") as caught:
        genai_client.models.get(model="nothing-like-it")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


def test_a_client_without_events_gets_one_growing_array(gateway, shopper, model):
    body = {"contents": [{"role": "user", "parts": [{"text": TEXT}]}]}
    answer = gateway.ask(f"/v1beta/models/{model}:streamGenerateContent?key={shopper.key}", body)
    assert answer.headers["content-type"].startswith("application/json")
    words = [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in json.loads(answer.body)]
    assert "".join(words) == TEXT


def test_the_version_1_paths_lead_to_the_same(gateway, shopper, model):
    body = {"contents": [{"role": "user", "parts": [{"text": TEXT}]}]}
    answer = gateway.ask(f"/v1/models/{model}:generateContent", body, x_goog_api_key=shopper.key)
    assert answer.json["candidates"][0]["content"]["parts"][0]["text"] == TEXT


@pytest.mark.asyncio
async def test_the_async_client_takes_the_same_journey(gateway, shopper, model):
    client = genai.Client(api_key=shopper.key, http_options=types.HttpOptions(base_url=gateway.url)).aio
    whole = await client.models.generate_content(model=model, contents=TEXT)
    stream = await client.models.generate_content_stream(model=model, contents=TEXT)
    words = [chunk.text or "" async for chunk in stream]
    listed = [card.name async for card in await client.models.list()]
    await client.aclose()
    assert whole.text == "".join(words) == TEXT and "models/known-gemini" in listed
