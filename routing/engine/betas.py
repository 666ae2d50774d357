"""Beta features of Claude's API, by the names that other hosts of it know: they refuse a request that names another."""

from __future__ import annotations

from typing import Any

#: What every host knows.
_EVERYWHERE = frozenset(
    {
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "interleaved-thinking-2025-05-14",
        "thinking-binding-controls-2026-08-01",
        "thinking-display-updates-2026-08-18",
    }
)
#: What those know that take the API's own body.
_IN_OWN_BODY = frozenset({"compact-2026-01-12", "context-management-2025-06-27", "tool-search-tool-2025-10-19"})
#: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html
ON_CONVERSE = _EVERYWHERE | {
    "effort-2025-11-24",
    "fine-grained-tool-streaming-2025-05-14",
    "output-128k-2025-02-19",
    "token-efficient-tools-2025-02-19",
}
ON_BEDROCK = ON_CONVERSE | _IN_OWN_BODY | {"tool-examples-2025-10-29"}
#: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude
ON_VERTEX = _EVERYWHERE | _IN_OWN_BODY | {"web-search-2025-03-05"}


def listed(said: Any) -> list[str]:
    """Return the names in a client's list of betas: a list, or one comma-separated string."""
    names = said.split(",") if isinstance(said, str) else said if isinstance(said, list) else []
    return list(dict.fromkeys(name.strip() for name in names if isinstance(name, str) and name.strip()))
