"""Claude on other hosts: the body of Messages in their envelopes, less what they do not know."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from routing.engine.betas import ON_BEDROCK, ON_VERTEX, listed
from routing.engine.codec import Exchange, StreamDecoder, UpstreamCodec, UpstreamFailure, Written
from routing.engine.eventstream import FrameDecoder, read_refusal
from routing.engine.failures import asked_wait_s, said_in
from routing.engine.formats.anthropic.codec import AnthropicCodec
from routing.engine.formats.anthropic.shape import Object
from routing.engine.formats.anthropic.stream_decoder import AnthropicDecoder
from routing.engine.formats.anthropic.vocabulary import NAME
from routing.engine.losses import Losses
from routing.engine.messages import (
    ChatAnswer,
    ChatRequest,
    Failed,
    Message,
    Native,
    Part,
    StreamEvent,
    Tool,
    ToolResult,
)

_CONTEXT_BETA = "context-management-2025-06-27"
_EFFORT_BETA = "effort-2025-11-24"
#: The members of a body that every host takes. It refuses a request that has another.
_MEMBERS = frozenset(
    {
        "max_tokens",
        "messages",
        "metadata",
        "output_config",
        "stop_sequences",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
#: Members of a tool that a host takes only with a beta, "" for those that none takes: hints, all of them.
_TOOL_MEMBERS = {
    "allowed_callers": "",
    "defer_loading": "tool-search-tool-2025-10-19",
    "eager_input_streaming": "",
    "input_examples": "tool-examples-2025-10-29",
}


class HostedCodec(UpstreamCodec):
    """What the hosts have in common: the codec of Messages does the work, for a target that is told to be its own."""

    issuer = NAME
    lacks = AnthropicCodec.lacks
    refuses = AnthropicCodec.refuses
    media = AnthropicCodec.media
    searches = AnthropicCodec.searches
    takes = frozenset({"betas", "anthropic_beta"})
    #: `anthropic_version` of the body.
    version: ClassVar[str]
    betas: ClassVar[frozenset[str]]
    #: More members of a body that this host takes.
    members: ClassVar[frozenset[str]] = frozenset()
    #: How the types of those typed tools begin that run here, or at the client's.
    tools: ClassVar[tuple[str, ...]] = ("bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")
    #: Blocks without a canonical part that it knows.
    blocks: ClassVar[frozenset[str]] = frozenset(
        {"search_result", "tool_reference", "server_tool_use", "tool_search_tool_result", "compaction"}
    )

    def __init__(self) -> None:
        self._own = AnthropicCodec()

    def operation(self, is_stream: bool) -> str:
        """Return the operation; streams have a path of their own."""
        return f"{self.name}:stream" if is_stream else self.name

    def encode_request(self, exchange: Exchange) -> Written:
        """Return the request; see the contract."""
        asked = [*listed(exchange.request.native.get("betas")), *listed(exchange.request.native.get("anthropic_beta"))]
        betas = [beta for beta in dict.fromkeys(asked) if beta in self.betas]
        own = _as_own(exchange)
        own.request = self._fitting(exchange.request, exchange.losses)
        written = self._own.encode_request(own)
        # What the body itself needs is not asked for by the client alone.
        betas += [beta for beta in listed(written.headers.get("anthropic-beta")) if beta not in betas]
        body = self._kept(written.body, betas, exchange.losses)
        _fit_tools(body, betas, exchange.losses)
        if "effort" in body.get("output_config", ()) and exchange.target.capabilities.thinking != "adaptive":
            betas += [_EFFORT_BETA] if _EFFORT_BETA in self.betas and _EFFORT_BETA not in betas else []
        return self.enveloped({"anthropic_version": self.version, **body}, betas)

    @abstractmethod
    def enveloped(self, body: Object, betas: list[str]) -> Written:
        """Return the request with its betas where this host looks for them."""

    def decode_answer(self, body: bytes, exchange: Exchange) -> ChatAnswer:
        """Return a whole answer; see the contract."""
        return self._own.decode_answer(body, _as_own(exchange))

    # --- what the host knows ----------------------------------------------------------------------------------------

    def _fitting(self, request: ChatRequest, losses: Losses) -> ChatRequest:
        """Return the request without tools that do not run on this host, and what they left in the history."""
        tools = tuple(tool for tool in request.tools if self._is_known(tool, losses))
        gone = {tool.name for tool in request.tools} - {tool.name for tool in tools}
        choice = request.tool_choice
        if choice is not None and choice.names and not set(choice.names) - gone:
            choice = None
        native = {name: value for name, value in request.native.items() if name not in self.takes}
        messages = tuple(self._readable(message, losses) for message in request.messages)
        return replace(request, tools=tools, tool_choice=choice, native=native, messages=messages)

    def _is_known(self, tool: Tool, losses: Losses) -> bool:
        kind = tool.native.get("type") if isinstance(tool.native, dict) else None
        if tool.kind != "hosted" or (kind is None and tool.name == "web_search") or str(kind).startswith(self.tools):
            return True
        losses.dropped(f"tool:{kind or tool.name}")
        return False

    def _readable(self, message: Message, losses: Losses) -> Message:
        parts = [_within(part, self.blocks, losses) for part in message.parts]
        return replace(message, parts=tuple(part for part in parts if part is not None))

    def _kept(self, body: Object, betas: list[str], losses: Losses) -> Object:
        """Return the body's members that this host knows."""
        known = _MEMBERS | self.members | ({"context_management"} if _CONTEXT_BETA in betas else set())
        if "cache_control" in body and "cache_control" not in known:
            # Automatic caching is a breakpoint at the end of the prompt.
            body["messages"][-1]["content"][-1].setdefault("cache_control", body.pop("cache_control"))
        for name in body:
            if name not in known and name not in {"model", "stream"}:
                losses.dropped(name)
        return {name: value for name, value in body.items() if name in known}


class BedrockInvokeCodec(HostedCodec):
    """InvokeModel of AWS Bedrock: betas in the body, streams as binary frames around the events.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html
    """

    name = "bedrock-invoke"
    version = "bedrock-2023-05-31"
    betas = ON_BEDROCK

    def enveloped(self, body: Object, betas: list[str]) -> Written:
        """Return the request with its betas in the body."""
        return Written({**body, "anthropic_beta": betas} if betas else body)

    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder of frames with an event in each."""
        return ChunkFrames(_as_own(exchange))

    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what the exception says that the error answer names."""
        return read_refusal(body, headers)


class VertexAnthropicCodec(HostedCodec):
    """Claude on Vertex: betas as a header, streams as they are.

    https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude
    """

    name = "vertex-anthropic"
    version = "vertex-2023-10-16"
    betas = ON_VERTEX
    members = frozenset({"cache_control", "stream"})
    tools = (*HostedCodec.tools, "web_search_")
    blocks = HostedCodec.blocks | {"web_search_tool_result"}

    def enveloped(self, body: Object, betas: list[str]) -> Written:
        """Return the request with its betas in the header."""
        return Written(body, {"anthropic-beta": ",".join(betas)} if betas else {})

    def stream_decoder(self, exchange: Exchange) -> StreamDecoder:
        """Return a decoder of named events."""
        return self._own.stream_decoder(_as_own(exchange))

    def decode_error(self, body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFailure:
        """Return what an error answer says, the model's or the host's: the latter may come in a list of one."""
        said = self._own.decode_error(body, headers)
        if not said.message:
            said.message, said.code, _ = said_in(body.strip().removeprefix(b"[").removesuffix(b"]"))
            said.retry_after_s = asked_wait_s(headers)
        return said


class _Chunk(msgspec.Struct):
    bytes: str = ""


_CHUNK = msgspec.json.Decoder(_Chunk)


class ChunkFrames(FrameDecoder):
    """Takes the events out of the frames; the last one's metrics of the invocation are nobody's business."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._events = AnthropicDecoder(exchange)

    def read(self, name: str, payload: bytes, events: list[StreamEvent]) -> None:
        """Append the events of one frame; see the contract."""
        if name != "chunk":
            return
        try:
            event = base64.b64decode(_CHUNK.decode(payload).bytes, validate=True)
        except (ValueError, RecursionError, binascii.Error):
            events.append(Failed("The upstream sent an event that cannot be read.", 502))
            return
        self._events.read(b"", event, events)

    def read_whole(self, body: bytes, events: list[StreamEvent]) -> None:
        """Append the events of a JSON body: a whole answer, or an error."""
        self._events.read(b"", body, events)
        if not events:
            message, code, status = said_in(body)
            events.append(Failed(message or "The upstream answered with neither a stream nor an answer.", status, code))

    def close(self, events: list[StreamEvent]) -> None:
        """Append the end where the answer said why it stopped."""
        self._events.close(events)


def _as_own(exchange: Exchange) -> Exchange:
    """Return the exchange as one with the API's own host: artefacts that it issues are read by every host."""
    return dataclasses.replace(exchange, target=dataclasses.replace(exchange.target, format=NAME))


def _within(part: Part, blocks: frozenset[str], losses: Losses) -> Any:
    """Return a part without blocks that are not known, None for one that is such a block."""
    if isinstance(part, Native) and part.kind not in blocks:
        losses.dropped(part.kind)
        return None
    if isinstance(part, ToolResult) and any(isinstance(each, Native) for each in part.parts):
        inner = [_within(each, blocks, losses) for each in part.parts]
        return replace(part, parts=tuple(each for each in inner if each is not None))
    return part


def _fit_tools(body: Object, betas: list[str], losses: Losses) -> None:
    """Take out of the tools what this host does not know of them."""
    for tool in body.get("tools", ()):
        for name, beta in _TOOL_MEMBERS.items():
            if name in tool and beta not in betas:
                del tool[name]
                if name == "input_examples":
                    losses.dropped(name)
