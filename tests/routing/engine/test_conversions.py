"""Embeddings and reranking asked in one format, answered by an upstream of another."""

from __future__ import annotations

import base64
import json
import struct

import pytest

from channels_app.engine.providers import PROVIDERS
from routing.engine.conversion import said_in
from routing.engine.document import ModelSpec, PolicySpec
from tests.routing.engine.cast import channel
from tests.routing.engine.harness import Harness, Step, status

pytestmark = pytest.mark.asyncio

OPENAI = "/v1/embeddings"
ONE, BATCH = "/v1beta/models/m:embedContent", "/v1beta/models/m:batchEmbedContents"
A, B = [0.25, -0.5, 1.0], [1.5, 0.125, -2.0]
#: What each upstream answers about two texts.
ANSWERS = {
    "openai-embeddings": {
        "object": "list",
        "data": [{"index": 1, "embedding": B}, {"index": 0, "embedding": A}],
        "model": "their-m-0125",
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    },
    "gemini:batchEmbedContents": {"embeddings": [{"values": A}, {"values": B}]},
    "cohere-embed": {
        "id": "x",
        "embeddings": {"float": [A, B]},
        "texts": ["one", "two"],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 9}},
    },
    "ollama-embed": {"model": "their-m", "embeddings": [A, B], "prompt_eval_count": 9},
}
UPSTREAMS = list(ANSWERS)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("routing.engine.attempts.ROUND_PAUSE_S", 0.0)


def gateway(operation: str, *answers, **fields) -> Harness:
    steps = [answer if isinstance(answer, Step) else Step(chunks=[json.dumps(answer).encode()]) for answer in answers]
    harness = Harness(*steps, channels=[channel("a", models=[ModelSpec("m", "their-m")])], **fields)
    harness.provider.endpoints = {operation: f"/{operation}"}
    return harness


def sent(harness: Harness):
    return json.loads(harness.provider.sent[0].body)


def packed(vector) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


# --- embeddings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", UPSTREAMS)
@pytest.mark.parametrize("encoding", [None, "float", "base64"])
async def test_an_openai_client_gets_its_vectors_from_every_upstream(operation, encoding):
    harness = gateway(operation, ANSWERS[operation])
    asked = {"model": "m", "input": ["one", "two"], "encoding_format": encoding}
    answer = await harness.ask({key: value for key, value in asked.items() if value}, path=OPENAI)
    assert answer.status == 200, answer.body
    told = answer.json
    assert told["object"] == "list"
    if operation != "openai-embeddings":
        assert [(row["object"], row["index"]) for row in told["data"]] == [("embedding", 0), ("embedding", 1)]
        assert told["model"] == "m"
        assert told["usage"]["prompt_tokens"] == told["usage"]["total_tokens"] > 0
    vectors = {row["index"]: row["embedding"] for row in told["data"]}
    wants_base64 = encoding == "base64"
    assert vectors == {0: packed(A), 1: packed(B)} if wants_base64 else {0: A, 1: B}
    assert harness.record.usage.input_tokens > 0
    assert harness.record.upstream_format == operation.partition(":")[0]


@pytest.mark.parametrize("operation", [name for name in UPSTREAMS if not name.startswith("gemini")])
async def test_a_gemini_client_gets_its_vectors_from_every_upstream(operation):
    requests = [{"model": "models/m", "content": {"parts": [{"text": text}]}} for text in ("one", "two")]
    answer = await gateway(operation, ANSWERS[operation]).ask({"requests": requests}, path=BATCH)
    assert answer.json == {
        "embeddings": [{"values": A}, {"values": B}],
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
    }


async def test_one_text_of_a_gemini_client_is_answered_as_one():
    harness = gateway("ollama-embed", {"embeddings": [A], "prompt_eval_count": 3})
    body = {
        "content": {"parts": [{"text": "one"}, {"text": "more"}]},
        "task_type": "RETRIEVAL_QUERY",
        "outputDimensionality": 3,
    }
    answer = await harness.ask(body, path=ONE)
    assert answer.json["embedding"] == {"values": A}
    assert sent(harness) == {"model": "their-m", "input": ["one more"], "dimensions": 3}
    assert answer.headers["x-routex-warnings"] == "dropped:task, dropped:taskType"


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (
            "gemini:batchEmbedContents",
            {
                "requests": [
                    {
                        "model": "models/their-m",
                        "content": {"parts": [{"text": text}]},
                        "taskType": "RETRIEVAL_QUERY",
                        "outputDimensionality": 3,
                    }
                    for text in ("one", "two")
                ]
            },
        ),
        (
            "cohere-embed",
            {
                "model": "their-m",
                "texts": ["one", "two"],
                "input_type": "search_query",
                "embedding_types": ["float"],
                "output_dimension": 3,
            },
        ),
        ("ollama-embed", {"model": "their-m", "input": ["one", "two"], "dimensions": 3}),
    ],
)
async def test_each_upstream_is_asked_in_its_own_words(operation, expected):
    harness = gateway(operation, ANSWERS[operation])
    body = {"model": "m", "input": ["one", "two"], "dimensions": 3, "input_type": "query", "user": "u"}
    answer = await harness.ask(body, path=OPENAI)
    assert sent(harness) == expected
    assert "dropped:user" in answer.headers["x-routex-warnings"]
    headers = dict(harness.provider.sent[0].headers)
    assert (headers["content-type"], headers["accept"]) == ("application/json", "application/json")
    assert harness.provider.sent[0].url.endswith(f"/{operation}")


async def test_a_gemini_batch_reaches_an_openai_upstream_with_its_dimensions():
    harness = gateway("openai-embeddings", ANSWERS["openai-embeddings"])
    requests = [
        {"content": {"parts": [{"text": text}]}, "outputDimensionality": 3, "title": "T"} for text in ("one", "two")
    ]
    answer = await harness.ask({"requests": requests}, path=BATCH)
    assert sent(harness) == {"model": "their-m", "input": ["one", "two"], "dimensions": 3}
    assert answer.headers["x-routex-warnings"] == "dropped:title"
    assert harness.record.reported_model == "their-m-0125"


async def test_a_task_without_a_word_of_its_own_gets_the_nearest():
    harness = gateway("cohere-embed", {"embeddings": {"float": [A]}})
    body = {"content": {"parts": [{"text": "x"}]}, "taskType": "CODE_RETRIEVAL_QUERY"}
    answer = await harness.ask(body, path=ONE)
    assert sent(harness)["input_type"] == "search_query"
    assert answer.headers["x-routex-warnings"] == "emulated:task, emulated:taskType"
    assert answer.json["usageMetadata"]["promptTokenCount"] == 1, "estimated"


async def test_a_drop_is_refused_where_the_client_is_strict():
    body = {"model": "m", "input": "x", "user": "u"}
    harness = gateway("ollama-embed", ANSWERS["ollama-embed"])
    answer = await harness.ask(body, path=OPENAI, headers={"x-routex-strict": "1"})
    assert answer.status == 400 and "`user` would be lost" in answer.json["error"]["message"]
    assert harness.provider.sent == [] and harness.tried() == [("a", "cannot_carry")]


@pytest.mark.parametrize("operation", [name for name in UPSTREAMS if not name.startswith("openai")])
@pytest.mark.parametrize("given", [[1, 2, 3], ["x", [1]]])
async def test_token_ids_are_refused_where_the_upstream_takes_text(operation, given):
    answer = await gateway(operation).ask({"model": "m", "input": given}, path=OPENAI)
    assert answer.status == 400 and "holds token ids" in answer.json["error"]["message"]
    assert answer.json["error"]["param"] == "input"


async def test_too_many_texts_for_one_request_are_refused():
    answer = await gateway("gemini:batchEmbedContents").ask({"model": "m", "input": ["x"] * 101}, path=OPENAI)
    assert answer.status == 400 and "takes 100 at once" in answer.json["error"]["message"]


async def test_an_upstream_that_embeds_one_text_at_a_time_gets_one():
    harness = gateway("gemini:embedContent", {"embedding": {"values": A}})
    answer = await harness.ask({"model": "m", "input": "one"}, path=OPENAI)
    assert answer.json["data"][0]["embedding"] == A
    answer = await gateway("gemini:embedContent").ask({"model": "m", "input": ["one", "two"]}, path=OPENAI)
    assert answer.status == 400 and "one text at a time" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (OPENAI, {"model": "m"}, "input"),
        (OPENAI, {"model": "m", "input": []}, "input"),
        (OPENAI, {"model": "m", "input": ["x", 1]}, "input[1]"),
        (OPENAI, {"model": "m", "input": {"a": 1}}, "input"),
        (OPENAI, {"model": "m", "input": "x", "dimensions": "3"}, "dimensions"),
        (OPENAI, {"model": "m", "input": "x", "encoding_format": "hex"}, "encoding_format"),
        (ONE, {"content": {"parts": [{"inlineData": {}}]}}, "content.parts"),
        (ONE, {"content": "x"}, "content"),
        (ONE, {"content": {"parts": [{"text": "x"}]}, "taskType": "GUESS"}, "taskType"),
        (BATCH, {"requests": [{"content": {"parts": [{"text": "x"}]}}, 5]}, "requests[1]"),
        (BATCH, {"requests": []}, "requests"),
        (
            BATCH,
            {
                "requests": [
                    {"content": {"parts": [{"text": "x"}]}, **more} for more in ({}, {"taskType": "CLUSTERING"})
                ]
            },
            "requests[1]",
        ),
    ],
)
async def test_what_cannot_be_embedded_is_a_bad_request(path, body, param):
    harness = gateway("ollama-embed")
    answer = await harness.ask(body, path=path)
    assert answer.status == 400, answer.body
    assert harness.provider.sent == []
    if path == OPENAI:
        assert answer.json["error"]["param"] == param
    else:
        assert answer.json["error"]["status"] == "INVALID_ARGUMENT" and param in answer.json["error"]["message"]


BROKEN = [b"", b"[]", b"{}", b"<html>", b'{"embeddings": [[1, "x"]], "data": [{"embedding": "%%%"}]}']


@pytest.mark.parametrize("operation", UPSTREAMS)
@pytest.mark.parametrize("broken", BROKEN)
async def test_an_answer_that_is_none_is_tried_again_and_then_told(operation, broken):
    harness = gateway(operation, *[Step(chunks=[broken])] * 3, policy=PolicySpec(attempts=2))
    path = OPENAI if operation != "openai-embeddings" else BATCH
    body = {"requests": [{"content": {"parts": [{"text": "x"}]}}], "model": "m", "input": "x"}
    answer = await harness.ask(body, path=path)
    assert answer.status == 502 and len(harness.provider.sent) == 2
    assert "not what the format promises" in answer.json["error"]["message"]


@pytest.mark.parametrize("operation", UPSTREAMS)
async def test_an_answer_with_too_few_vectors_is_none(operation):
    requests = [{"content": {"parts": [{"text": "x"}]}}] * 3
    path = OPENAI if operation != "openai-embeddings" else BATCH
    body = {"requests": requests, "model": "m", "input": ["x"] * 3}
    answer = await gateway(operation, *[ANSWERS[operation]] * 3).ask(body, path=path)
    assert answer.status == 502 and "2 vectors for 3 texts" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("cohere-embed", {"message": "invalid request: texts"}),
        ("ollama-embed", {"error": "invalid request: texts"}),
        ("gemini:batchEmbedContents", {"error": {"code": 400, "message": "invalid request: texts", "status": "X"}}),
        ("ollama-embed", {"detail": "invalid request: texts"}),
    ],
)
async def test_an_upstreams_refusal_is_told_in_the_clients_words(operation, body):
    answer = await gateway(operation, status(422, body=json.dumps(body).encode())).ask(
        {"model": "m", "input": "x"}, path=OPENAI
    )
    assert answer.status == 422
    assert answer.json["error"]["message"] == "invalid request: texts"
    assert answer.json["error"]["type"] == "invalid_request_error"


async def test_an_upstreams_429_keeps_its_class_and_wait_in_the_clients_words():
    limited = status(
        429, retry_after="7", body=b'{"message":"trial key, see https://dashboard.example/keys sk-secret1"}'
    )
    answer = await gateway("cohere-embed", limited).ask({"content": {"parts": [{"text": "x"}]}}, path=ONE)
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    error = answer.json["error"]
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert "trial key" in error["message"] and "dashboard" not in error["message"] and "sk-" not in error["message"]


async def test_a_500_of_an_upstream_fails_over_to_one_of_another_format():
    harness = gateway("cohere-embed", status(500), ANSWERS["cohere-embed"])
    answer = await harness.ask({"model": "m", "input": ["one", "two"]}, path=OPENAI)
    assert answer.status == 200 and answer.headers["x-routex-attempts"] == "2"


@pytest.mark.parametrize(("asked", "given"), [("base64", A), ("float", packed(A)), (None, packed(A))])
async def test_a_compatible_server_that_does_not_know_the_encoding_is_mended(asked, given):
    answered = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": given}], "x": 1}
    body = {"model": "m", "input": "x"} | ({"encoding_format": asked} if asked else {})
    answer = await gateway("openai-embeddings", answered).ask(body, path=OPENAI)
    assert answer.json["data"][0]["embedding"] == (packed(A) if asked == "base64" else A)
    assert answer.json["x"] == 1


@pytest.mark.parametrize("provider", ["bailian", "openrouter"])
@pytest.mark.parametrize("asked", ["base64", "float", None])
async def test_base64_is_never_asked_of_a_provider_that_has_floats_only(provider, asked):
    harness = gateway("openai-embeddings", {"data": [{"index": 0, "embedding": A}]})
    harness.provider.only_values = PROVIDERS[provider].only_values
    body = {"model": "m", "input": "x", "provider": {"sort": "price"}}
    body |= {"encoding_format": asked} if asked else {}
    answer = await harness.ask(body, path=OPENAI)
    assert answer.json["data"][0]["embedding"] == (packed(A) if asked == "base64" else A)
    assert sent(harness) == body | {"model": "their-m"} | ({"encoding_format": "float"} if asked else {})


@pytest.mark.parametrize("given", [None, [1.0, None], [[1.0]], 10**400, [10**400], "AAA="])
@pytest.mark.parametrize("place", [0, 1])
async def test_a_vector_that_cannot_be_mended_is_tried_elsewhere(given, place):
    rows = [{"index": index, "embedding": given if index == place else A} for index in range(2)]
    good = {"data": [{"index": index, "embedding": packed(A)} for index in range(2)]}
    harness = gateway("openai-embeddings", {"data": rows}, good)
    answer = await harness.ask({"model": "m", "input": ["x", "y"], "encoding_format": "base64"}, path=OPENAI)
    if given == "AAA=" and place == 0:
        assert answer.status == 200, "what begins in the asked encoding passes unread"
        return
    assert (answer.status, answer.headers["x-routex-attempts"]) == (200, "2"), answer.body
    assert answer.json == good


@pytest.mark.parametrize("path", [OPENAI, ONE])
async def test_a_vector_of_what_is_no_number_is_none(path):
    answered = {"data": [{"index": 0, "embedding": packed([1.0, float("nan")])}]}
    harness = gateway("openai-embeddings", answered, policy=PolicySpec(attempts=1))
    answer = await harness.ask({"model": "m", "input": "x", "content": {"parts": [{"text": "x"}]}}, path=path)
    assert answer.status == 502 and "no number" in answer.json["error"]["message"]


@pytest.mark.parametrize("data", [None, {"embedding": A}])
async def test_an_answer_without_a_list_of_vectors_is_none(data):
    harness = gateway("openai-embeddings", {"object": "list", "data": data}, ANSWERS["openai-embeddings"])
    answer = await harness.ask({"model": "m", "input": "x"}, path=OPENAI)
    assert (answer.json, answer.headers["x-routex-attempts"]) == (ANSWERS["openai-embeddings"], "2")


@pytest.mark.parametrize(
    ("path", "body", "lost"),
    [
        (OPENAI, {"model": "m", "input": "x", "truncate": "END", "late_chunking": True}, ["truncate", "late_chunking"]),
        (OPENAI, {"model": "m", "input": "x", "input_type": "image"}, ["input_type"]),
        (OPENAI, {"model": "m", "input": "x", "input_type": "query", "truncate": None}, []),
        (ONE, {"content": {"parts": [{"text": "x"}]}, "autoTruncate": True}, ["autoTruncate"]),
        (
            BATCH,
            {"requests": [{"model": "models/m", "content": {"parts": [{"text": "x"}]}, "embedContentConfig": {}}]},
            ["embedContentConfig"],
        ),
    ],
)
async def test_members_that_no_other_format_has_are_told_as_lost(path, body, lost):
    def harness():
        return gateway("cohere-embed", {"embeddings": {"float": [A]}})

    answer = await harness().ask(body, path=path)
    told = answer.headers.get("x-routex-warnings", "")
    assert told == ", ".join(f"dropped:{name}" for name in lost)
    answer = await harness().ask(body, path=path, headers={"x-routex-strict": "1"})
    assert answer.status == (400 if lost else 200)


async def test_numbers_keep_their_digits():
    precise = [0.1234567890123456, -1e-17]
    answer = await gateway("ollama-embed", {"embeddings": [precise]}).ask({"model": "m", "input": "x"}, path=OPENAI)
    assert answer.json["data"][0]["embedding"] == precise


# --- reranking -------------------------------------------------------------------------------------------------------

DOCUMENTS = ["a cat", {"text": "a dog", "title": "D"}, "a bird"]
#: The same scores in each shape, out of order.
RANKS = {
    "cohere-rerank": {
        "id": "up-1",
        "results": [{"index": 2, "relevance_score": 0.1}, {"index": 1, "relevance_score": 0.9}],
        "meta": {"billed_units": {"search_units": 1}},
    },
    "jina-rerank": {
        "model": "x",
        "usage": {"total_tokens": 9},
        "results": [
            {"index": 2, "relevance_score": 0.1, "document": {"text": "a bird"}},
            {"index": 1, "relevance_score": 0.9, "document": {"text": "a dog"}},
        ],
    },
    "tei-rerank": [{"index": 2, "score": 0.1}, {"index": 1, "score": 0.9}],
    "bailian-rerank": {
        "output": {"results": [{"index": 2, "relevance_score": 0.1}, {"index": 1, "relevance_score": 0.9}]},
        "usage": {"total_tokens": 9},
        "request_id": "up-1",
    },
}
ASKED = {"model": "m", "query": "dog", "documents": DOCUMENTS}


@pytest.mark.parametrize("operation", RANKS)
@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
async def test_documents_are_ordered_by_every_upstream(operation, path):
    harness = gateway(operation, RANKS[operation])
    answer = await harness.ask({**ASKED, "return_documents": True}, path=path)
    assert answer.status == 200, answer.body
    assert answer.json["results"] == [
        {"index": 1, "relevance_score": 0.9, "document": {"text": "a dog", "title": "D"}},
        {"index": 2, "relevance_score": 0.1, "document": {"text": "a bird"}},
    ]
    assert answer.json["id"] and answer.json["model"] == "m"
    assert answer.json["usage"]["total_tokens"] > 0
    assert harness.record.usage.input_tokens > 0 and harness.record.upstream_format == operation
    if operation == "cohere-rerank":
        assert answer.json["meta"]["billed_units"] == {"search_units": 1}


@pytest.mark.parametrize("operation", RANKS)
async def test_the_best_are_kept_and_documents_left_out_unless_asked(operation):
    answer = await gateway(operation, RANKS[operation]).ask({**ASKED, "top_n": 1}, path="/v1/rerank")
    assert answer.json["results"] == [{"index": 1, "relevance_score": 0.9}]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("cohere-rerank", {"model": "their-m", "query": "dog", "documents": ["a cat", "a dog", "a bird"]}),
        (
            "jina-rerank",
            {
                "model": "their-m",
                "query": "dog",
                "documents": ["a cat", "a dog", "a bird"],
                "return_documents": False,
            },
        ),
        ("tei-rerank", {"query": "dog", "texts": ["a cat", "a dog", "a bird"], "raw_scores": False}),
        (
            "bailian-rerank",
            {
                "model": "their-m",
                "input": {"query": "dog", "documents": ["a cat", "a dog", "a bird"]},
                "parameters": {"return_documents": False},
            },
        ),
    ],
)
async def test_each_reranker_is_asked_in_its_own_words(operation, expected):
    harness = gateway(operation, RANKS[operation])
    answer = await harness.ask({**ASKED, "rank_fields": ["title"]}, path="/v1/rerank")
    assert sent(harness) == expected
    assert answer.headers["x-routex-warnings"] == "dropped:rank_fields"


async def test_members_that_an_upstream_knows_are_sent():
    harness = gateway("cohere-rerank", RANKS["cohere-rerank"])
    await harness.ask({**ASKED, "max_tokens_per_doc": 99}, path="/v1/rerank")
    assert sent(harness)["max_tokens_per_doc"] == 99
    harness = gateway("jina-rerank", {"results": []})
    picture = {"image": "https://pictures.example/x.png"}
    answer = await harness.ask({**ASKED, "documents": [picture], "truncation": True}, path="/v1/rerank")
    assert sent(harness)["documents"] == [picture] and sent(harness)["truncation"] is True
    assert answer.json["results"] == []


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"query": 1}, "query"),
        ({"documents": []}, "documents"),
        ({"documents": "x"}, "documents"),
        ({"documents": ["x", 1]}, "documents[1]"),
        ({"documents": ["x", {"image": "u"}]}, "documents[1]"),
        ({"top_n": -1}, "top_n"),
        ({"top_n": "2"}, "top_n"),
        ({"return_documents": "yes"}, "return_documents"),
    ],
)
async def test_what_cannot_be_ordered_is_a_bad_request(more, param):
    answer = await gateway("tei-rerank").ask(ASKED | more, path="/v1/rerank")
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "answered",
    [
        {"results": [{"index": 7, "relevance_score": 1}]},
        {"results": [{"index": -1, "relevance_score": 1}]},
        {"results": [{"index": 1, "relevance_score": 1}, {"index": 1, "relevance_score": 0}]},
        {"results": [{"index": 1}]},
        {"results": [{"index": 1, "relevance_score": "high"}]},
        {},
    ],
)
async def test_an_order_of_other_documents_is_none(answered):
    answer = await gateway("jina-rerank", *[answered] * 3).ask(ASKED, path="/v1/rerank")
    assert answer.status == 502


async def test_a_model_that_is_no_reranker_is_told_as_one():
    answer = await gateway("openai-chat").ask(ASKED, path="/v1/rerank")
    assert answer.status == 404 and "no channel of it answers rerank" in answer.json["error"]["message"]


# --- errors of any shape ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"error":{"message":"a","code":"b","type":"c"}}', ("a", "b")),
        (b'{"error":{"message":"a","code":400,"status":"X"}}', ("a", "")),
        (b'[{"error":{"message":"a"}}]', ("a", "")),
        (b'{"error":"a","error_type":"validation"}', ("a", "")),
        (b'{"message":"a","code":"InvalidParameter","request_id":"x"}', ("a", "InvalidParameter")),
        (b'{"detail":[{"loc":["body"],"msg":"x"}]}', ('[{"loc":["body"],"msg":"x"}]', "")),
        (b"<html>", ("", "")),
        (b"[]", ("", "")),
        (b"5", ("", "")),
        (b'{"error":{}}', ("", "")),
        (b'{"x":' + b"[" * 5000, ("", "")),
    ],
)
async def test_what_an_error_says_is_found(body, expected):
    assert said_in(body) == expected
