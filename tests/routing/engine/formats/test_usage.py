"""Every format's way to count tokens, read into one: passed through and translated alike."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from analytics.engine.record import Usage
from routing.engine.format import Asked
from routing.engine.formats import FORMATS
from routing.engine.formats.anthropic.vocabulary import counts_of
from routing.engine.formats.bedrock_converse.response import usage_of as converse_usage
from routing.engine.formats.gemini.vocabulary import usage_of as gemini_usage
from routing.engine.openai_shape import usage_of as shared_usage

MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Hi"}]}
CLAUDE = {
    "input_tokens": 10,
    "cache_read_input_tokens": 200,
    "cache_creation_input_tokens": 50,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 3},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
}
CLAUDE_IN_OURS = Usage(
    input_tokens=260,
    output_tokens=7,
    cache_read_tokens=200,
    cache_write_tokens=50,
    cache_write_1h_tokens=30,
    reasoning_tokens=3,
    web_searches=2,
)
GOOGLE = {
    "promptTokenCount": 1000,
    "toolUsePromptTokenCount": 40,
    "candidatesTokenCount": 300,
    "thoughtsTokenCount": 60,
    "cachedContentTokenCount": 400,
    "totalTokenCount": 1400,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 500},
        {"modality": "AUDIO", "tokenCount": 300},
        {"modality": "IMAGE", "tokenCount": 150},
        {"modality": "DOCUMENT", "tokenCount": 50},
    ],
    "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 100}, {"modality": "TEXT", "tokenCount": 300}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 258}, {"modality": "AUDIO", "tokenCount": 9}],
}
GOOGLE_IN_OURS = Usage(
    input_tokens=1040,
    output_tokens=360,
    cache_read_tokens=400,
    reasoning_tokens=60,
    input_audio_tokens=200,
    input_image_tokens=200,
    output_audio_tokens=9,
    output_image_tokens=258,
)


def whole(format: str, operation: str, body: dict[str, Any]) -> Usage | None:
    return FORMATS[format].read_answer(operation, json.dumps(body).encode()).usage


def test_messages_count_writes_of_both_lifetimes_and_searches() -> None:
    assert whole("anthropic", "anthropic", MESSAGE | {"usage": CLAUDE}) == CLAUDE_IN_OURS
    counts = counts_of(CLAUDE)
    assert counts is not None
    assert counts.total() == CLAUDE_IN_OURS


def test_messages_that_tell_writes_by_lifetime_alone_have_them_added_up() -> None:
    told = {name: value for name, value in CLAUDE.items() if name != "cache_creation_input_tokens"}
    assert whole("anthropic", "anthropic", MESSAGE | {"usage": told}) == CLAUDE_IN_OURS


def test_the_last_report_of_a_message_stream_wins_over_what_it_began_with() -> None:
    reader = FORMATS["anthropic"].stream_reader("anthropic", Asked("m", is_stream=True))
    for event in (
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 90, "output_tokens": 1}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": CLAUDE},
    ):
        reader.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    assert reader.usage == CLAUDE_IN_OURS


def test_gemini_counts_kinds_without_what_came_from_the_cache() -> None:
    body = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}], "usageMetadata": GOOGLE}
    assert whole("gemini", "gemini:generateContent", body) == GOOGLE_IN_OURS
    assert gemini_usage(GOOGLE) == GOOGLE_IN_OURS


def test_gemini_output_follows_from_the_total_where_candidates_are_not_counted() -> None:
    body = {
        "candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 8383, "totalTokenCount": 8547},
    }
    usage = whole("gemini", "gemini:generateContent", body)
    assert usage is not None
    assert usage.output_tokens == 164


def test_chat_counts_audio_and_searches_by_any_name() -> None:
    usage = shared_usage(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 10, "audio_tokens": 20},
            "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 30},
            "server_tool_use": {"web_search_requests": 3},
        }
    )
    assert usage == Usage(
        input_tokens=100,
        output_tokens=50,
        cache_read_tokens=10,
        input_audio_tokens=20,
        reasoning_tokens=5,
        output_audio_tokens=30,
        web_searches=3,
    )
    searched = shared_usage({"prompt_tokens": 1, "completion_tokens": 1, "num_search_queries": 4})
    assert searched is not None
    assert searched.web_searches == 4


@pytest.mark.parametrize("name", ["cache_read_input_tokens", "cache_read_tokens"])
@pytest.mark.parametrize("written", ["cache_write_tokens", "cache_write_input_tokens", "cache_creation_input_tokens"])
def test_chat_counts_the_cache_by_any_name_and_in_any_place(name: str, written: str) -> None:
    for counts in ({name: 60, written: 10}, {"prompt_tokens_details": {name: 60, written: 10}}):
        usage = shared_usage({"prompt_tokens": 100, "completion_tokens": 2} | counts)
        assert usage == Usage(input_tokens=100, output_tokens=2, cache_read_tokens=60, cache_write_tokens=10)


def test_a_transcription_counts_its_sound() -> None:
    usage = shared_usage({"input_tokens": 14, "input_token_details": {"text_tokens": 0, "audio_tokens": 14}})
    assert usage == Usage(input_tokens=14, input_audio_tokens=14)


@pytest.mark.parametrize("odd", [-5, "many", True, None, {"a": 1}])
def test_counts_that_are_none_are_passed_over(odd: Any) -> None:
    usage = shared_usage({"prompt_tokens": 3, "prompt_tokens_details": {"audio_tokens": odd}, "server_tool_use": odd})
    assert usage == Usage(input_tokens=3)
    counts = counts_of({"input_tokens": 3, "cache_creation": odd, "server_tool_use": {"web_search_requests": odd}})
    assert counts is not None
    assert counts.total() == Usage(input_tokens=3)
    assert gemini_usage({"promptTokenCount": 3, "promptTokensDetails": [odd, {"modality": "AUDIO", "tokenCount": odd}]})


def test_searches_of_a_response_are_items_of_its_output_and_not_words_in_its_text() -> None:
    body = {
        "id": "r",
        "model": "m",
        "status": "completed",
        "output": [
            {"type": "web_search_call", "id": "w1", "status": "completed"},
            {"type": "web_search_call", "id": "w2", "status": "completed"},
            {"type": "message", "content": [{"type": "output_text", "text": 'a "web_search_call" is made'}]},
        ],
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    expected = Usage(input_tokens=5, output_tokens=2, web_searches=2)
    assert whole("openai-responses", "openai-responses", body) == expected
    reader = FORMATS["openai-responses"].stream_reader("openai-responses", Asked("m", is_stream=True))
    reader.feed(b"data: " + msgspec.json.encode({"type": "response.completed", "response": body}) + b"\n\n")
    assert reader.usage == expected


def test_the_output_of_an_image_request_is_pictures() -> None:
    body = {
        "data": [{"b64_json": "aGk="}],
        "usage": {
            "input_tokens": 60,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 50},
            "output_tokens": 4160,
        },
    }
    expected = Usage(input_tokens=60, input_image_tokens=50, output_tokens=4160, output_image_tokens=4160)
    assert whole("openai-images", "openai-images", body) == expected


def test_converse_counts_writes_that_are_kept_for_an_hour() -> None:
    told = {
        "inputTokens": 10,
        "outputTokens": 4,
        "cacheWriteInputTokens": 50,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 30}, {"ttl": "5m", "inputTokens": 20}],
    }
    assert converse_usage(told) == Usage(
        input_tokens=60, output_tokens=4, cache_write_tokens=50, cache_write_1h_tokens=30
    )
