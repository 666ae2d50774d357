"""The engine's translation as four functions, for runners of conversion vectors (see `test_vectors.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from channels_app.engine.capabilities import of_model
from channels_app.engine.provider import Provider
from channels_app.engine.providers import PROVIDERS
from routing.engine.codec import Exchange, Target
from routing.engine.errors import GatewayError, UpstreamFailed
from routing.engine.estimate import estimate
from routing.engine.failures import ErrorInside, error_of, told_id
from routing.engine.format import Asked, Route
from routing.engine.formats import CODECS, FORMATS, client_codec
from routing.engine.losses import Losses
from routing.engine.memory import Noting, StateMemory
from routing.engine.messages import ChatRequest
from routing.engine.translation import TranslatingReader, Translation

Vector = dict[str, Any]
GENUINE = {
    "openai-chat": "openai",
    "openai-responses": "openai",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "bedrock-converse": "bedrock",
    "bedrock-invoke": "bedrock",
    "cohere": "cohere",
    "ollama": "ollama",
}
#: Providers by the names that people use; who has none here speaks a format as any compatible server does.
ALIASES = {"azure": "azure-openai", "dashscope": "bailian", "kimi": "moonshot", "qwen": "bailian", "aws": "bedrock"}
COMPATIBLE = {"anthropic": "anthropic-compatible"}
MODELS = {
    "openai-chat": "gpt-x",
    "openai-responses": "gpt-x",
    "anthropic": "claude-x",
    "gemini": "gemini-2.5-flash",
    "bedrock-converse": "claude-x",
    "bedrock-invoke": "claude-x",
    "vertex-anthropic": "claude-x",
    "cohere": "command-x",
    "ollama": "llama",
}
#: What the gateway would remember of the answers told so far; each vector is a tenant of its own.
MEMORY = StateMemory()


def translation(vector: Vector, client: str, upstream: str, request: dict[str, Any] | None) -> Translation:
    """Return the translation that a vector describes: the client's request, and the target of its options."""
    options = vector.get("options", {})
    provider = host(options.get("provider") or GENUINE[upstream], upstream)
    model = options.get("model") or MODELS[upstream]
    can = provider.capabilities_of(upstream, model)
    changes = {name: value for name, value in options.get("capabilities", {}).items() if hasattr(can, name)}
    if changes.get("thinking") is False:
        changes["thinking"] = "none"
    for name in ("gemini_schema",):
        if name in options:
            changes[name] = options[name]
    if "anthropic_version" in options:
        changes["api_version"] = options["anthropic_version"]
    can = of_model(can, [("*", changes)], model) if changes else can
    codec = client_codec(client)
    assert codec is not None
    decoded = ChatRequest(format=client, model="m")
    if request is not None:
        body, named = json.dumps(request).encode(), request.get("model", "m")
        decoded = codec.decode_request(body, model=named, is_stream=bool(request.get("stream")))
        if can.cache_key and not decoded.cache_key:
            # As the gateway does: who finds a conversation again finds its cache again.
            session = FORMATS[client].read_request(Route(client, named), {}, body).session_hint
            decoded = replace(decoded, cache_key=session[:64])
    target = Target(upstream, provider.name, "chn_1", model, can)
    exchange = Exchange(decoded, target, "req_1", Losses(codec.spelling))
    if decoded.is_stream:
        exchange.input_tokens = estimate(json.dumps(request).encode(), client)
    return Translation(codec, CODECS[upstream], exchange)


def host(name: str, upstream: str) -> Provider:
    """Return the provider that a vector names."""
    name = ALIASES.get(name, name)
    return PROVIDERS[name if name in PROVIDERS else COMPATIBLE.get(upstream, "openai-compatible")]


def as_hosted(vector: Vector) -> str:
    """Return the upstream's format: that of the vector, or what its host takes in its place."""
    upstream: str = vector["to"]
    if not (name := vector.get("options", {}).get("provider")):
        return upstream
    spoken = host(name, upstream).capabilities
    if upstream in spoken:
        return upstream
    envelope = next((each for each in spoken if CODECS[each].issuer == upstream), "")
    own = next(iter(spoken))
    return envelope or (upstream if client_codec(own) else own)


def convert_request(vector: Vector) -> dict[str, Any]:
    """Return the upstream's body, headers and the warnings; or the refusal in the client's format."""
    try:
        translating = translation(vector, vector["from"], as_hosted(vector), vector["input"]["body"])
        written = translating.write()
    except GatewayError as error:
        reply = FORMATS[vector["from"]].error_reply(error, "req_1")
        return {"reject": {"status": reply.status, "body": json.loads(reply.body)}}
    return {
        "body": json.loads(msgspec.json.encode(written.body)),
        "headers": written.headers,
        "warnings": list(translating.exchange.losses.codes),
    }


def convert_response(vector: Vector) -> dict[str, Any]:
    """Return the client's status, body and headers for an upstream's answer."""
    given = vector["input"]
    translating = answering(vector)
    body = given["body"] if isinstance(given["body"], str) else json.dumps(given["body"])
    headers = {name.lower().encode(): value.encode() for name, value in given.get("headers", {}).items()}
    if given["status"] >= 300:
        return refused(vector, translating.failure(given["status"], body.encode(), headers))
    try:
        answer = translating.read(body.encode())
    except ErrorInside as inside:
        return refused(vector, inside.error)
    except ValueError as broken:
        return refused(vector, error_of(0, str(broken)))
    if translating.client.forgets_state:
        MEMORY.note_answer(vector.get("name", ""), answer)
    told = {name.decode(): value.decode() for name, value in told_id(headers.items())}
    return {"status": 200, "body": json.loads(translating.tell(answer)), "headers": told}


def refused(vector: Vector, error: GatewayError) -> dict[str, Any]:
    """Return an error as the client gets it."""
    reply = FORMATS[vector["to"]].error_reply(error, "req_1")
    told = {name.decode(): value.decode() for name, value in reply.headers}
    return {"status": reply.status, "body": json.loads(reply.body), "headers": told}


def convert_stream(vector: Vector, chunks: list[bytes]) -> Iterator[bytes]:
    """Yield the client's bytes of an upstream's stream, and its error when the stream was cut."""
    chunks = list(chunks)
    # Hosts that send frames send what the format says in their own envelope.
    is_framed = bool(chunks) and chunks[0].startswith(b"\0")
    translating = answering(vector | {"from": as_hosted(vector | {"to": vector["from"]})} if is_framed else vector)
    exchange, client = translating.exchange, translating.client
    noting = Noting(MEMORY, vector.get("name", ""), only_calls=not client.forgets_state)
    reader = TranslatingReader(
        Asked(exchange.request.model, is_stream=True, wants_usage=exchange.request.wants_usage),
        decoder=translating.upstream.stream_decoder(exchange),
        encoder=translating.client.stream_encoder(exchange),
        telling=translating.told(),
        request_id="req_1",
        noting=noting if client.forgets_state or client.misses_call_state else None,
    )
    for chunk in chunks:
        yield reader.feed(chunk)
    yield reader.finish()
    if not reader.is_complete:
        yield reader.error_event(UpstreamFailed("the stream was cut"), "req_1")


def convert_followup(vector: Vector, request: dict[str, Any]) -> dict[str, Any]:
    """Return the upstream's body for the client's next request."""
    translating = translation(vector, vector["to"], vector["from"], request)
    if translating.client.forgets_state or translating.client.misses_call_state:
        translating.exchange.request = MEMORY.recall(vector.get("name", ""), translating.exchange.request)
    body: dict[str, Any] = json.loads(msgspec.json.encode(translating.write().body))
    return body


def answering(vector: Vector) -> Translation:
    """Return the translation whose request has been written, as before every answer."""
    translating = translation(vector, vector["to"], vector["from"], vector["input"].get("request"))
    translating.write()
    return translating
