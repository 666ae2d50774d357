"""What each format can carry of the canonical conversation, as data: values it has a slot for, differences it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from routing.engine.messages import CacheMark, Finish, Media, OutputFormat, Thinking, Tool, ToolChoice
from tests.routing.engine.translation import words

Strategy = st.SearchStrategy[Any]

UNIT = st.sampled_from((0.0, 0.1, 0.5, 1.0))
UP_TO_TWO = st.sampled_from((0.0, 0.7, 1.0, 2.0))
PENALTY = st.sampled_from((-2.0, -0.5, 0.0, 2.0))
LIMIT = st.integers(16, 64_000)
STOP = st.lists(words.line, min_size=1, max_size=4, unique=True).map(tuple)
METADATA = st.dictionaries(st.sampled_from(("team", "run")), words.line, min_size=1, max_size=2)
MARK = st.builds(CacheMark, st.sampled_from(("", "5m", "1h")))
NO = st.nothing()
#: The smallest files that are what they say.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSVFT0YK"
IMAGE_TYPES = st.sampled_from(("image/png", "image/jpeg", "image/webp", "image/gif"))


def _image_data(**more: Strategy) -> Strategy:
    return st.builds(Media, st.just("image"), IMAGE_TYPES, data=st.just(PIXEL), **more)


def _pdf(**more: Strategy) -> Strategy:
    return st.builds(Media, st.just("document"), st.just("application/pdf"), data=st.just(PDF), **more)


def _recording(media_type: str) -> Strategy:
    return st.builds(Media, st.just("audio"), st.just(media_type), data=words.blobs)


def function(**more: Strategy) -> Strategy:
    """Return function tools with a name, perhaps a description, a schema, and what else the format says of one."""
    slots = {"description": st.one_of(st.just(""), words.line), "schema": words.object_schemas, **more}
    return st.builds(Tool, words.tool_names, **slots)


_PLAIN_ENDS = st.sampled_from((Finish("stop"), Finish("length"), Finish("filter")))


@dataclass(frozen=True)
class Carries:
    """One format. `fields` are a request's fields beside its conversation; a field that is not there has no slot."""

    name: str
    fields: Mapping[str, Strategy]
    #: Fields that every request of the format has.
    required: frozenset[str] = frozenset()
    tools: Strategy = NO
    tool_choice: Strategy = NO
    #: Part fields with cache marks: `text`, `media`, `call`, `result`.
    marks: frozenset[str] = frozenset()
    mark: Strategy = MARK
    media: Strategy = NO
    result_media: Strategy = NO
    #: Whether a system message may stand in the middle.
    mid_system: bool = True
    #: Differences that it keeps: system prompts of several blocks, several texts in a turn, their order among
    #: reasoning and calls, several results' texts, a result's error flag, speakers' names, refusals, phases.
    keeps: frozenset[str] = frozenset()
    #: Parts whose opaque state it carries: `reasoning`, `text`, `call`.
    states: frozenset[str] = frozenset()
    #: Reasoning goes back in the history.
    reasoning_in_history: bool = True
    #: Arguments are text (kept to the letter) or an object (kept by meaning).
    arguments: Strategy = words.arguments
    arguments_are_text: bool = False
    #: Members that its upstreams are always told, asked for or not.
    added: frozenset[str] = frozenset()
    #: Members of the body that only it has.
    native: Mapping[str, Any] = field(default_factory=dict)
    # --- answers ---
    finishes: Strategy = _PLAIN_ENDS
    choices: int = 1
    logprobs: bool = False
    citations: Strategy = NO
    #: Fields of usage that it has no slot for.
    uncounted: frozenset[str] = frozenset()

    def over(self, upstream: Carries) -> Carries:
        """Return what a client of this format can be told apart of an upstream's answers: what both keep."""
        are_text = self.arguments_are_text and upstream.arguments_are_text
        return replace(self, keeps=self.keeps & upstream.keeps, arguments_are_text=are_text)


_EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
_BOTH_OPENAI: dict[str, Strategy] = {
    "max_tokens": LIMIT,
    "temperature": UP_TO_TWO,
    "top_p": UNIT,
    "parallel_tool_calls": st.booleans(),
    "output": st.one_of(
        st.just(OutputFormat("json_object")),
        st.builds(
            OutputFormat,
            st.just("json_schema"),
            words.object_schemas,
            st.sampled_from(("answer", "x_1")),
            st.sampled_from((None, True, False)),
            st.one_of(st.just(""), words.line),
        ),
    ),
    "verbosity": st.sampled_from(("low", "medium", "high")),
    "user": st.sampled_from(("u-1", "x" * 64)),
    "metadata": METADATA,
    "service_tier": st.sampled_from(("auto", "default", "flex", "priority")),
    "cache_key": st.sampled_from(("k", "session-1")),
    "is_stream": st.booleans(),
}
_CUSTOM = st.builds(
    Tool,
    words.tool_names,
    st.just("custom"),
    st.one_of(st.just(""), words.line),
    grammar=st.sampled_from((None, {"type": "text"})),
)
_STRICT = {"strict": st.sampled_from((None, True, False))}
_NAMED = st.builds(lambda name: ToolChoice("required", (name,)), words.tool_names)
_SIMPLE = st.sampled_from((ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")))
_LISTED = st.builds(
    lambda mode, names: ToolChoice(mode, tuple(names), is_list=True),
    st.sampled_from(("auto", "required")),
    st.lists(words.tool_names, min_size=1, max_size=2, unique=True),
)

CHAT = Carries(
    "openai-chat",
    fields={
        **_BOTH_OPENAI,
        "stop": STOP,
        "seed": st.integers(0, 2**31),
        "presence_penalty": PENALTY,
        "frequency_penalty": PENALTY,
        "logit_bias": st.just({"50256": -100}),
        "choices": st.integers(1, 3),
        "logprobs": st.just(True),
        "top_logprobs": st.integers(0, 5),
        "thinking": st.builds(Thinking, effort=st.sampled_from(_EFFORTS)),
    },
    tools=st.one_of(function(**_STRICT), _CUSTOM),
    tool_choice=st.one_of(_SIMPLE, _NAMED, _LISTED),
    media=st.one_of(
        _image_data(detail=st.sampled_from(("", "low", "high", "auto"))),
        st.builds(Media, st.just("image"), url=words.urls),
        _pdf(title=st.sampled_from(("a.pdf", "b c.pdf"))),
        st.builds(Media, st.just("document"), file_id=st.just("file-abc")),
    ),
    keeps=frozenset({"refusals", "names"}),
    states=frozenset(),
    reasoning_in_history=False,
    arguments=words.loose_arguments,
    arguments_are_text=True,
    native={"moderation": {"mode": "auto"}},
    choices=3,
    logprobs=True,
)

RESPONSES = Carries(
    "openai-responses",
    fields={
        **_BOTH_OPENAI,
        "thinking": st.builds(
            Thinking, effort=st.sampled_from(_EFFORTS), summary=st.sampled_from((None, "auto", "concise", "detailed"))
        ),
    },
    tools=st.one_of(function(**_STRICT), _CUSTOM),
    tool_choice=st.one_of(_SIMPLE, _NAMED, _LISTED),
    media=st.one_of(
        _image_data(detail=st.sampled_from(("low", "high", "auto"))),
        st.builds(Media, st.just("image"), url=words.urls, detail=st.just("auto")),
        _pdf(title=st.just("a.pdf")),
        st.builds(Media, st.just("document"), url=words.urls),
        st.builds(Media, st.just("document"), file_id=st.just("file-abc")),
    ),
    result_media=_image_data(detail=st.just("auto")),
    keeps=frozenset({"refusals", "order", "text_breaks", "summaries", "phases", "result_texts"}),
    states=frozenset({"reasoning"}),
    arguments=words.loose_arguments,
    arguments_are_text=True,
    added=frozenset({"store", "include"}),
    native={"truncation": "auto", "max_tool_calls": 3},
)

ANTHROPIC = Carries(
    "anthropic",
    fields={
        "max_tokens": st.integers(9000, 64_000),
        "temperature": UNIT,
        "top_p": UNIT,
        "top_k": st.integers(1, 100),
        "stop": STOP,
        "parallel_tool_calls": st.just(False),
        "thinking": st.one_of(
            st.builds(Thinking, st.just("enabled"), budget_tokens=st.integers(1024, 8000)),
            st.builds(Thinking, st.just("adaptive"), effort=st.sampled_from((None, "low", "high", "max"))),
            st.just(Thinking("disabled")),
        ),
        "output": st.builds(OutputFormat, st.just("json_schema"), words.object_schemas, strict=st.just(True)),
        "user": st.sampled_from(("u-1", '{"session_id":"s"}')),
        "service_tier": st.just("auto"),
        "cache": MARK,
        "is_stream": st.booleans(),
    },
    required=frozenset({"max_tokens"}),
    tools=function(**_STRICT, cache=st.one_of(st.none(), MARK)),
    tool_choice=st.one_of(_SIMPLE, _NAMED),
    marks=frozenset({"text", "media", "call", "result"}),
    media=st.one_of(
        _image_data(),
        st.builds(Media, st.just("image"), url=words.urls),
        st.builds(Media, st.just("image"), file_id=st.just("file_abc")),
        _pdf(title=st.one_of(st.just(""), words.line), context=words.line, wants_citations=st.booleans()),
        st.builds(Media, st.just("document"), url=words.urls),
        st.builds(Media, st.just("document"), st.just("text/plain"), text=words.spoken),
    ),
    result_media=_image_data(),
    keeps=frozenset({"system_blocks", "order", "text_breaks", "result_texts", "errors"}),
    states=frozenset({"reasoning"}),
    native={"container": "container_1", "inference_geo": "eu"},
    finishes=st.one_of(
        st.sampled_from((Finish("stop"), Finish("length"), Finish("filter"), Finish("pause"))),
        st.builds(lambda word: Finish("stop_sequence", word), words.line),
    ),
)

GEMINI = Carries(
    "gemini",
    fields={
        "max_tokens": LIMIT,
        "temperature": UP_TO_TWO,
        "top_p": UNIT,
        "top_k": st.integers(1, 100),
        "stop": STOP,
        "seed": st.integers(0, 2**31),
        "presence_penalty": PENALTY,
        "frequency_penalty": PENALTY,
        "choices": st.integers(1, 3),
        "thinking": st.builds(
            Thinking,
            st.just("enabled"),
            budget_tokens=st.integers(1, 24_000),
            is_shown=st.sampled_from((None, True, False)),
        ),
        "output": st.one_of(
            st.just(OutputFormat("json_object")), st.builds(OutputFormat, st.just("json_schema"), words.object_schemas)
        ),
        "is_stream": st.booleans(),
    },
    tools=function(),
    tool_choice=st.one_of(
        _SIMPLE, _NAMED, _LISTED.filter(lambda choice: choice.mode == "required" and len(choice.names) > 1)
    ),
    media=st.one_of(_image_data(), _pdf(), _recording("audio/wav")),
    mid_system=False,
    keeps=frozenset({"system_blocks", "order", "errors"}),
    states=frozenset({"reasoning", "text", "call"}),
    native={"labels": {"a": "b"}},
    choices=3,
    uncounted=frozenset({"cache_write_tokens"}),
)

CARRIES = {carries.name: carries for carries in (CHAT, RESPONSES, ANTHROPIC, GEMINI)}
