"""The parts of the documentation that follow from registries: `python -m tests.generated_docs` writes them anew."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from channels_app.engine.provider import Provider
from channels_app.engine.providers import PROVIDERS
from routex_site import ROOT
from routing.engine.catalogue import ROWS, Row
from routing.engine.errors import GatewayError
from routing.engine.formats import FORMATS
from routing.engine.rules import RULES
from routing.engine.rules.expression import VARIABLES
from tenants.problems import TYPES


def provider_table() -> str:
    """Return a row per provider: where it is, what it wants, what it answers."""
    rows = [
        "| provider | | base URL | credential | conversations | also |",
        "|---|---|---|---|---|---|",
    ]
    rows += [_provider_row(PROVIDERS[name]) for name in PROVIDERS if name != "echo"]
    return "\n".join(rows)


def _provider_row(provider: Provider) -> str:
    url = f"`{provider.base_url}`" if provider.base_url else f"yours, such as `{provider.base_url_example}`"
    credential = provider.credential if provider.needs_credential else f"{provider.credential}, if it asks for one"
    spoken = dict.fromkeys(operation.partition(":")[0] for operation in provider.endpoints)
    conversations = [name for name in spoken if name in provider.capabilities]
    also = sorted(
        operation
        for operation in provider.endpoints
        if operation not in conversations and not operation.lower().endswith((":stream", "generatecontent"))
    )
    cells = [f"`{provider.name}`", provider.label, url, credential, _code(conversations), _code(also)]
    return f"| {' | '.join(cells)} |"


def condition_table() -> str:
    """Return a row per condition; • marks those that say when by themselves."""
    rows = ["| condition | holds when | example |", "|---|---|---|"]
    for name in RULES:
        found = RULES[name]
        example = msgspec.json.encode(found.example).decode().replace("|", "\\|")
        rows.append(f"| `{name}`{' •' if found.says_when else ''} | {found.summary} | `{example}` |")
    return "\n".join(rows)


def variable_table() -> str:
    """Return a row per variable of an expression."""
    rows = ["| variable | type | such as |", "|---|---|---|"]
    for name, (example, _) in VARIABLES.items():
        kind = {"str": "string", "dict": "map"}.get(type(example).__name__, type(example).__name__)
        rows.append(f"| `{name}` | {kind} | `{msgspec.json.encode(example).decode()}` |")
    return "\n".join(rows)


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def error_table() -> str:
    """Return a row per code of the gateway: how each format says it, what it means, what clients do."""
    rows = [
        "| code | HTTP | OpenAI type | Anthropic type | Gemini status | another try | what, why, what to do |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join(rows + [_error_row(row) for row in ROWS])


def _error_row(row: Row) -> str:
    error = GatewayError(row.what, code=row.code)
    openai, anthropic, gemini = (
        FORMATS[name].error_reply(error, "") for name in ("openai-chat", "anthropic", "gemini")
    )
    statuses = [str(openai.status), *([f"{anthropic.status} (Anthropic)"] if anthropic.status != openai.status else [])]
    words = [json.loads(reply.body)["error"] for reply in (openai, anthropic, gemini)]
    types = [f"`{words[0]['type']}`", f"`{words[1]['type']}`", f"`{words[2]['status']}`"]
    cells = [f"`{row.code}`", ", ".join(statuses), *types, _another_try(row)]
    return f"| {' | '.join(cells)} | {row.what} {row.why} {row.remedy} |"


def _another_try(row: Row) -> str:
    wait = f"after {row.retry_after_s:g} s, or as told" if row.retry_after_s else ""
    told = ", ".join(["yes" if row.should_retry else "no", *([wait] if wait else [])])
    return f"{told}; {_code(list(row.headers))}" if row.headers else told


def problem_table() -> str:
    """Return a row per problem type of the APIs."""
    rows = ["| type | HTTP | title | meaning |", "|---|---|---|---|"]
    rows += [f"| `/errors/{name}` | {kind.status} | {kind.title} | {kind.meaning} |" for name, kind in TYPES.items()]
    return "\n".join(rows)


#: Document and the name of its part → what makes it. The part stands between `<!-- name -->` and `<!-- /name -->`.
PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/providers.md", "providers"): provider_table,
    ("docs/rules.md", "conditions"): condition_table,
    ("docs/rules.md", "variables"): variable_table,
    ("docs/errors.md", "errors"): error_table,
    ("docs/errors.md", "problems"): problem_table,
}


def fresh(document: str, name: str) -> str:
    """Return a document's text with that part made anew."""
    text = (ROOT / document).read_text(encoding="utf-8")
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    assert re.search(pattern, text, re.DOTALL), f"{document} has no part {name}"
    return re.sub(pattern, lambda found: f"{found[1]}\n{PARTS[document, name]()}\n\n{found[2]}", text, flags=re.DOTALL)


if __name__ == "__main__":
    for document, name in PARTS:
        Path(ROOT / document).write_text(fresh(document, name), encoding="utf-8")
