"""The channel that can carry the request whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from channels_app.engine.capabilities import Capabilities
from routing.engine.messages import ChatRequest, Media, ToolResult
from routing.engine.snapshot import Candidate
from routing.engine.strategy import Ranked, Situation, Strategy, ascending

#: Counted for a channel that speaks another format: more than there are known losses.
TRANSLATED = 100


class Capability(Strategy):
    """The client's own format first, then the fewest losses that are known from the facts about the model."""

    is_repeatable = True

    def rank(self, candidates: Sequence[Candidate], situation: Situation) -> list[Ranked]:
        """Return the candidates by what each would lose."""
        operations = [candidate.operation(situation.operations) for candidate in candidates]
        own = situation.operations[0] if situation.operations else ""
        is_whole = [op == own and c.channel.provider.is_genuine for op, c in zip(operations, candidates, strict=True)]
        request = None if all(is_whole) else situation.conversation()
        wanted = [] if request is None else [has for asks, has in _NEEDS if asks(request)]
        numbers = []
        for candidate, operation, whole in zip(candidates, operations, is_whole, strict=True):
            number = 0 if operation == own else TRANSLATED
            if wanted and not whole:
                upstream_format = operation.partition(":")[0]
                can = candidate.channel.provider.capabilities_of(upstream_format, candidate.upstream_model)
                number += sum([not has(can) for has in wanted])
            numbers.append(number)
        return ascending(candidates, numbers, situation.chance)

    def words(self, number: float) -> str:
        """Return what would be lost."""
        manner = "translated" if number >= TRANSLATED else "same format"
        return f"{manner}, {number % TRANSLATED:g} known losses"


def _has_media(request: ChatRequest, in_results: bool) -> bool:
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolResult) and in_results and any(isinstance(each, Media) for each in part.parts):
                return True
            if isinstance(part, Media) and not in_results and part.url:
                return True
    return False


def _has_marks(request: ChatRequest) -> bool:
    parts = [*request.system, *request.tools, *(part for message in request.messages for part in message.parts)]
    return request.cache is not None or any(getattr(part, "cache", None) is not None for part in parts)


def _wants_reasoning(request: ChatRequest) -> bool:
    return request.thinking is not None and request.thinking.mode != "disabled"


#: What a request may ask for, and how the facts about a model say that it can.
_NEEDS: list[tuple[Callable[[ChatRequest], bool], Callable[[Capabilities], bool]]] = [
    (_has_marks, lambda can: can.cache_control or can.cache_breakpoints),
    (lambda asked: _has_media(asked, in_results=False), lambda can: can.image_urls),
    (lambda asked: _has_media(asked, in_results=True), lambda can: can.tool_message_images or can.tool_result_media),
    (lambda asked: any(tool.kind == "custom" for tool in asked.tools), lambda can: can.custom_tools),
    (lambda asked: any(tool.strict for tool in asked.tools), lambda can: can.strict_tools),
    (lambda asked: any(tool.name == "web_search" for tool in asked.tools), lambda can: can.web_search),
    (lambda asked: asked.parallel_tool_calls is not None, lambda can: can.parallel_tool_calls),
    (_wants_reasoning, lambda can: can.thinking != "none" or can.reasoning_effort or can.thinking_level),
    (lambda asked: asked.output is not None and asked.output.kind == "json_schema", lambda can: can.structured_output),
    (lambda asked: asked.output is not None and asked.output.kind == "json_object", lambda can: can.json_object),
    (lambda asked: asked.top_k is not None, lambda can: can.top_k),
    (lambda asked: asked.seed is not None, lambda can: can.seed),
    (lambda asked: bool(asked.logprobs), lambda can: can.logprobs),
    (lambda asked: bool(asked.logit_bias), lambda can: can.logit_bias),
    (lambda asked: asked.choices > 1, lambda can: can.choices),
    (lambda asked: asked.temperature is not None or asked.top_p is not None, lambda can: can.sampling_params),
    (
        lambda asked: asked.presence_penalty is not None or asked.frequency_penalty is not None,
        lambda can: can.penalties,
    ),
    (lambda asked: bool(asked.verbosity), lambda can: can.verbosity),
]
