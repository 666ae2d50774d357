"""What a request used and cost: as reported, or estimated where its answer broke off before it said."""

from __future__ import annotations

from msgspec.structs import replace

from analytics.engine.pricing import cost
from analytics.engine.record import Usage
from channels_app.engine.operations import EMBEDDINGS, RERANKING
from routing.engine.call import Call
from routing.engine.conversion import embedded_tokens
from routing.engine.estimate import input_tokens
from routing.engine.operations import is_count


def rate(call: Call) -> None:
    """Note on the call what it used and cost, at the price of whoever answered; may be asked for twice.

    A client that left while a channel worked on its request pays for the input at least: the provider does.
    """
    if call.served_by is None and call.outcome == "gone":
        call.served_by = call.sent_to
    if call.served_by is None or call.snapshot is None or is_count(call.route.operation):
        return
    is_text = call.is_conversation or call.format.is_text or call.route.operation in (*EMBEDDINGS, *RERANKING)
    if is_text:  # many servers count nothing, and a stream that broke off never came to it
        call.usage = _whole_usage(call)
    call.price = call.snapshot.price(call.served_by, call.started_us / 1e6)
    if call.price is not None and call.usage is not None:
        call.cost_nano_usd = cost(call.usage, call.price)


def _whole_usage(call: Call) -> Usage | None:
    """Return the reported usage, or one in which an estimate stands where no report came."""
    told = call.usage
    has_output = call.is_conversation or call.format.has_output
    passed_tokens = call.passed_tokens if has_output else 0
    if told is None:
        is_embedding = call.route.operation in EMBEDDINGS
        asked_tokens = embedded_tokens(call) if is_embedding else input_tokens(call)
        return Usage(input_tokens=asked_tokens, output_tokens=passed_tokens, is_estimated=True)
    # What Messages say at the start of a stream counts one token of an answer that is still to come.
    if passed_tokens > told.output_tokens:
        return replace(told, output_tokens=passed_tokens, is_estimated=True)
    return told
