"""Whether the 10,000th event of a stream costs what the 1st did: every decoder with every encoder, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table

from channels_app.engine.providers import PROVIDERS
from routing.engine.codec import Exchange
from routing.engine.codec import Target as Upstream
from routing.engine.format import Asked
from routing.engine.formats import CODECS, client_codec
from routing.engine.losses import Losses
from routing.engine.messages import (
    Began,
    ChatRequest,
    Ended,
    Finish,
    Finished,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolBegan,
    ToolDelta,
    ToolEnded,
)
from routing.engine.translation import TranslatingReader, Translation

EVENTS = 10_000
WINDOW = 1_000
ROUNDS = 9
FLAT = 1.2
PROVIDER_OF = {"openai-chat": "openai", "openai-responses": "openai", "anthropic": "anthropic", "gemini": "gemini"}
_PIECE = "All systems are well. "


@dataclass(frozen=True, slots=True)
class Flatness:
    """Microseconds an event at the two ends of a stream; NaN where the upstream's format has no such pieces."""

    first_us: float
    last_us: float

    @property
    def ratio(self) -> float:
        """Return how much more the last events cost."""
        return self.last_us / self.first_us


def _deltas(kind: str) -> tuple[list[StreamEvent], Iterable[StreamEvent], list[StreamEvent]]:
    """Return the events before, among and after the pieces of an answer of one kind."""
    opening: list[StreamEvent] = [Began("resp_bench", "bench", 1760000000)]
    closing: list[StreamEvent] = [Finished(Finish("tool_calls" if kind == "tool" else "stop")), Ended()]
    if kind == "text":
        return opening, (TextDelta(_PIECE) for _ in range(EVENTS)), closing
    if kind == "reasoning":
        return opening, (ReasoningDelta(_PIECE) for _ in range(EVENTS)), [TextDelta(_PIECE), *closing]
    pieces = [ToolDelta(0, '{"list":['), *(ToolDelta(0, '"item",') for _ in range(EVENTS)), ToolDelta(0, '""]}')]
    return [*opening, ToolBegan(0, "call_bench", "note")], pieces, [ToolEnded(0), *closing]


def translation(client: str, upstream: str) -> Translation:
    """Return the translation of a streamed question between two formats, at the inventor of the upstream's."""
    codec, provider = client_codec(client), PROVIDERS[PROVIDER_OF[upstream]]
    assert codec is not None
    capabilities = provider.capabilities_of(upstream, "bench")
    request = ChatRequest(format=client, model="bench", is_stream=True)
    target = Upstream(upstream, provider.name, "chn_bench", "bench", capabilities)
    return Translation(codec, CODECS[upstream], Exchange(request, target, "req_bench", Losses(codec.spelling)))


def reader(client: str, upstream: str) -> TranslatingReader:
    """Return what follows one stream, as the gateway builds it."""
    translating = translation(client, upstream)
    return TranslatingReader(
        Asked("bench", is_stream=True),
        decoder=translating.upstream.stream_decoder(translating.exchange),
        encoder=translating.client.stream_encoder(translating.exchange),
        telling=translating.told(),
        request_id="req_bench",
    )


def chunks(upstream: str, kind: str) -> tuple[bytes, list[bytes], bytes]:
    """Return an upstream's bytes before, among and after the pieces of an answer, written by our own encoder."""
    translating = translation(upstream, upstream)
    encoder = translating.client.stream_encoder(translating.exchange)
    opening, pieces, closing = _deltas(kind)
    head = b"".join(map(encoder.encode, opening))
    among = [written for written in map(encoder.encode, pieces) if written]
    return head, among, b"".join(map(encoder.encode, closing))


def _run(client: str, upstream: str, given: tuple[bytes, list[bytes], bytes]) -> tuple[float, float]:
    """Return the microseconds of the first and of the last window of one stream."""
    head, among, tail = given
    following = reader(client, upstream)
    feed = following.feed
    feed(head)
    marks = []
    for at in range(0, len(among), WINDOW):
        window = among[at : at + WINDOW]
        began = time.thread_time_ns()
        for chunk in window:
            feed(chunk)
        if len(window) == WINDOW:
            marks.append((time.thread_time_ns() - began) / 1000)
    feed(tail)
    following.finish()
    if not following.is_complete:
        raise RuntimeError(f"{upstream} → {client}: the stream did not end whole")
    return marks[0], marks[-1]


def measure() -> dict[tuple[str, str, str], Flatness]:
    """Return the figures by client, upstream and kind of piece, the least of several rounds.

    What else the machine does only adds, and for seconds at a time: so each row's runs lie a whole round apart.
    """
    kinds = ("text", "reasoning", "tool")
    given = {(upstream, kind): chunks(upstream, kind) for upstream in PROVIDER_OF for kind in kinds}
    rows = [(client, upstream, kind) for client in PROVIDER_OF for upstream in PROVIDER_OF for kind in kinds]
    figures = dict.fromkeys(rows, Flatness(float("nan"), float("nan")))
    streamed = [row for row in rows if len(given[row[1:]][1]) >= 2 * WINDOW]
    rounds = [{row: _run(row[0], row[1], given[row[1:]]) for row in streamed} for _ in range(ROUNDS)]
    for row in streamed:
        firsts, lasts = zip(*(figured[row] for figured in rounds), strict=True)
        figures[row] = Flatness(min(firsts) / WINDOW, min(lasts) / WINDOW)
    return figures


def table(figures: dict[tuple[str, str, str], Flatness]) -> Table:
    """Return one row a pair, in the order of the wire: the upstream's events in, the client's out."""
    shown = Table(title=f"CPU µs/event, first and last {WINDOW} of {EVENTS}; flat is a ratio of at most {FLAT}")
    shown.add_column("client ← upstream")
    for kind in ("text", "reasoning", "tool"):
        for column in (f"{kind}: first", "last", "ratio"):
            shown.add_column(column, justify="right")
    for client in PROVIDER_OF:
        for upstream in PROVIDER_OF:
            cells = []
            for kind in ("text", "reasoning", "tool"):
                each = figures[client, upstream, kind]
                values = (each.first_us, each.last_us, each.ratio)
                forms = ("{:.1f}", "{:.1f}", "{:.2f}" if not each.ratio > FLAT else "[bold red]{:.2f}[/]")
                cells += [
                    form.format(value) if value == value else "–" for form, value in zip(forms, values, strict=True)
                ]
            shown.add_row(f"{client} ← {upstream}", *cells, end_section=upstream == list(PROVIDER_OF)[-1])
    return shown
