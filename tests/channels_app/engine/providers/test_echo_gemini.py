"""Echo's generateContent, countTokens and embeddings, judged by the official client."""

import json
import math

import pytest
from google.genai import errors, types

pytestmark = pytest.mark.asyncio

TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            parameters=types.Schema(
                type="OBJECT",
                properties={"city": types.Schema(type="STRING"), "days": types.Schema(type="INTEGER")},
                required=["city", "days"],
            ),
        )
    ]
)


async def generate(client, contents, **config):
    return await client.aio.models.generate_content(
        model="echo", contents=contents, config=types.GenerateContentConfig(**config)
    )


async def chunks_of(client, contents, **config):
    stream = await client.aio.models.generate_content_stream(
        model="echo", contents=contents, config=types.GenerateContentConfig(**config)
    )
    return [chunk async for chunk in stream]


async def test_whole_answer_repeats_the_last_user_text(gemini_client):
    contents = [
        types.UserContent("first"),
        types.ModelContent("first"),
        types.UserContent("hello there"),
    ]
    answer = await generate(gemini_client, contents, system_instruction="Be brief.")
    assert answer.text == "hello there"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.candidates[0].content.role == "model"
    assert answer.model_version == "echo"
    assert answer.response_id
    usage = answer.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (8, 3, 11)


async def test_images_are_mentioned(gemini_client):
    picture = types.Part.from_bytes(data=b"png", mime_type="image/png")
    far = types.Part.from_uri(file_uri="https://pictures.example/a.png", mime_type="image/png")
    assert (await generate(gemini_client, [picture, "what is this", far])).text == "what is this [image] [image]"


async def test_stream_gives_one_word_a_chunk_and_the_same_text(gemini_client):
    chunks = await chunks_of(gemini_client, "one two three")
    assert [chunk.text for chunk in chunks if chunk.text] == ["one", " two", " three"]
    assert [chunk.candidates[0].finish_reason for chunk in chunks] == [None, None, None, types.FinishReason.STOP]
    assert [chunk.usage_metadata is None for chunk in chunks] == [True, True, True, False]
    assert chunks[-1].usage_metadata.total_token_count == 8
    assert len({chunk.response_id for chunk in chunks}) == 1


async def test_stream_is_data_lines_that_end_as_this_upstream_ends_them(ask):
    answer = await ask("gemini:streamGenerateContent", is_stream=True)
    body = b"".join([chunk async for chunk in answer.chunks])
    *events, rest = body.split(b"\r\n\r\n")
    assert rest == b""
    assert all(event.startswith(b"data: {") and b"\n" not in event for event in events)


async def test_limit_of_tokens_cuts_at_that_many_words(gemini_client):
    answer = await generate(gemini_client, "one two three", max_output_tokens=2)
    assert answer.text == "one two"
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    chunks = await chunks_of(gemini_client, "one two three", max_output_tokens=2)
    assert "".join(chunk.text or "" for chunk in chunks) == "one two"
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


async def test_tool_is_called_and_its_result_repeated(gemini_client):
    answer = await generate(gemini_client, "call tool", tools=[TOOL])
    [call] = answer.function_calls
    assert (call.name, call.args) == ("get_weather", {"city": "text", "days": 1})
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    contents = [
        types.UserContent("call tool"),
        answer.candidates[0].content,
        types.UserContent(types.Part.from_function_response(name="get_weather", response={"output": "21 °C"})),
    ]
    assert (await generate(gemini_client, contents, tools=[TOOL])).text == 'The tool answered: {"output":"21 °C"}'


async def test_streamed_tool_call_is_whole(gemini_client):
    chunks = await chunks_of(gemini_client, "call tool", tools=[TOOL])
    [call] = [call for chunk in chunks for call in chunk.function_calls or ()]
    assert (call.name, call.args) == ("get_weather", {"city": "text", "days": 1})
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


async def test_tool_given_as_json_schema_is_called(ask):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    body = {
        "contents": [{"role": "user", "parts": [{"text": "call tool"}]}],
        "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}],
    }
    answer = await ask("gemini:generateContent", body)
    content = json.loads(b"".join([chunk async for chunk in answer.chunks]))
    [part] = content["candidates"][0]["content"]["parts"]
    assert part["functionCall"]["args"] == {"city": "text"}


async def test_names_in_snake_case_are_read_and_the_callers_own_kept(ask):
    schema = {"type": "OBJECT", "properties": {"user_id": {"type": "STRING"}}, "required": ["user_id"]}
    body = {
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png"}}, {"text": "call tool"}]}],
        "tools": [{"function_declarations": [{"name": "f", "parameters": schema}]}],
    }
    answer = await ask("gemini:generateContent", body)
    content = json.loads(b"".join([chunk async for chunk in answer.chunks]))
    [part] = content["candidates"][0]["content"]["parts"]
    assert part["functionCall"]["args"] == {"user_id": "text"}


async def test_no_tool_is_called_when_forbidden(gemini_client):
    config = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="NONE"))
    assert (await generate(gemini_client, "call tool", tools=[TOOL], tool_config=config)).text == "call tool"


async def test_count_is_what_the_answer_reports(gemini_client):
    counted = await gemini_client.aio.models.count_tokens(model="echo", contents="how many tokens is this?")
    answer = await generate(gemini_client, "how many tokens is this?")
    assert counted.total_tokens == answer.usage_metadata.prompt_token_count == 6


async def test_count_reads_a_whole_request_as_well(ask):
    body = {"generateContentRequest": {"contents": [{"parts": [{"text": "x" * 40}]}]}}
    answer = await ask("gemini:countTokens", body)
    assert json.loads(b"".join([chunk async for chunk in answer.chunks]))["totalTokens"] == 10


async def test_embeddings_are_deterministic_unit_vectors(gemini_client):
    answer = await gemini_client.aio.models.embed_content(
        model="echo",
        contents=["one", "two", "one"],
        config=types.EmbedContentConfig(output_dimensionality=5),
    )
    vectors = [embedding.values for embedding in answer.embeddings]
    assert [len(vector) for vector in vectors] == [5, 5, 5]
    assert vectors[0] == vectors[2] != vectors[1]
    assert math.hypot(*vectors[0]) == pytest.approx(1)


async def test_one_embedding_equals_the_same_text_in_a_batch(ask):
    one = await ask("gemini:embedContent")
    batch = await ask("gemini:batchEmbedContents")
    value = json.loads(b"".join([chunk async for chunk in one.chunks]))["embedding"]
    assert json.loads(b"".join([chunk async for chunk in batch.chunks]))["embeddings"] == [value]


async def test_faults_are_the_right_exceptions(gemini_client):
    async def fail(model):
        with pytest.raises(errors.APIError) as caught:
            await gemini_client.aio.models.generate_content(model=model, contents="hello")
        return caught.value

    limited = await fail("echo-429")
    assert isinstance(limited, errors.ClientError)
    assert (limited.code, limited.status) == (429, "RESOURCE_EXHAUSTED")
    assert limited.details["error"]["details"][0]["retryDelay"] == "2s"
    assert (await fail("echo-400")).status == "INVALID_ARGUMENT"
    broken = await fail("echo-500")
    assert isinstance(broken, errors.ServerError)
    assert broken.status == "INTERNAL"
    assert (await fail("echo-529")).code == 529


async def test_stream_has_faults_too(gemini_client):
    with pytest.raises(errors.ClientError):
        async for _ in await gemini_client.aio.models.generate_content_stream(model="echo-429", contents="hello"):
            pass
