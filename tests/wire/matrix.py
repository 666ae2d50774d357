"""docs/translation.md, made by asking the engine itself: `python -m tests.wire.matrix` writes it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from channels_app.engine.providers import PROVIDERS
from routex_site import ROOT
from routing.engine.errors import GatewayError
from routing.engine.formats import CODECS, client_codec
from routing.engine.losses import EARLIER_THINKING
from routing.engine.trial import Trial
from tests.wire.features import FEATURES, FORMATS, Body

PAGE = ROOT / "docs" / "translation.md"
#: Format → its name in headings, the provider that invented it and a model of today.
UPSTREAMS = {
    "openai-chat": ("Chat Completions", "openai", "gpt-5.6"),
    "openai-responses": ("Responses", "openai", "gpt-5.6"),
    "anthropic": ("Anthropic Messages", "anthropic", "claude-sonnet-4-6"),
    "gemini": ("Gemini", "gemini", "gemini-3-flash"),
}
INTRODUCTION = """\
# What a translation keeps

A client speaks one format, the channel another, and Routex translates between them. This page is written by the engine
itself (`make docs`), from one small request per feature; the build fails when it is stale. It shows the model named at
the head of each column: another model or provider may keep more or less, since what counts is its capability table.

- **kept**: means the same upstream.
- **emulated**: the meaning is kept by other means (a note in the text, a filtered list, an instruction).
- **clamped**: a number was brought within the upstream's limits.
- **dropped**: it has no place there. `x-routex-warnings` says so on the answer, the request's record keeps it, and with
  `x-routex-strict: 1` the request is refused instead. A header of 4 KB is full: `more:12` counts what it leaves out.
- **refused**: answered with 400, because leaving it out would change the answer silently.

Features are named as the client's format names them; where Routex has a name of its own for one, a warning comes under
both. Same format on both sides and the format's own inventor: bytes pass through unread, so nothing is lost. The other
upstream formats (%s) follow the same rules.
"""


def page() -> str:
    """Return the page."""
    others = ", ".join(name for name in CODECS if name not in FORMATS)
    sections = [INTRODUCTION % (others or "none yet")]
    for client in FORMATS:
        targets = [name for name in FORMATS if name != client]
        heads = [f"→ {UPSTREAMS[name][0]} (`{UPSTREAMS[name][2]}`)" for name in targets]
        rows = ["| feature | " + " | ".join(heads) + " |", "|---" * (len(targets) + 1) + "|"]
        for feature, bodies in FEATURES.items():
            if client in bodies:
                cells = (outcome(client, upstream, bodies[client]) for upstream in targets)
                rows.append(f"| {feature} | " + " | ".join(cells) + " |")
        sections.append(f"\n## Clients that speak {UPSTREAMS[client][0]}\n\n" + "\n".join(rows) + "\n")
    return "".join(sections)


def outcome(client: str, upstream: str, body: Body) -> str:
    """Return what becomes of a request's feature, in words."""
    _, provider, model = UPSTREAMS[upstream]
    can = PROVIDERS[provider].capabilities_of(upstream, model)
    try:
        tried = Trial(client, upstream, model, provider, can).request(json.dumps(body).encode())
    except GatewayError as error:
        return f"refused (`{error.param}`)"
    told: dict[str, list[str]] = {}
    for code in as_the_client_calls_it(client, tried.warnings):
        what, _, name = code.partition(":")
        told.setdefault(what, []).append(f"`{name}`")
    return "; ".join(f"{what} {', '.join(names)}" for what, names in told.items()) or "kept"


def as_the_client_calls_it(client: str, codes: Sequence[str]) -> list[str]:
    """Return the codes without those that tell a loss again: under our own name, where the client's format has one."""
    codec = client_codec(client)
    assert codec is not None
    again: set[str] = set()
    for code in codes:
        what, _, name = code.partition(":")
        features = (name, EARLIER_THINKING) if name == "thinking" else (name,)
        if any(f"{what}:{codec.spelling.get(feature)}" in codes for feature in features):
            again.add(code)
    return [code for code in codes if code not in again]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
