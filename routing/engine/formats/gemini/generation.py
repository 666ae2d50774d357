"""How to generate: `generationConfig`, there and back."""

from __future__ import annotations

from typing import Any

import msgspec

from channels_app.engine.capabilities import Capabilities
from routing.engine.codec import Exchange
from routing.engine.effort import budget_of, nearest, wanted_effort
from routing.engine.errors import BadRequest
from routing.engine.formats.gemini.media import general_detail, resolution_of
from routing.engine.formats.gemini.members import Members, an_object, flag, integer, number, text, texts, wrong
from routing.engine.messages import ChatRequest, Effort, OutputFormat, Thinking, ThinkingMode
from routing.engine.openapi import from_openapi, to_openapi
from routing.engine.schema import to_json_schema

_PATH = "generationConfig."
#: What is read of a generationConfig; everything else in it only this format has.
_READ = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseLogprobs",
        "logprobs",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "thinkingConfig",
    }
)
#: Members of the format's own that stand in a generationConfig; those not known here say so in their name.
_OWN = frozenset(
    {
        "audioTimestamp",
        "audioTranscriptionConfig",
        "enableAffectiveDialog",
        "enableEnhancedCivicAnswers",
        "imageConfig",
        "mediaResolution",
        "modelSelectionConfig",
        "responseFormat",
        "responseMimeType",
        "responseModalities",
        "responseSchema",
        "routingConfig",
        "speechConfig",
        "translationConfig",
    }
)
_EFFORTS: dict[str, Effort] = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high", "XHIGH": "xhigh"}
_JSON = "application/json"
_encode = msgspec.json.Encoder().encode


# --- a client's wishes -----------------------------------------------------------------------------------------------


def decode_generation(value: Any) -> tuple[dict[str, Any], Members]:
    """Return the fields of a ChatRequest that a `generationConfig` sets, and what only this format has.

    Raises:
        BadRequest: something is not of the shape that the format gives it.
    """
    config = an_object(value, "generationConfig")
    native = {_native_name(name): each for name, each in config.items() if name not in _READ and each is not None}
    if native.get("responseModalities") in (["TEXT"], ["text"]):
        del native["responseModalities"]
    output, odd = _output(config)
    choices = integer(config, "candidateCount", _PATH)
    return {
        "temperature": number(config, "temperature", _PATH),
        "top_p": number(config, "topP", _PATH),
        "top_k": integer(config, "topK", _PATH),
        "choices": choices if choices is not None and choices > 0 else 1,
        "max_tokens": integer(config, "maxOutputTokens", _PATH),
        "stop": texts(config, "stopSequences", _PATH),
        "seed": integer(config, "seed", _PATH),
        "presence_penalty": number(config, "presencePenalty", _PATH),
        "frequency_penalty": number(config, "frequencyPenalty", _PATH),
        "logprobs": flag(config, "responseLogprobs", _PATH),
        "top_logprobs": integer(config, "logprobs", _PATH),
        "thinking": _thinking(config.get("thinkingConfig")),
        "output": output,
    }, native | odd


def _native_name(name: str) -> str:
    return name if name in _OWN else f"{_PATH}{name}"


def _output(config: Members) -> tuple[OutputFormat | None, Members]:
    """Return the form that the answer must have, and what of it has no form in other formats."""
    media_type = text(config, "responseMimeType", _PATH).lower()
    key = "responseJsonSchema" if config.get("responseJsonSchema") is not None else "responseSchema"
    schema = config.get(key)
    if schema is not None and not isinstance(schema, dict):
        raise wrong(f"{_PATH}{key}", schema, "a schema object")
    if media_type not in {"", _JSON, "text/plain"}:
        # text/x.enum: one of some words, without JSON around it.
        return None, {name: config[name] for name in ("responseMimeType", key) if config.get(name) is not None}
    if schema is not None and media_type != "text/plain":
        plain = from_openapi(schema) if key == "responseSchema" else schema
        return OutputFormat("json_schema", plain), {}
    return (OutputFormat("json_object"), {}) if media_type == _JSON else (None, {})


def _thinking(value: Any) -> Thinking | None:
    path = f"{_PATH}thinkingConfig."
    config = an_object(value, path[:-1])
    is_shown = flag(config, "includeThoughts", path)
    budget = integer(config, "thinkingBudget", path)
    level = text(config, "thinkingLevel", path).upper().removeprefix("THINKING_LEVEL_")
    if level not in {"", "UNSPECIFIED"}:
        if level not in _EFFORTS:
            known = ", ".join(_EFFORTS)
            raise BadRequest(
                f"`{path}thinkingLevel` must be one of {known}, not {level}.", param=f"{path}thinkingLevel"
            )
        return Thinking("enabled", _EFFORTS[level], is_shown=is_shown)
    if budget is not None:
        mode: ThinkingMode = "disabled" if budget == 0 else "enabled" if budget > 0 else "adaptive"
        return Thinking(mode, budget_tokens=max(budget, -1), is_shown=is_shown)
    return None if is_shown is None else Thinking(is_shown=is_shown)


# --- an upstream's orders --------------------------------------------------------------------------------------------


def encode_generation(exchange: Exchange) -> Members:
    """Return the `generationConfig` of a request; what was not asked for is not in it."""
    request = exchange.request
    config: Members = {
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "candidateCount": request.choices if request.choices > 1 else None,
        "maxOutputTokens": request.max_tokens,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "presencePenalty": request.presence_penalty,
        "frequencyPenalty": request.frequency_penalty,
        "responseLogprobs": request.logprobs,
        "logprobs": request.top_logprobs if request.logprobs else None,
        "thinkingConfig": _thinking_config(exchange),
        "mediaResolution": resolution_of(detail) if (detail := general_detail(exchange)) else None,
        **_output_members(request, exchange.target.capabilities),
    }
    for name, value in request.native.items():
        if name in _OWN or name.startswith(_PATH):
            config[name.removeprefix(_PATH)] = value
    return {name: value for name, value in config.items() if value is not None}


def is_generation(name: str) -> bool:
    """Whether a member that only this format has belongs into its generationConfig."""
    return name in _OWN or name.startswith(_PATH)


def _output_members(request: ChatRequest, can: Capabilities) -> Members:
    output = request.output
    if output is None:
        return {}
    if output.kind == "json_object" or not output.schema or not can.structured_output:
        return {"responseMimeType": _JSON} if can.json_object else {}
    if can.gemini_schema == "json":
        return {"responseMimeType": _JSON, "responseJsonSchema": to_json_schema(output.schema)}
    return {"responseMimeType": _JSON, "responseSchema": to_openapi(output.schema)}


def asked_for(exchange: Exchange) -> str:
    """Return in words the form of an answer that the model is not held to, "" where it is."""
    output, can = exchange.request.output, exchange.target.capabilities
    if output is None or (can.structured_output if output.schema else can.json_object):
        return ""
    exchange.losses.emulated("response_format")
    asked = "Answer with one JSON object and nothing else."
    if not output.schema:
        return asked
    return f"{asked} It must be valid against this JSON Schema:\n{_encode(output.schema).decode()}"


def _thinking_config(exchange: Exchange) -> Members | None:
    """Return how much to think, None where the client left it to the model; levels and budgets exclude each other."""
    thinking, can = exchange.request.thinking, exchange.target.capabilities
    if thinking is None:
        return None
    if can.thinking == "none":
        if thinking.mode not in {None, "disabled"} or thinking.effort is not None:
            exchange.losses.dropped("thinking")
        return None
    amount = _level(thinking, exchange) if can.thinking_level else _budget(thinking, exchange)
    is_off = wanted_effort(thinking) == "none"
    if not is_off and thinking.mode is None and not amount and thinking.is_shown is None and thinking.summary is None:
        return None
    if thinking.is_shown is None and exchange.request.format == exchange.target.format:
        return amount  # this format's own clients leave it to the model
    return {"includeThoughts": not is_off and thinking.is_shown is not False, **amount}


def _level(thinking: Thinking, exchange: Exchange) -> Members:
    effort = wanted_effort(thinking)
    if effort is None or (thinking.effort is None and (thinking.budget_tokens or 0) < 0):
        return {}
    can = exchange.target.capabilities
    known = [each for each in can.efforts if each in _EFFORTS.values()]
    if effort == "none":
        # These models always think.
        exchange.losses.clamped("thinking")
        effort = "minimal"
    return {"thinkingLevel": nearest(effort, known, can.effort_words).upper()}


def _budget(thinking: Thinking, exchange: Exchange) -> Members:
    can = exchange.target.capabilities
    budget = thinking.budget_tokens
    if thinking.mode == "disabled":
        budget = 0
    elif budget is None and thinking.effort is not None:
        budget = budget_of(thinking.effort, can.max_thinking)
    elif budget is None and thinking.mode is not None:
        budget = -1
    if budget is None:
        return {}
    least, most = can.min_thinking, can.max_thinking
    if 0 <= budget < least or (most is not None and budget > most):
        exchange.losses.clamped("thinking")
        budget = least if budget < least else most or budget
    return {"thinkingBudget": budget}
