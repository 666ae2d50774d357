"""Echo in Gemini generateContent, whole and streamed, and its count of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Raw, Struct, ValidationError
from msgspec.json import encode

from channels_app.engine.provider import UpstreamRequest
from channels_app.engine.providers.echo.conversation import PositiveInt, Reply, Tool, Turn, reply_to, tokens_in
from channels_app.engine.providers.echo.gemini_json import error, read
from channels_app.engine.providers.echo.wire import Wire, data_event, new_id


class _Media(Struct, rename="camel"):
    mime_type: str = ""


class _FunctionResponse(Struct):
    response: dict[str, Any] | None = None


class _Part(Struct, rename="camel"):
    text: str | None = None
    inline_data: _Media | None = None
    file_data: _Media | None = None
    function_response: _FunctionResponse | None = None


class _Content(Struct):
    parts: list[_Part] = []
    role: str | None = None


class _Function(Struct, rename="camel"):
    name: str
    parameters: Any = None
    parameters_json_schema: Any = None


class _Tools(Struct, rename="camel"):
    function_declarations: list[_Function] | None = None


class _CallingConfig(Struct):
    mode: str | None = None


class _ToolConfig(Struct, rename="camel"):
    function_calling_config: _CallingConfig | None = None


class _GenerationConfig(Struct, rename="camel"):
    max_output_tokens: PositiveInt | None = None


class _Body(Struct, rename="camel"):
    contents: list[_Content] = []
    system_instruction: _Content | None = None
    tools: list[_Tools] | None = None
    tool_config: _ToolConfig | None = None
    generation_config: _GenerationConfig | None = None


class _CountBody(_Body, rename="camel"):
    generate_content_request: _Body | None = None


def whole(request: UpstreamRequest) -> bytes:
    """Answer generateContent."""
    reply = _reply(request)
    chunk = _chunk(request.model, new_id(""), _parts(reply), _finish_reason(reply))
    return encode({**chunk, "usageMetadata": _usage(reply)})


def stream(request: UpstreamRequest) -> Iterator[bytes]:
    """Answer streamGenerateContent with alt=sse."""
    return _stream(request.model, _reply(request))


def count(request: UpstreamRequest) -> bytes:
    """Answer how many tokens a request would have: as many as its answer will report."""
    body = read(request.body, _CountBody)
    tokens = tokens_in(_turns(body.generate_content_request or body))
    return encode({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]})


OPERATIONS = {
    "gemini:generateContent": Wire(whole, error),
    "gemini:streamGenerateContent": Wire(stream, error),
    "gemini:countTokens": Wire(count, error),
}


def _reply(request: UpstreamRequest) -> Reply:
    body = read(request.body, _Body)
    config = body.generation_config
    return reply_to(_turns(body), _tool(body), config.max_output_tokens if config else None)


def _turns(body: _Body) -> list[Turn]:
    if not body.contents:
        raise ValidationError("contents must not be empty")
    turns = [_turn(content) for content in body.contents]
    if body.system_instruction:
        turns.insert(0, Turn("other", _turn(body.system_instruction).text))
    return turns


def _turn(content: _Content) -> Turn:
    texts, results, images = [], [], []
    for part in content.parts:
        media = part.inline_data or part.file_data
        if part.function_response:
            results.append(encode(part.function_response.response).decode())
        elif part.text:
            texts.append(part.text)
        elif media and media.mime_type.startswith("image/"):
            images.append("[image]")
    text = " ".join([*results, *texts, *images])
    if results:
        return Turn("result", text)
    return Turn("other" if content.role == "model" else "user", text)


def _tool(body: _Body) -> Tool | None:
    """Return the first declared function, unless the caller forbids calls."""
    calling = body.tool_config.function_calling_config if body.tool_config else None
    if calling and calling.mode == "NONE":
        return None
    for tools in body.tools or ():
        for function in tools.function_declarations or ():
            return Tool(function.name, function.parameters or function.parameters_json_schema)
    return None


def _finish_reason(reply: Reply) -> str:
    # A turn that calls a function ends with STOP as well.
    return "MAX_TOKENS" if reply.is_cut else "STOP"


def _usage(reply: Reply) -> dict[str, Any]:
    return {
        "promptTokenCount": reply.input_tokens,
        "candidatesTokenCount": reply.output_tokens,
        "totalTokenCount": reply.input_tokens + reply.output_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": reply.input_tokens}],
    }


def _parts(reply: Reply) -> list[dict[str, Any]]:
    if reply.tool:
        return [{"functionCall": {"id": new_id(""), "name": reply.tool, "args": Raw(reply.arguments.encode())}}]
    return [{"text": reply.text}]


def _chunk(model: str, answer_id: str, parts: list[dict[str, Any]], finish_reason: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish_reason:
        candidate["finishReason"] = finish_reason
    return {"candidates": [candidate], "modelVersion": model, "responseId": answer_id}


def _stream(model: str, reply: Reply) -> Iterator[bytes]:
    answer_id = new_id("")
    pieces = [_parts(reply)] if reply.tool else ([{"text": word}] for word in reply.words())
    for parts in pieces:
        yield data_event(_chunk(model, answer_id, parts, None), b"\r\n\r\n")
    last = _chunk(model, answer_id, [{"text": ""}], _finish_reason(reply))
    yield data_event({**last, "usageMetadata": _usage(reply)}, b"\r\n\r\n")
