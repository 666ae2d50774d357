"""Embeddings and images."""

import pytest

from analytics.engine.record import Usage
from routing.engine.format import Route
from routing.engine.formats import FORMATS
from tests.routing.engine.formats.recorded import reader, run, stream

EMBEDDINGS = FORMATS["openai-embeddings"]
IMAGES = FORMATS["openai-images"]


def test_embeddings_never_stream():
    asked = EMBEDDINGS.read_request(Route("openai-embeddings"), {}, b'{"model":"e","input":[1,2],"stream":true}')
    assert not asked.is_stream
    with pytest.raises(NotImplementedError):
        EMBEDDINGS.stream_reader("openai-embeddings", asked)


def test_embeddings_change_the_model_only():
    body = b'{"input":"x","model":"e","encoding_format":"base64"}'
    asked = EMBEDDINGS.read_request(Route("openai-embeddings"), {}, body)
    assert EMBEDDINGS.write_request(body, asked, 'a"b') == body.replace(b'"e"', b'"a\\"b"')


def test_embeddings_answer_facts():
    answer = EMBEDDINGS.read_answer(
        "openai-embeddings", b'{"data":[],"model":"e","usage":{"prompt_tokens":5,"total_tokens":5}}'
    )
    assert (answer.model, answer.usage) == ("e", Usage(input_tokens=5))
    with pytest.raises(ValueError, match="no data"):
        EMBEDDINGS.read_answer("openai-embeddings", b'{"object":"list"}')


def test_images_answer_facts():
    answer = IMAGES.read_answer(
        "openai-images", b'{"created":1,"data":[{}],"usage":{"input_tokens":4,"output_tokens":16}}'
    )
    assert answer.usage == Usage(input_tokens=4, output_tokens=16, output_image_tokens=16)
    with pytest.raises(ValueError, match="no data"):
        IMAGES.read_answer("openai-images", b'{"created":1}')


def test_image_stream_facts():
    reading = reader("openai-images")
    run(reading, stream("openai-images", "partial"))
    assert reading.usage == Usage(input_tokens=30, output_tokens=1500, output_image_tokens=1500)
    assert reading.has_content
    assert reading.is_complete


def test_image_stream_error():
    reading = reader("openai-images")
    run(reading, stream("openai-images", "error"))
    assert (reading.failure, reading.failure_status, reading.has_content) == ("It broke.", 500, False)
