"""The estimate of a request's tokens: near the count of its text in every format, whatever else the body holds."""

import json
import sys
from pathlib import Path

import pytest

from routing.engine.call import Call
from routing.engine.estimate import estimate, input_tokens
from routing.engine.format import Route
from routing.engine.formats import FORMATS, client_codec
from routing.engine.tokens import count_request

SAMPLES = json.loads((Path(__file__).parent / "token_samples.json").read_text("utf-8"))
NAMES = ("openai-chat", "anthropic", "openai-responses", "gemini")
SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "The file to read, from the root of the project."},
        "limit": {"type": "integer", "description": "How many lines at most; all of them when it is left out."},
    },
    "required": ["path"],
}
ABOUT = "Read a file of the project and return its lines, each with its number, so that they can be named later."
TOOLS = {
    "openai-chat": [{"type": "function", "function": {"name": "read", "description": ABOUT, "parameters": SCHEMA}}],
    "anthropic": [{"name": "read", "description": ABOUT, "input_schema": SCHEMA}],
    "openai-responses": [{"type": "function", "name": "read", "description": ABOUT, "parameters": SCHEMA}],
    "gemini": [{"functionDeclarations": [{"name": "read", "description": ABOUT, "parameters": SCHEMA}]}],
}


def request(name: str, *texts: str, tools: bool = False) -> dict:
    """A conversation of these texts, the user's and the model's in turn, as that format spells it."""
    roles = ["user", "model" if name == "gemini" else "assistant"] * len(texts)
    said = list(zip(roles, texts, strict=False))
    body: dict = {"model": "some-model-5"}
    if name == "gemini":
        body = {"contents": [{"role": role, "parts": [{"text": text}]} for role, text in said]}
    elif name == "openai-responses":
        kinds = {"user": "input_text", "assistant": "output_text"}
        body["input"] = [{"role": role, "content": [{"type": kinds[role], "text": text}]} for role, text in said]
    elif name == "anthropic":
        body |= {"max_tokens": 1024}
        body["messages"] = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in said]
    else:
        body["messages"] = [{"role": role, "content": text} for role, text in said]
    return body | ({"tools": TOOLS[name]} if tools else {})


def counted(name: str, body: dict) -> int:
    codec = client_codec(name)
    assert codec is not None
    decoded = codec.decode_request(json.dumps(body).encode(), model="m", is_stream=False)
    return count_request(decoded, "claude" if name == "anthropic" else "o200k")


def shapes(name: str) -> list[dict]:
    texts = [each["text"] for each in SAMPLES]
    return [
        *(request(name, text) for text in texts),
        *(request(name, text[:300]) for text in texts),
        *(request(name, *texts[place : place + 5]) for place in range(len(texts) - 5)),
        *(request(name, text[:600], tools=True) for text in texts),
    ]


@pytest.mark.parametrize("is_ascii", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_estimate_is_near_the_count(name, is_ascii):
    bodies = shapes(name)
    counts = [counted(name, body) for body in bodies]
    found = [estimate(json.dumps(body, ensure_ascii=is_ascii, separators=(",", ":")).encode(), name) for body in bodies]
    ratios = sorted(each / count for each, count in zip(found, counts, strict=True))
    assert 0.9 <= sum(found) / sum(counts) <= 1.1
    assert ratios[len(ratios) // 10] >= 0.7
    assert ratios[len(ratios) * 9 // 10] <= 1.25


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [12, 40, 120])
def test_short_requests_are_estimated_as_well_as_long_ones(name, size):
    bodies = [request(name, each["text"][:size]) for each in SAMPLES]
    found = [estimate(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), name) for body in bodies]
    counts = [counted(name, body) for body in bodies]
    ratios = sorted(each / count for each, count in zip(found, counts, strict=True))
    assert 0.85 <= sum(found) / sum(counts) <= 1.2
    assert ratios[len(ratios) // 10] >= 0.7
    assert ratios[len(ratios) * 9 // 10] <= 1.4


@pytest.mark.parametrize("name", NAMES)
def test_a_greeting_is_a_handful_of_tokens(name):
    assert 5 <= estimate(json.dumps(request(name, "Good morning!")).encode(), name) <= 15


@pytest.mark.parametrize("name", NAMES)
def test_a_long_body_is_estimated_by_windows_of_it(name):
    text = "\n".join(each["text"] for each in SAMPLES)
    body = request(name, text * 30)
    assert 0.8 <= estimate(json.dumps(body).encode(), name) / counted(name, body) <= 1.2


def picture(size: int) -> str:
    return "iVBORw0KGgo" + "Ab3/" * (size // 4)


@pytest.mark.parametrize("size", [4_000, 900_000])
@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("anthropic", lambda data: {"type": "base64", "media_type": "image/png", "data": data}),
        ("openai-chat", lambda data: {"image_url": {"url": f"data:image/png;base64,{data}"}}),
        ("gemini", lambda data: {"inlineData": {"mimeType": "image/png", "data": data}}),
    ],
)
def test_a_picture_costs_the_same_whatever_its_bytes(name, part, size):
    text = json.dumps(request(name, "What is this?"))
    with_picture = json.dumps(request(name, "What is this?") | {"part": part(picture(size))})
    more = estimate(with_picture.encode(), name) - estimate(text.encode(), name)
    assert abs(more - (1500 if name == "anthropic" else 765)) < 40


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("anthropic", {"type": "image", "source": {"type": "url", "url": "https://example.com/heron.png"}}),
        ("openai-chat", {"type": "image_url", "image_url": {"url": "https://example.com/heron.png"}}),
        ("openai-responses", {"type": "input_image", "image_url": "https://example.com/heron.png"}),
        ("gemini", {"fileData": {"fileUri": "https://example.com/heron.png"}}),
    ],
)
def test_a_picture_that_is_only_linked_costs_as_much(name, part):
    text = json.dumps(request(name, "What is this?")).encode()
    linked = json.dumps(request(name, "What is this?") | {"part": [part, part]}).encode()
    assert abs(estimate(linked, name) - estimate(text, name) - 2 * (1500 if name == "anthropic" else 765)) < 100
    told = json.dumps(request(name, json.dumps([part, part]))).encode()
    assert estimate(told, name) < 200


def test_a_document_costs_by_its_pages():
    part = {"source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x" + "Ab3/" * 60_000}}
    assert 5_900 <= estimate(json.dumps(part).encode(), "anthropic") <= 6_100


def test_a_models_own_state_costs_nothing():
    thought = {"type": "thinking", "thinking": "", "signature": "Ab3/" * 2_000}
    assert estimate(json.dumps(thought).encode(), "anthropic") < 30


def test_a_text_without_a_space_is_still_text():
    assert estimate(json.dumps(request("openai-chat", "x" * 200_000)).encode(), "openai-chat") > 20_000
    assert estimate(json.dumps({"input": {"data": "no media at all " * 500}}).encode(), "anthropic") > 1_000


@pytest.mark.parametrize("body", [b'"' * 500_000, b'"data":"' * 50_000, b"\\u" * 200_000, b"{" * 500_000, b"\xff" * 99])
def test_a_hostile_body_has_an_estimate(body):
    assert 1 <= estimate(body, "openai-chat") <= 2 * len(body)


def test_the_work_does_not_grow_with_the_text():
    """Every step is one pass in C; a loop over characters would show here."""

    def steps(body):
        made = 0

        def note(frame, event, argument):
            nonlocal made
            made += event in {"call", "c_call"}

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            estimate(body, "openai-chat")
        finally:
            sys.setprofile(before)
        return made

    text = json.dumps(request("openai-chat", "a word " * 200)).encode()
    longer = json.dumps(request("openai-chat", "a word " * 20_000)).encode()
    assert steps(longer) <= steps(text) + 2


def test_a_call_is_estimated_once():
    body = json.dumps(request("openai-chat", "Good morning!")).encode()
    call = Call("req_1", FORMATS["openai-chat"], Route("openai-chat"), {}, {}, body=body)
    first = input_tokens(call)
    call.body = body * 100
    assert input_tokens(call) == first == call.input_tokens


def test_a_form_has_no_tokens_to_count():
    assert estimate(b"") == 0
