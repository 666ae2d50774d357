"""Fit a conversation to its target: what has no slot there is dropped, emulated, clamped or refused, and said so.

Everything that is the same for every format happens here, so that a format's encoder only spells out what is left.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from routing.engine.codec import Exchange, UpstreamCodec
from routing.engine.declarations import note_members, note_search
from routing.engine.errors import BadRequest
from routing.engine.messages import (
    ChatRequest,
    Media,
    Message,
    Native,
    Part,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from routing.engine.openapi import plain_schema
from routing.engine.toolnames import ToolNames, fit_id
from routing.engine.turns import repair

#: Members of a body that ask for state kept by the upstream: another upstream cannot have it.
_STATEFUL = ("previous_response_id", "conversation", "background", "prompt", "cachedContent")
#: Members left out without a word: those without any effect on the answer, and those that say in other words what a
#: field of the request says as well (`thinking`), kept for an upstream that knows no other words.
_SILENT = frozenset(
    {"stream_options", "include", "betas"}
    | {"enable_thinking", "thinking_budget", "think", "thinking", "reasoning"}
    | {"mediaResolution"}
)
#: Members whose loss is told as that of the feature, too, which has other names elsewhere.
_FEATURES = {"truncation": "context_management", "moderation": "safetySettings"}
#: Values that ask for what happens anyway.
_USUAL: tuple[Any, ...] = (None, False, "", "disabled", [], {})
#: What only some formats and models take, and the capabilities that it needs.
_SAMPLING = (
    ("temperature", ("sampling_params",)),
    ("top_p", ("sampling_params",)),
    ("top_k", ("sampling_params", "top_k")),
    ("stop", ()),
    ("seed", ("seed",)),
    ("presence_penalty", ("penalties",)),
    ("frequency_penalty", ("penalties",)),
    ("logit_bias", ("logit_bias",)),
    ("user", ("user",)),
    ("metadata", ("metadata",)),
)
_UNSAID: tuple[Any, ...] = ((), "", {})
#: What a tool without free-text arguments takes in their place.
_CUSTOM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
_encode = msgspec.json.Encoder().encode

P = TypeVar("P", bound=Part)
M = TypeVar("M", bound=Media)


def fit(exchange: Exchange, codec: UpstreamCodec) -> None:
    """Replace the exchange's request by one that fits its target, and note what was lost.

    Raises:
        BadRequest: something has no place there that must not be changed silently.
    """
    fitting = _Fitting(exchange, codec)
    request = fitting.refuse(exchange.request)
    request = fitting.numbers(request)
    request = fitting.sampling(request)
    request = fitting.shape(request)
    request = fitting.tools(request)
    request = fitting.history(request)
    exchange.request = fitting.rest(request)


class _Fitting:
    def __init__(self, exchange: Exchange, codec: UpstreamCodec) -> None:
        self.exchange = exchange
        self.codec = codec
        self.losses = exchange.losses
        self.target = exchange.target
        self.can = exchange.target.capabilities
        self.own_format = codec.issuer or exchange.target.format
        self.is_same_format = exchange.request.format == self.own_format
        exchange.names = ToolNames(self.can.max_tool_name, starts_with_letter=self.can.tool_name_starts_with_letter)

    # --- what must not be changed silently ---------------------------------------------------------------------

    def refuse(self, request: ChatRequest) -> ChatRequest:
        if request.choices > 1 and ("choices" in self.codec.refuses or not self.can.choices):
            raise self._no_place("n", f"{request.choices} answers to one question")
        if request.logprobs and ("logprobs" in self.codec.refuses or not self.can.logprobs):
            raise self._no_place("logprobs", "log probabilities")
        if not self.is_same_format:
            self._refuse_members(request.native)
        for message in request.messages:
            for part in message.parts:
                for each in part.parts if isinstance(part, ToolResult) else (part,):
                    if isinstance(each, Media):
                        self._refuse_media(each)
        return request

    def _refuse_members(self, native: dict[str, Any]) -> None:
        for name in _STATEFUL:
            if native.get(name):
                raise self._no_place(name, f"`{name}`, which refers to what another upstream keeps")
        for name in ("modalities", "responseModalities"):
            wanted = native.get(name)
            if isinstance(wanted, list) and any(isinstance(each, str) and each.lower() == "audio" for each in wanted):
                raise self._no_place(name, "a spoken answer")

    def _refuse_media(self, media: Media) -> None:
        if media.kind not in self.codec.media:
            raise self._no_place("messages", f"{media.kind} input")
        if media.file_id and not self._finds_file(media):
            raise self._no_place("messages", f"the uploaded file `{media.file_id}`, which lies with another provider")
        if media.url and not self.is_same_format and not self._can_open(media.url):
            raise self._no_place("messages", "a file in another provider's cloud")

    def _can_open(self, url: str) -> bool:
        """Whether an address is one that everybody can open, or the target's own."""
        return url[:8].lower().startswith(("http:", "https:", "data:")) or url.startswith(self.can.own_urls)

    def _finds_file(self, media: Media) -> bool:
        """Whether an uploaded file lies where the target looks for it: ids of documents may count in two formats."""
        asked = self.exchange.request.format
        return asked == self.target.format or (media.kind == "document" and asked in self.can.file_formats)

    def _no_place(self, feature: str, what: str) -> BadRequest:
        param = self.exchange.losses.spelled(feature)
        return BadRequest(
            f"`{self.target.model}` is served over {self.target.format}, which cannot take {what}. "
            f"Leave `{param}` out, or ask a model that takes it.",
            code="unsupported_parameter",
            param=param,
        )

    # --- numbers -------------------------------------------------------------------------------------------------

    def numbers(self, request: ChatRequest) -> ChatRequest:
        changes: dict[str, Any] = {}
        most = self.can.max_output
        if most is not None and request.max_tokens is not None and request.max_tokens > most:
            changes["max_tokens"] = most
            self.losses.clamped("max_tokens")
        if "stop" not in self.codec.lacks and len(request.stop) > self.can.max_stop:
            changes["stop"] = request.stop[: self.can.max_stop]
            self.losses.dropped("stop")
        return replace(request, **changes) if changes else request

    def sampling(self, request: ChatRequest) -> ChatRequest:
        """Drop what the format or the model has no slot for."""
        can, lacks = self.can, self.codec.lacks
        changes: dict[str, Any] = {}
        for feature, slots in _SAMPLING:
            value = getattr(request, feature)
            # Most requests say none of it; 0 does say something.
            if value is None or (not value and value in _UNSAID):
                continue
            if feature in lacks or not all(getattr(can, slot) for slot in slots):
                changes[feature] = () if feature == "stop" else "" if feature == "user" else None
                self.losses.dropped(feature)
        if request.verbosity is not None and ("verbosity" in lacks or not can.verbosity):
            changes["verbosity"] = None
            if request.verbosity != "medium":
                self.losses.dropped("verbosity")
        temperature = None if "temperature" in changes else request.temperature
        if temperature is not None and temperature > can.max_temperature:
            changes["temperature"] = can.max_temperature
            self.losses.clamped("temperature")
        return replace(request, **changes) if changes else request

    def shape(self, request: ChatRequest) -> ChatRequest:
        """Put the schema of the answer into the words of JSON Schema, where the client wrote it in others."""
        output = request.output
        if output is None or (schema := plain_schema(output.schema)) is output.schema:
            return request
        return replace(request, output=replace(output, schema=schema))

    # --- tools ---------------------------------------------------------------------------------------------------

    def tools(self, request: ChatRequest) -> ChatRequest:
        if not request.tools and request.tool_choice is None and request.parallel_tool_calls is None:
            return request
        kept = tuple(each for each in map(self._tool, request.tools) if each is not None)
        gone = {tool.name for tool in request.tools} - {self.exchange.names.restore(tool.name) for tool in kept}
        choice = self._choice(request.tool_choice, kept, gone) if kept else None
        if choice is not None and choice.is_list and not self.can.allowed_tools:
            kept = tuple(tool for tool in kept if tool.name in choice.names)
            choice = ToolChoice(choice.mode)
            self.losses.emulated("allowed_tools")
        parallel = request.parallel_tool_calls if kept else None
        if parallel is not None and ("parallel_tool_calls" in self.codec.lacks or not self.can.parallel_tool_calls):
            if parallel is False:
                self.losses.dropped("parallel_tool_calls")
            parallel = None
        return replace(request, tools=kept, tool_choice=choice, parallel_tool_calls=parallel)

    def _tool(self, tool: Tool) -> Tool | None:
        if tool.kind == "hosted":
            return self._hosted(tool)
        if tool.format != self.own_format:
            note_members(tool, self.losses)
        name = self.exchange.names.fit(tool.name)
        if tool.kind == "custom":
            # Also where it stays what it is: some upstreams call it as a function all the same.
            self.exchange.names.custom.add(tool.name)
        if tool.kind == "custom" and not (self.can.custom_tools and "custom_tools" not in self.codec.lacks):
            self.losses.emulated("custom_tool")
            return replace(
                tool, name=name, kind="function", description=_describe(tool), schema=_CUSTOM_SCHEMA, grammar=None
            )
        schema = plain_schema(tool.schema)
        return tool if name == tool.name and schema is tool.schema else replace(tool, name=name, schema=schema)

    def _hosted(self, tool: Tool) -> Tool | None:
        if tool.format == self.own_format and (tool.name != "web_search" or self.can.web_search):
            return tool
        if tool.name == "web_search":
            if self.can.web_search:
                self.losses.emulated("web_search")
                note_search(tool, self.codec, self.losses)
                return tool
            self.losses.dropped("web_search")
        else:
            kind = tool.native.get("type") if isinstance(tool.native, dict) else None
            self.losses.dropped(f"tool:{kind or tool.name}")
        return None

    def _choice(self, choice: ToolChoice | None, kept: tuple[Tool, ...], gone: set[str]) -> ToolChoice | None:
        if choice is None or not choice.names:
            return choice
        names = tuple(self.exchange.names.fit(name) for name in choice.names if name not in gone)
        if not self.is_same_format:
            # A kind of tool that no tool on offer is of has a name in its own format only.
            names = tuple(name for name in names if any(tool.name == name for tool in kept))
            if not names and not gone.intersection(choice.names):
                self.losses.dropped("tool_choice")
        return replace(choice, names=names) if names else None

    # --- history -------------------------------------------------------------------------------------------------

    def history(self, request: ChatRequest) -> ChatRequest:
        if "name" in self.codec.lacks and any(message.name for message in request.messages):
            self.losses.dropped("name")
        messages = repair(request.messages, self.losses)
        custom = {self.exchange.names.restore(tool.name) for tool in request.tools if tool.kind == "custom"}
        fitted = tuple(
            replace(message, parts=parts) if parts is not message.parts else message
            for message in messages
            for parts in (self._parts(message.parts, custom),)
            if parts or not message.parts
        )
        if fitted and fitted[-1].role == "assistant" and not self.can.prefix and self.can.prefill != "native":
            self.losses.emulated("prefill")
            if self.can.prefill == "refused":
                fitted = (*fitted[:-1], *_continued(fitted[-1]))
        if len(fitted) == len(request.messages) and all(map(_is, fitted, request.messages)):
            return request
        return replace(request, messages=fitted)

    def _parts(self, parts: tuple[Part, ...], custom: set[str]) -> tuple[Part, ...]:
        fitted = [each for each in (self._part(part, custom) for part in parts) if each is not None]
        return parts if len(fitted) == len(parts) and all(map(_is, fitted, parts)) else tuple(fitted)

    def _part(self, part: Part, custom: set[str]) -> Part | None:
        match part:
            case ToolCall():
                return self._call(part, custom)
            case ToolResult():
                inner = [self._inner(each) for each in part.parts]
                return replace(
                    part,
                    call_id=self._id(part.call_id),
                    name=self.exchange.names.fit(part.name) if part.name else "",
                    parts=tuple(each for each in inner if each is not None),
                    is_custom=part.is_custom and part.name in custom,
                )
            case _:
                return self._inner(part)

    def _call(self, call: ToolCall, custom: set[str]) -> ToolCall:
        name, call_id = self.exchange.names.fit(call.name), self._id(call.id)
        if call.is_custom and call.name not in custom:
            arguments = _encode({"input": call.arguments}).decode()
            return replace(call, name=name, id=call_id, is_custom=False, arguments=arguments)
        if name == call.name and call_id == call.id:
            return call
        return replace(call, name=name, id=call_id)

    def _inner(self, part: P) -> P | None:
        if isinstance(part, Native) and part.format != self.own_format:
            if part.text is None:
                self.losses.dropped(part.kind)
            return cast(P, Text(part.text)) if part.text else None
        if isinstance(part, Text) and not self._is_for(part):
            return None
        return self._media(part) if isinstance(part, Media) else part

    def _is_for(self, text: Text) -> bool:
        """Whether a text is meant for the target, and no note to another."""
        return not text.only_for or (text.only_for == self.target.format and self.can.inventors_notes)

    def _media(self, media: M) -> M:
        changes: dict[str, Any] = {}
        if "detail" in self.codec.lacks and media.detail:
            changes["detail"] = ""
            if media.detail != "auto":
                self.losses.dropped("detail")
        if media.wants_citations and "citations" in self.codec.lacks:
            changes["wants_citations"] = False
            self.losses.dropped("citations")
        return replace(media, **changes) if changes else media

    def _id(self, call_id: str) -> str:
        return fit_id(call_id, self.can.tool_id, self.can.max_tool_id)

    # --- everything else -----------------------------------------------------------------------------------------

    def rest(self, request: ChatRequest) -> ChatRequest:
        system = request.system
        if system:
            system = tuple(part for part in system if self._is_for(part))
        native = request.native
        if lost := [name for name in native if not self._takes(name)]:
            for name in lost:
                value = native[name]
                if value in _USUAL or value == request.user or self._is_said_elsewhere(name, value, request):
                    continue
                if name in _FEATURES:
                    self.losses.dropped(_FEATURES[name])
                self.losses.dropped(name)
            native = {name: value for name, value in native.items() if name not in lost}
        if native is request.native and len(system) == len(request.system):
            return request
        return replace(request, system=system, native=native)

    def _is_said_elsewhere(self, name: str, value: Any, request: ChatRequest) -> bool:
        """Whether a member has no effect, or a field of the request says the same and was not dropped itself."""
        if name == "safety_identifier":
            return bool(request.user)
        if name == "chat_template_kwargs":
            return isinstance(value, dict) and value.keys() <= {"enable_thinking", "thinking"}
        return name in _SILENT

    def _takes(self, name: str) -> bool:
        """Whether a member of the body that the conversation has no field for means something to the target."""
        if self.is_same_format:
            return name not in self.codec.rare or name in self.can.rare_members
        return name in self.codec.takes


def _is(one: object, other: object) -> bool:
    return one is other


def _describe(tool: Tool) -> str:
    """Return a free-text tool's description with its grammar, which has no other place in a function."""
    said = [tool.description] if tool.description else []
    grammar = tool.grammar or {}
    if definition := grammar.get("definition"):
        said.append(f"`input` must follow this {grammar.get('syntax') or 'formal'} grammar:\n{definition}")
    return "\n\n".join(said)


def _continued(message: Message) -> tuple[Message, ...]:
    """Return what asks a model to go on from a beginning that it would refuse as its own turn."""
    text = "".join(part.text for part in message.parts if isinstance(part, Text))
    return (Message("user", (Text(f"Continue from: {text}"),)),) if text else ()
