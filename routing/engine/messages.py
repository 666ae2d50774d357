"""The canonical conversation: all that any format can ask for or answer, in values that no format owns.

A format decodes its own JSON into these and encodes these into its own JSON; it never sees another format's. What only
one format has travels as `Native` parts and `native` members, which that format writes back and every other reports as
dropped.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from analytics.engine.record import Usage

Role = Literal["system", "user", "assistant"]
MediaKind = Literal["image", "document", "audio", "video"]
#: `disabled` is a wish too: unset means that the upstream's default applies.
ThinkingMode = Literal["enabled", "adaptive", "disabled"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
ChoiceMode = Literal["auto", "none", "required"]
ToolKind = Literal["function", "custom", "hosted"]
#: Why an answer ended. `filter` covers refusals; `other` keeps the upstream's own word in `Finish.detail`.
FinishReason = Literal["stop", "stop_sequence", "length", "tool_calls", "filter", "pause", "other"]


class Value(msgspec.Struct, frozen=True):
    """Base of everything here: immutable, compared by value, changed with `msgspec.structs.replace`."""


# --- provenance ----------------------------------------------------------------------------------------------------


class Origin(Value, frozen=True):
    """Who issued an opaque artefact. Empty strings where it is not known.

    `account` is the channel's id: what one account encrypted, another cannot read.
    """

    format: str
    provider: str = ""
    account: str = ""
    #: The model without version and date, such as `gemini-3` (see `provenance.family`).
    family: str = ""


class Opaque(Value, frozen=True):
    """State of a model that only its issuer can read: a signature, an encrypted item, redacted thinking.

    `origin` is None for one that came as it is, without our wrapper: then the client talked to its issuer directly, or
    made it up. `place` says where it belonged when one blob could stand in several: an item id, or `call`, `text`.
    """

    blob: str
    origin: Origin | None = None
    place: str = ""


# --- parts ---------------------------------------------------------------------------------------------------------


class CacheMark(Value, frozen=True):
    """The prompt up to here should be cached. `ttl` as the format spells it: 5m, 30m, 1h, 12h, "" for its default."""

    ttl: str = ""


class Citation(Value, frozen=True):
    """A source of an answer's text. `start` and `end` are character offsets into the joined text of the answer."""

    url: str = ""
    title: str = ""
    start: int | None = None
    end: int | None = None
    #: The cited passage, where the format quotes it.
    quote: str = ""
    #: The citation as its format wrote it, and that format's name, for the way back into the same one.
    native: Any = None
    format: str = ""


class Text(Value, frozen=True):
    """Plain text. `is_refusal` marks what a model says in place of an answer."""

    text: str
    is_refusal: bool = False
    citations: tuple[Citation, ...] = ()
    cache: CacheMark | None = None
    state: Opaque | None = None
    #: `commentary` or `final_answer`, where the format tells them apart.
    phase: str = ""
    #: The one format whose upstreams have a use for it (a client's own bookkeeping); silently left out for others.
    only_for: str = ""


class Media(Value, frozen=True):
    """An image, document, recording or film: exactly one of `data` (base64), `url`, `file_id`, `text` is set.

    `text` is a plain-text document's own text. `detail` is low, high, auto, or "".
    """

    kind: MediaKind
    media_type: str = ""
    data: str = ""
    url: str = ""
    file_id: str = ""
    text: str = ""
    detail: str = ""
    #: File name or title of a document.
    title: str = ""
    #: What the client says about a document beside its content.
    context: str = ""
    wants_citations: bool = False
    cache: CacheMark | None = None
    state: Opaque | None = None
    #: Members that only the conversation's own format has; that format alone writes them back.
    native: dict[str, Any] | None = None


class Reasoning(Value, frozen=True):
    """Thinking that a model showed, hid, or left a proof of.

    `texts` are its parts in order (Responses has several summaries, others one); none for redacted thinking.
    """

    texts: tuple[str, ...] = ()
    state: Opaque | None = None
    is_redacted: bool = False
    #: The words themselves rather than a summary (open models on Responses).
    is_verbatim: bool = False
    id: str = ""

    @property
    def text(self) -> str:
        """Return the parts as one text, a blank line between them."""
        return "\n\n".join(self.texts)


class ToolCall(Value, frozen=True):
    """A model's call of a client's tool. `arguments` is JSON text as the model wrote it, or a custom tool's free text.

    `id` is "" where the client's format has none; decoders of such formats mint one.
    """

    id: str
    name: str
    arguments: str = ""
    is_custom: bool = False
    state: Opaque | None = None
    cache: CacheMark | None = None
    #: As in Media: who else called it, the set it belongs to.
    native: dict[str, Any] | None = None


class ToolResult(Value, frozen=True):
    """A tool's answer. A JSON object is kept as its JSON text."""

    call_id: str
    parts: tuple[Text | Media | Native, ...] = ()
    is_error: bool = False
    is_custom: bool = False
    #: The tool's name where the format says it (Gemini); others find it by `call_id`.
    name: str = ""
    cache: CacheMark | None = None
    #: As in Media.
    native: dict[str, Any] | None = None


class Native(Value, frozen=True):
    """A part that only one format has: written back by that format, reported as `dropped:<kind>` by the others.

    `text` is what it says in words that the others can take in its place; "" where they have no need of it.
    """

    format: str
    kind: str
    value: Any
    text: str | None = None


Part = Text | Media | Reasoning | ToolCall | ToolResult | Native


class Message(Value, frozen=True):
    """One turn. Tool results are parts of `user` messages; `system` in the middle speaks for the operator.

    Neighbours of the same role stay apart: formats that need them merged merge them.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    #: The speaker's name, where the format has one.
    name: str = ""


# --- the request ---------------------------------------------------------------------------------------------------


class Search(Value, frozen=True):
    """What a client wants of a hosted web search. `place` has those of city, region, country and timezone it named."""

    context_size: str = ""
    place: dict[str, str] = {}
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()


class Tool(Value, frozen=True):
    """A tool on offer.

    `function`: `schema` is JSON Schema (never OpenAPI), None when the client gave none. `custom`: free text, `grammar`
    is the format object of the client. `hosted`: run by the upstream; `name` is our word for it (`web_search`,
    `code_execution`, `web_fetch`, `file_search`, `computer`, …; else the client's own type) and `native` the client's
    declaration, which only its own format can write back.
    """

    name: str
    kind: ToolKind = "function"
    description: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    grammar: dict[str, Any] | None = None
    native: Any = None
    format: str = ""
    cache: CacheMark | None = None
    #: Of a hosted `web_search`.
    search: Search | None = None


class ToolChoice(Value, frozen=True):
    """What the model may or must call.

    `names` empty: any tool. One name with `required` and not `is_list`: exactly this one. `is_list`: a choice among
    `names` only (Chat's and Responses' `allowed_tools`, Gemini's `allowedFunctionNames`).
    """

    mode: ChoiceMode = "auto"
    names: tuple[str, ...] = ()
    is_list: bool = False


class Thinking(Value, frozen=True):
    """What the client wants of the model's reasoning; fields it did not name are None.

    `budget_tokens` −1 leaves it to the model. `summary` is auto, concise, detailed. `is_shown` is whether the client
    asked to see it.
    """

    mode: ThinkingMode | None = None
    effort: Effort | None = None
    budget_tokens: int | None = None
    summary: str | None = None
    is_shown: bool | None = None


class OutputFormat(Value, frozen=True):
    """A JSON answer: any object, or one by a JSON Schema."""

    kind: Literal["json_object", "json_schema"]
    schema: dict[str, Any] | None = None
    name: str = ""
    strict: bool | None = None
    description: str = ""


class ChatRequest(Value, frozen=True):
    """One question to a model, whatever format it was asked in. None means that the client did not say."""

    #: The format it was decoded from.
    format: str
    #: As the client named it.
    model: str
    messages: tuple[Message, ...] = ()
    #: The system prompt before all messages, block by block.
    system: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    choices: int = 1
    logprobs: bool | None = None
    top_logprobs: int | None = None
    thinking: Thinking | None = None
    output: OutputFormat | None = None
    verbosity: str | None = None
    #: Who the end user is; formats shorten it to what they take.
    user: str = ""
    metadata: dict[str, Any] | None = None
    #: auto, default, flex, scale, priority, fast.
    service_tier: str = ""
    #: Routes similar prompts to the same prompt cache.
    cache_key: str = ""
    #: Automatic caching of the whole prompt (Anthropic's top-level `cache_control`).
    cache: CacheMark | None = None
    is_stream: bool = False
    #: The client wants usage in a stream (Chat's `stream_options.include_usage`).
    wants_usage: bool = True
    #: Members of the client's body that only its format has, as they came, by their own names.
    native: dict[str, Any] = {}
    #: Members to add to the body of any upstream, whatever its format, where it has none of that name.
    extra: dict[str, Any] = {}


# --- the answer ----------------------------------------------------------------------------------------------------


class Finish(Value, frozen=True):
    """Why an answer ended."""

    reason: FinishReason
    #: The stop sequence that ended it, where the upstream says so.
    sequence: str = ""
    #: A sentence of the upstream about it.
    message: str = ""
    #: The upstream's own word, for what `reason` cannot say.
    detail: str = ""


class Choice(Value, frozen=True):
    """One of the answers to the one question. `finish` is None only for an answer that is still going on."""

    parts: tuple[Part, ...] = ()
    finish: Finish | None = None
    #: Chat's `logprobs.content`: a list of {token, logprob, bytes, top_logprobs}.
    logprobs: list[Any] | None = None


class ChatAnswer(Value, frozen=True):
    """A whole answer."""

    id: str = ""
    model: str = ""
    created_s: int = 0
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    service_tier: str = ""


# --- the answer in pieces ------------------------------------------------------------------------------------------


class StreamEvent(msgspec.Struct, frozen=True, gc=False):
    """One step of a streamed answer. `choice` counts the answers, from 0.

    Order: one `Began`; then deltas in the order the model made them, where a change of kind ends what was open and
    `PartEnded` says so where the upstream does; one `Finished` per choice; any `UsageReport` (the last one wins); one
    `Ended`. `Failed` may take the place of whatever was still to come.
    """


class Began(StreamEvent, frozen=True):
    """The upstream has begun to answer. `usage` is what it says at once; a report follows all the same."""

    id: str = ""
    model: str = ""
    created_s: int = 0
    usage: Usage | None = None


class TextDelta(StreamEvent, frozen=True):
    """More text."""

    text: str
    choice: int = 0
    is_refusal: bool = False
    phase: str = ""


class ReasoningDelta(StreamEvent, frozen=True):
    """More thinking. A new `part` begins a new text within the same reasoning."""

    text: str
    choice: int = 0
    part: int = 0
    is_verbatim: bool = False


class ReasoningState(StreamEvent, frozen=True):
    """The opaque state of the reasoning that is open, or of one that showed no text; it ends there."""

    state: Opaque
    choice: int = 0
    is_redacted: bool = False


class ToolBegan(StreamEvent, frozen=True):
    """A call of a client's tool begins. `call` counts the calls of the choice, from 0 without gaps."""

    call: int
    id: str
    name: str
    choice: int = 0
    is_custom: bool = False
    state: Opaque | None = None
    #: As in ToolCall.
    native: dict[str, Any] | None = None


class ToolDelta(StreamEvent, frozen=True):
    """More of a call's arguments, cut anywhere; several calls may take turns."""

    call: int
    text: str
    choice: int = 0


class ToolEnded(StreamEvent, frozen=True):
    """A call's arguments are whole. Not every upstream says so."""

    call: int
    choice: int = 0


class PartEnded(StreamEvent, frozen=True):
    """The text or reasoning that is open has ended: what follows is a new part even if of the same kind."""

    choice: int = 0


class TextState(StreamEvent, frozen=True):
    """The opaque state of the text that is open (Gemini signs text too)."""

    state: Opaque
    choice: int = 0


class Cited(StreamEvent, frozen=True):
    """A citation of the text that is open."""

    citation: Citation
    choice: int = 0


class PartMade(StreamEvent, frozen=True):
    """A whole part that does not come in pieces: a picture, or a `Native` one."""

    part: Media | Native
    choice: int = 0


class LogprobsDelta(StreamEvent, frozen=True):
    """Log probabilities of the text just sent, in Chat's `logprobs.content` shape."""

    tokens: list[Any]
    choice: int = 0


class UsageReport(StreamEvent, frozen=True):
    """Tokens of the whole turn so far; never to be summed."""

    usage: Usage


class Finished(StreamEvent, frozen=True):
    """A choice has ended, and why."""

    finish: Finish
    choice: int = 0


class Ended(StreamEvent, frozen=True):
    """The upstream's stream is whole: its own terminal marker has been seen."""


class Failed(StreamEvent, frozen=True):
    """The upstream broke the answer off and said so. `status` is HTTP-like, 0 when unknown; `code` its own word."""

    message: str
    status: int = 0
    code: str = ""
