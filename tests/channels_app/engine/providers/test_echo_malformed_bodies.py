"""Bodies that are not what their format promises: echo refuses or answers them, and never fails."""

import copy
import json

import pytest

pytestmark = pytest.mark.asyncio

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/x"}},
    "required": ["a", "b"],
    "$defs": {"x": {"enum": [1]}},
}
CALL = [{"type": "text", "text": "call tool"}]
#: Good bodies that use everything that echo reads; each of their values is replaced in turn.
RICH = {
    "anthropic": {
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief."}],
        "tool_choice": {"type": "auto"},
        "tools": [{"name": "f", "input_schema": SCHEMA}],
        "messages": [{"role": "user", "content": CALL}, {"role": "user", "content": [{"type": "tool_result"}, *CALL]}],
    },
    "anthropic:count_tokens": {"messages": [{"role": "user", "content": CALL}]},
    "gemini:batchEmbedContents": {"requests": [{"content": {"parts": CALL}, "outputDimensionality": 3}]},
    "gemini:countTokens": {"generateContentRequest": {"contents": [{"parts": CALL}]}},
    "gemini:embedContent": {"content": {"parts": CALL}, "outputDimensionality": 3},
    "gemini:generateContent": {"contents": [{"role": "user", "parts": [{"functionResponse": {"response": {"a": 1}}}]}]},
    "gemini:streamGenerateContent": {
        "contents": [{"role": "user", "parts": [*CALL, {"inlineData": {"mimeType": "image/png"}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": SCHEMA}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"maxOutputTokens": 4},
    },
    "openai-chat": {
        "messages": [{"role": "user", "content": CALL}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "stream_options": {"include_usage": True},
        "max_tokens": 4,
    },
    "cohere-rerank": {"query": "x", "documents": ["x", {"text": "y"}], "top_n": 1, "return_documents": True},
    "jina-rerank": {"query": "x", "documents": ["x"]},
    "openai-completions": {
        "prompt": ["a", [1, 2]],
        "stream_options": {"include_usage": True},
        "max_tokens": 4,
    },
    "openai-moderations": {"input": [{"type": "text", "text": "x"}]},
    "openai-speech": {"input": "x", "response_format": "wav", "stream_format": "sse"},
    "openai-embeddings": {"input": ["a", [1, 2]], "encoding_format": "base64", "dimensions": 4},
    "openai-images": {"prompt": "x", "n": 2, "response_format": "url"},
    "openai-responses": {
        "input": [{"role": "user", "content": CALL}],
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
        "metadata": {"a": "b"},
    },
}
ODD = [None, True, 0, -1, 10**30, 1.5, 1e300, "", "\u0000", [], {}, [None], [[]], [{}], {"type": []}, {"": None}]


async def body_of(answer):
    return b"".join([chunk async for chunk in answer.chunks])


def places(value, path=()):
    """Yield the path of every value inside, and of the whole."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield from places(child, (*path, name))


def replaced(value, path, new):
    if not path:
        return new
    value = copy.copy(value)
    value[path[0]] = replaced(value[path[0]], path[1:], new)
    return value


async def test_rich_body_is_good(ask, operation):
    assert (await ask(operation, RICH[operation])).status == 200


@pytest.mark.parametrize("is_stream", [False, True])
async def test_odd_value_anywhere_is_answered_or_refused(ask, operation, is_stream):
    for path in places(RICH[operation]):
        for odd in ODD:
            body = json.dumps(replaced(RICH[operation], path, odd)).encode()
            answer = await ask(operation, body, is_stream=is_stream)
            assert answer.status in {200, 400}, body
            content = await body_of(answer)
            if answer.header(b"content-type") == b"application/json":
                assert bool(json.loads(content).get("error")) == (answer.status == 400)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"\xff\xfe\x00",
        b'{"messages": 1, "contents": 1, "input": 1, "prompt": 1, "requests": 1, "content": 1}',
        b'{"messages": [], "contents": [], "input": [], "prompt": null, "requests": [], "content": {}}',
        b'{"messages": [1], "contents": [1], "input": {}, "prompt": [], "requests": [1], "content": []}',
        b'{"messages": [{"role": "user", "content": "\xff"}], "contents": [{"parts": [{"text": "\xff"}]}],'
        b' "input": "\xff", "prompt": "\xff", "requests": [{"content": {"parts": [{"text": "\xff"}]}}],'
        b' "content": {"parts": [{"text": "\xff"}]}, "max_tokens": 1, "query": "\xff", "documents": ["\xff"]}',
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=range(12),
)
async def test_malformed_body_is_a_bad_request_in_the_format(ask, operation, body):
    answer = await ask(operation, body, is_stream=True)
    assert answer.status == 400
    error = json.loads(await body_of(answer))["error"]
    assert error["message"].startswith("Cannot read the request: ")
    assert error.get("type", "invalid_request_error") == "invalid_request_error"
    assert error.get("status", "INVALID_ARGUMENT") == "INVALID_ARGUMENT"


@pytest.mark.parametrize("limit", [-1, 2**31, 1.5, "many"])
async def test_impossible_limit_of_tokens_is_a_bad_request(ask, limit):
    for operation, field in [
        ("anthropic", {"max_tokens": limit}),
        ("openai-chat", {"max_tokens": limit}),
        ("openai-responses", {"max_output_tokens": limit}),
        ("gemini:generateContent", {"generationConfig": {"maxOutputTokens": limit}}),
    ]:
        good = {"messages": [{"role": "user", "content": "x"}], "input": "x", "contents": [{"parts": [{"text": "x"}]}]}
        assert (await ask(operation, good | field)).status == 400
