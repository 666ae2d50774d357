"""Responses requests: a client's body decoded, an upstream's encoded."""

from __future__ import annotations

import hashlib
from typing import Any

from routing.engine.codec import Exchange, Written
from routing.engine.effort import ORDER, nearest, wanted_effort
from routing.engine.errors import BadRequest
from routing.engine.formats.openai_responses import fields
from routing.engine.formats.openai_responses.history import History
from routing.engine.formats.openai_responses.items import decode_input
from routing.engine.formats.openai_responses.tools import decode_choice, decode_tools, encode_choice, encode_tool
from routing.engine.formats.openai_responses.toolsets import encode_sets
from routing.engine.formats.openai_responses.vocabulary import (
    ENCRYPTED_REASONING,
    MAX_ID_CHARS,
    MIN_OUTPUT_TOKENS,
    NAME,
    OUTPUT_LOGPROBS,
    SHARED_CACHING,
)
from routing.engine.messages import ChatRequest, OutputFormat, Text, Thinking
from routing.engine.turns import joined

#: Members of a body that the canonical request has a place for; of those that hold others, what is left is native.
_KNOWN = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "reasoning",
        "text",
        "user",
        "safety_identifier",
        "metadata",
        "service_tier",
        "prompt_cache_key",
        "stream",
    }
)
#: Of `include`, what is asked for whenever there is something to include.
_INCLUDED = frozenset({ENCRYPTED_REASONING, OUTPUT_LOGPROBS})
_KNOWN_REASONING = frozenset({"effort", "summary", "generate_summary"})
_KNOWN_TEXT = frozenset({"format", "verbosity"})
#: What an upstream keeps between requests. `background` is kept by no one: its answer would have to be fetched later.
_KEPT_UPSTREAM = ("previous_response_id", "conversation", "prompt")
#: Members that this gateway sets itself.
_OURS = frozenset({"include", "reasoning", "text", "background", "store", "safety_identifier", "user", *SHARED_CACHING})
#: A client's own bookkeeping, which upstreams refuse as unknown.
_BOOKKEEPING = "client_metadata"


def decode_request(body: bytes, *, model: str = "", is_stream: bool = False) -> ChatRequest:
    """Return the conversation of a body; see the contract."""
    given = fields.body_of(body)
    instructions = fields.text(given.get("instructions"), "instructions")
    system, messages, declared = decode_input(given.get("input"))
    text = fields.record(given.get("text"), "text")
    reasoning = fields.record(given.get("reasoning"), "reasoning")
    top_logprobs = fields.whole(given.get("top_logprobs"), "top_logprobs")
    wants_logprobs = bool(top_logprobs) or OUTPUT_LOGPROBS in fields.words(given.get("include"), "include")
    return ChatRequest(
        format=NAME,
        model=fields.text(given.get("model"), "model") or model,
        messages=messages,
        system=(Text(instructions), *system) if instructions else system,
        tools=(*decode_tools(given.get("tools")), *declared),
        tool_choice=decode_choice(given.get("tool_choice")),
        parallel_tool_calls=fields.flag(given.get("parallel_tool_calls"), "parallel_tool_calls"),
        max_tokens=fields.whole(given.get("max_output_tokens"), "max_output_tokens"),
        temperature=fields.number(given.get("temperature"), "temperature"),
        top_p=fields.number(given.get("top_p"), "top_p"),
        logprobs=wants_logprobs or None,
        top_logprobs=top_logprobs if wants_logprobs else None,
        thinking=_decode_thinking(reasoning),
        output=_decode_output(fields.record(text.get("format"), "text.format")),
        verbosity=fields.text(text.get("verbosity"), "text.verbosity") or None,
        user=fields.text(given.get("safety_identifier"), "safety_identifier") or fields.text(given.get("user"), "user"),
        metadata=fields.record(given.get("metadata"), "metadata") or None,
        service_tier=fields.text(given.get("service_tier"), "service_tier"),
        cache_key=fields.text(given.get("prompt_cache_key"), "prompt_cache_key"),
        is_stream=bool(fields.flag(given.get("stream"), "stream")) or is_stream,
        native=_decode_native(given, reasoning, text),
    )


def _decode_native(given: dict[str, Any], reasoning: dict[str, Any], text: dict[str, Any]) -> dict[str, Any]:
    native = _rest(given, _KNOWN)
    if given.get("safety_identifier"):
        native |= {name: given[name] for name in ("safety_identifier", "user") if given.get(name)}
    if include := [each for each in native.pop("include", ()) if each not in _INCLUDED]:
        native["include"] = include
    if rest := _rest(reasoning, _KNOWN_REASONING):
        native["reasoning"] = rest
    if rest := _rest(text, _KNOWN_TEXT):
        native["text"] = rest
    return native


def _rest(record: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in known and value is not None}


def _decode_thinking(reasoning: dict[str, Any]) -> Thinking | None:
    effort = fields.text(reasoning.get("effort"), "reasoning.effort")
    if effort and effort not in ORDER:
        raise fields.wrong_word(effort, "reasoning.effort", ORDER)
    summary = fields.text(reasoning.get("summary") or reasoning.get("generate_summary"), "reasoning.summary")
    if not effort and not summary:
        return None
    return Thinking(
        mode="disabled" if effort == "none" else None,
        effort=effort or None,
        summary=summary or None,
    )


def _decode_output(format: dict[str, Any]) -> OutputFormat | None:
    kind = fields.text(format.get("type"), "text.format.type")
    if kind == "json_object":
        return OutputFormat("json_object")
    if kind == "json_schema":
        return OutputFormat(
            "json_schema",
            fields.record(format.get("schema"), "text.format.schema"),
            fields.text(format.get("name"), "text.format.name"),
            fields.flag(format.get("strict"), "text.format.strict"),
            fields.text(format.get("description"), "text.format.description"),
        )
    if kind and kind != "text":
        raise fields.wrong_word(kind, "text.format.type", ("text", "json_object", "json_schema"))
    return None


def encode_request(exchange: Exchange) -> Written:
    """Return the body for the exchange's target; see the contract."""
    return Written(_Encoding(exchange).body())


class _Encoding:
    """One body on its way out. The methods that return members return none of those the target cannot take."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.request = exchange.request
        self.losses = exchange.losses
        self.can = exchange.target.capabilities
        self.is_own = self.request.format == NAME
        self.effort = self._effort()
        self.may_reason = self.can.reasoning_effort and self.effort != "none"

    def body(self) -> dict[str, Any]:
        request = self.request
        body: dict[str, Any] = {"model": self.exchange.target.model, "store": False}
        if request.is_stream:
            body["stream"] = True
        body |= self._native()
        system, history = self._system(), History(self.exchange)
        if self.can.cache_breakpoints and any(part.cache for part in system):
            history.begin(system)
        elif instructions := joined(system):
            body["instructions"] = instructions
        body["input"] = history.items()
        body |= self._tools()
        body |= self._sampling()
        body |= self._reasoning()
        body |= self._text()
        body |= self._labels()
        if include := self._include():
            body["include"] = include
        return body

    def _native(self) -> dict[str, Any]:
        if not self.is_own:
            return {}
        native = self.request.native
        for name in ("background", *(() if self.can.store else _KEPT_UPSTREAM)):
            if native.get(name):
                raise BadRequest(
                    f"`{self.exchange.target.model}` is served by an upstream that keeps nothing between requests. "
                    f"Leave `{name}` out and send the whole conversation.",
                    code="unsupported_parameter",
                    param=name,
                )
        for name in ("store", _BOOKKEEPING):
            if native.get(name):
                self.losses.dropped(name)
        return {name: value for name, value in native.items() if name not in _OURS and name != _BOOKKEEPING}

    def _system(self) -> tuple[Text, ...]:
        output = self.request.output
        if output is None or (self.can.json_object if output.kind == "json_object" else self.can.structured_output):
            return self.request.system
        self.losses.emulated("response_format")
        return (*self.request.system, Text(_asked_for(output)))

    def _tools(self) -> dict[str, Any]:
        request = self.request
        members: dict[str, Any] = {}
        tools = request.tools
        if request.tool_choice is not None:
            members["tool_choice"] = encode_choice(request.tool_choice, tools)
        if not self.can.required_choice and members.get("tool_choice", "auto") not in {"auto", "none"}:
            members["tool_choice"] = "auto"
            self.losses.dropped("tool_choice")
        encoded = ((tool, self._tool(encode_tool(tool, is_strict_default=self.is_own))) for tool in tools)
        if listed := encode_sets(encoded):
            members["tools"] = listed
        if request.parallel_tool_calls is not None:
            members["parallel_tool_calls"] = request.parallel_tool_calls
        return members

    def _tool(self, written: dict[str, Any]) -> dict[str, Any]:
        if not self.can.strict_tools and written["type"] == "function" and written.pop("strict", False):
            self.losses.dropped("strict")
        return written

    def _sampling(self) -> dict[str, Any]:
        request = self.request
        members: dict[str, Any] = {}
        if request.max_tokens is not None:
            members["max_output_tokens"] = max(request.max_tokens, MIN_OUTPUT_TOKENS)
            if request.max_tokens < MIN_OUTPUT_TOKENS:
                self.losses.clamped("max_tokens")
        reasons = self._is_asked_to_reason() or (self.may_reason and self.can.reasons_by_default)
        is_open = self.can.sampling_with_reasoning or not reasons
        for name, value in (("temperature", request.temperature), ("top_p", request.top_p)):
            if value is None:
                continue
            if is_open:
                members[name] = value
            else:
                self.losses.dropped(name)
        if request.logprobs and request.top_logprobs is not None:
            members["top_logprobs"] = request.top_logprobs
        return members

    def _is_asked_to_reason(self) -> bool:
        thinking = self.request.thinking
        if thinking is None or not self.may_reason:
            return False
        return self.effort is not None or thinking.mode in {"enabled", "adaptive"}

    def _effort(self) -> str | None:
        """Return the effort to ask for, None to leave it to the model."""
        thinking, known = self.request.thinking, self.can.efforts
        effort = None if thinking is None else wanted_effort(thinking)
        if effort is None or not known or not self.can.reasoning_effort:
            return effort
        if effort == "none" and "none" not in known:
            # It cannot be switched off; the least is nearest to nothing.
            self.losses.emulated("thinking")
            return known[0]
        return nearest(effort, known, self.can.effort_words)

    def _reasoning(self) -> dict[str, Any]:
        thinking = self.request.thinking
        if not self.can.reasoning_effort:
            if thinking is not None and self.effort != "none":
                self.losses.dropped("thinking")
            return {}
        members: dict[str, Any] = dict(self.request.native.get("reasoning") or {}) if self.is_own else {}
        if thinking is not None:
            if self.effort is not None and self.can.efforts:
                members["effort"] = self.effort
            if self.effort != "none" and (summary := self._summary(thinking)):
                members["summary"] = summary
        return {"reasoning": members} if members else {}

    def _summary(self, thinking: Thinking) -> str | None:
        if thinking.summary is not None:
            return thinking.summary
        # Clients of other formats see thinking unless they say no; here it takes asking for.
        return None if thinking.is_shown is False or self.is_own else "auto"

    def _text(self) -> dict[str, Any]:
        members: dict[str, Any] = dict(self.request.native.get("text") or {}) if self.is_own else {}
        output = self.request.output
        if output is not None and output.kind == "json_object" and self.can.json_object:
            members["format"] = {"type": "json_object"}
        elif output is not None and output.kind == "json_schema" and self.can.structured_output:
            members["format"] = _schema_format(output)
        if self.request.verbosity is not None:
            members["verbosity"] = self.request.verbosity
        return {"text": members} if members else {}

    def _labels(self) -> dict[str, Any]:
        request = self.request
        members: dict[str, Any] = {}
        if request.cache_key and self.can.cache_key:
            members["prompt_cache_key"] = _short(request.cache_key)
        members |= self._user()
        if request.metadata:
            members["metadata"] = request.metadata
        if request.service_tier and self.can.service_tier:
            members["service_tier"] = request.service_tier
        elif request.service_tier not in {"", "auto", "default"}:
            self.losses.dropped("service_tier")
        for name in SHARED_CACHING:
            if self.can.cache_key and name in request.native:
                members[name] = request.native[name]
            elif name in request.native:
                self.losses.dropped(name)
        return members

    def _user(self) -> dict[str, Any]:
        """Return who the end user is, under the names that the client used where it knows them."""
        request, can = self.request, self.can
        if not request.user:
            return {}
        said = {name: request.native[name] for name in ("safety_identifier", "user") if request.native.get(name)}
        if request.user not in said.values() or not can.safety_identifier:
            said = {"user": request.user}
        return {name: _short(value) for name, value in said.items()}

    def _include(self) -> list[Any]:
        include = list(self.request.native.get("include") or ()) if self.is_own else []
        if self.may_reason:
            include.append(ENCRYPTED_REASONING)
        if self.request.logprobs:
            include.append(OUTPUT_LOGPROBS)
        return include


def _asked_for(output: OutputFormat) -> str:
    """Return in words what an upstream without structured answers is to write."""
    if output.kind == "json_object" or output.schema is None:
        return "Answer with one JSON object and nothing else."
    schema = fields.json_text(output.schema)
    return f"Answer with one JSON object and nothing else. It must be valid under this JSON Schema:\n{schema}"


def _schema_format(output: OutputFormat) -> dict[str, Any]:
    written: dict[str, Any] = {
        "type": "json_schema",
        "name": output.name or "response",
        "schema": output.schema or {"type": "object"},
    }
    if output.strict is not None:
        written["strict"] = output.strict
    if output.description:
        written["description"] = output.description
    return written


def _short(text: str) -> str:
    """Return an id that fits; one that is too long becomes its digest, always the same."""
    return text if len(text) <= MAX_ID_CHARS else hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
