"""A sub-agent asks: its system prompt names a model in a tag, or its client says so."""

from __future__ import annotations

import re
from typing import Any

from routing.engine.rule import MAX_TEXT_CHARS, Condition, Finding, Setting, Test, flag
from routing.engine.traits import Traits

#: The tag of claude-code-router, with the model that the sub-agent wants: `channel,model` or a model.
_TAG = re.compile(rf"<CCR-SUBAGENT-MODEL>([^<>]{{1,{MAX_TEXT_CHARS}}})</CCR-SUBAGENT-MODEL>")
#: What the instructions about the tag say where a model belongs; models repeat it.
_PLACEHOLDER = "provider/model"
_AGENT_HEADER = b"x-claude-code-agent-id"
_BILLING, _MARK = "x-anthropic-billing-header:", "cc_is_subagent=true"


class Subagent(Condition):
    """The tag in the system prompt, an agent's id among the headers, or the mark in the first block of the prompt."""

    name = "subagent"
    summary = "A sub-agent asks. A model that its system prompt names in a tag is tried before the rule's targets."
    example = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take true, or false for the opposite."""
        wanted = flag(value, self.name)
        by_header, by_mark = Finding(wanted, "an agent's id"), Finding(wanted, "a sub-agent's mark")
        miss = Finding(not wanted, "no sub-agent")

        def found(traits: Traits) -> Finding:
            tag = _TAG.search(traits.system)
            if tag is not None and (model := tag[1].strip()).lower() != _PLACEHOLDER:
                return Finding(wanted, f"tag `{model}`", target=model, spent=tag[0])
            if _AGENT_HEADER in traits.headers:
                return by_header
            first = next((block.text for block in traits.request.system), "")
            return by_mark if first.startswith(_BILLING) and _MARK in first else miss

        place = f"{self.name} {wanted}"

        def test(traits: Traits) -> Finding:
            finding: Finding | None = traits.memo.get(place)
            if finding is None:
                finding = traits.memo[place] = found(traits)
            return finding

        return test
