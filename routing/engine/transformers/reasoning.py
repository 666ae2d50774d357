"""Switch reasoning on or off, for upstreams with a switch of their own."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from channels_app.engine.capabilities import Capabilities
from routing.engine.losses import Losses
from routing.engine.messages import ChatRequest, Effort, Thinking
from routing.engine.transformer import Transformer


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`enable`: off, whatever the client wants, when false; `effort`: for clients that name none."""

    enable: bool = True
    effort: Effort | None = None


class Reasoning(Transformer):
    """Upstreams that know `enable_thinking` are told so; the client's own effort and budget stay."""

    name = "reasoning"
    summary = "Switches reasoning on or off with `enable_thinking`."
    options = Options

    def can(self, capabilities: Capabilities, options: Any) -> Capabilities:
        """Return an upstream with that switch, where none is known."""
        if capabilities.thinking_switch:
            return capabilities
        return replace(capabilities, thinking_switch="enable_thinking", reasoning_content_input=True)

    def request(self, request: ChatRequest, losses: Losses, options: Any) -> ChatRequest:
        """Return the request with the wish."""
        wish = request.thinking
        if not options.enable:
            if wish is not None and wish.mode != "disabled":
                losses.dropped("thinking")
            return replace(request, thinking=Thinking(mode="disabled"))
        if wish is None:
            return replace(request, thinking=Thinking(mode="enabled", effort=options.effort))
        if options.effort and wish.effort is None and wish.budget_tokens is None and wish.mode != "disabled":
            return replace(request, thinking=replace(wish, effort=options.effort))
        return request
