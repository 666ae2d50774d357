"""Echo's embeddings and images, judged by the official client."""

import base64
import math
import struct
import zlib

import openai
import pytest

pytestmark = pytest.mark.asyncio


async def test_embeddings_are_deterministic_unit_vectors(openai_client):
    answer = await openai_client.embeddings.create(model="echo", input=["one", "two", "one"])
    vectors = [row.embedding for row in answer.data]
    assert [row.index for row in answer.data] == [0, 1, 2]
    assert vectors[0] == vectors[2] != vectors[1]
    for vector in vectors:
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)
    assert answer.model == "echo"
    assert answer.usage.total_tokens == 3


async def test_both_encodings_hold_the_same_vector(openai_client):
    floats = await openai_client.embeddings.create(model="echo", input="one", encoding_format="float", dimensions=3)
    packed = await openai_client.embeddings.create(model="echo", input="one", encoding_format="base64", dimensions=3)
    assert isinstance(packed.data[0].embedding, str)
    unpacked = struct.unpack("<3f", base64.b64decode(packed.data[0].embedding))
    assert list(unpacked) == pytest.approx(floats.data[0].embedding, abs=1e-6)


async def test_embedding_has_the_asked_dimensions(openai_client):
    for dimensions in (1, 7, 1536):
        answer = await openai_client.embeddings.create(model="echo", input="one", dimensions=dimensions)
        assert len(answer.data[0].embedding) == dimensions


@pytest.mark.parametrize(("asked", "count"), [([1, 2, 3], 1), ([[1, 2], [3]], 2), ("one", 1)])
async def test_tokens_are_inputs_too(openai_client, asked, count):
    assert len((await openai_client.embeddings.create(model="echo", input=asked)).data) == count


@pytest.mark.parametrize(
    "options",
    [
        {"input": []},
        {"input": ["x"] * 2049},
        {"input": ["x"] * 2048, "dimensions": 4096},
        {"input": "x", "dimensions": 0},
        {"input": "x", "dimensions": 10**9},
    ],
)
async def test_too_little_or_too_much_to_embed_is_a_bad_request(openai_client, options):
    with pytest.raises(openai.BadRequestError):
        await openai_client.embeddings.create(model="echo", **options)


def assert_is_png(data):
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, names = 8, []
    while place < len(data):
        length, name = struct.unpack(">I4s", data[place : place + 8])
        [check] = struct.unpack(">I", data[place + 8 + length : place + 12 + length])
        assert check == zlib.crc32(data[place + 4 : place + 8 + length])
        names.append(name)
        place += 12 + length
    assert names == [b"IHDR", b"IDAT", b"IEND"]


async def test_image_is_a_valid_picture(openai_client):
    answer = await openai_client.images.generate(model="echo", prompt="a pixel", n=2)
    assert len(answer.data) == 2
    assert_is_png(base64.b64decode(answer.data[0].b64_json))
    assert answer.data[0].revised_prompt == "a pixel"
    assert answer.data[0].url is None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


async def test_image_by_url_needs_no_network(openai_client):
    answer = await openai_client.images.generate(model="echo", prompt="a pixel", response_format="url")
    head, _, data = answer.data[0].url.partition(",")
    assert head == "data:image/png;base64"
    assert_is_png(base64.b64decode(data))
    assert answer.data[0].b64_json is None


async def test_streamed_image_is_completed_by_one_event(openai_client):
    stream = await openai_client.images.generate(model="echo", prompt="a pixel", stream=True)
    [event] = [event async for event in stream]
    assert event.type == "image_generation.completed"
    assert_is_png(base64.b64decode(event.b64_json))


async def test_faults_are_the_right_exceptions(openai_client):
    with pytest.raises(openai.RateLimitError):
        await openai_client.embeddings.create(model="echo-429", input="one")
    with pytest.raises(openai.InternalServerError):
        await openai_client.images.generate(model="echo-500", prompt="a pixel")
