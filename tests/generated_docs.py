"""The parts of the documentation that follow from registries: `python -m tests.generated_docs` writes them anew."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from channels_app.engine.provider import Provider
from channels_app.engine.providers import PROVIDERS
from routex_site import ROOT
from routing.engine.rules import RULES
from routing.engine.rules.expression import VARIABLES


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


#: Document and the name of its part → what makes it. The part stands between `<!-- name -->` and `<!-- /name -->`.
PARTS: dict[tuple[str, str], Callable[[], str]] = {
    ("docs/providers.md", "providers"): provider_table,
    ("docs/rules.md", "conditions"): condition_table,
    ("docs/rules.md", "variables"): variable_table,
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
