"""Which operations may answer which: the client's own, and those of every format it can be translated to."""

from __future__ import annotations

from functools import cache

from channels_app.engine.operations import alternatives
from routing.engine.formats import CODECS, client_codec


@cache
def is_conversation(operation: str) -> bool:
    """Whether an operation asks a model to go on with a conversation, so that its format can be translated."""
    name = operation.partition(":")[0]
    return client_codec(name) is not None and operation in {CODECS[name].operation(s) for s in (False, True)}


@cache
def counting() -> tuple[str, ...]:
    """Return the operations that count a conversation's tokens, of every format that has one."""
    return tuple(CODECS[name].count_operation for name in CODECS if CODECS[name].count_operation)


@cache
def is_count(operation: str) -> bool:
    """Whether an operation asks how many tokens a conversation has."""
    return bool(operation) and operation in counting()


@cache
def answering(operation: str, is_stream: bool) -> tuple[str, ...]:
    """Return the operations that can answer an operation, its own first."""
    if not is_conversation(operation) and not is_count(operation):
        return alternatives(operation)
    others = (CODECS[name].operation(is_stream) for name in CODECS)
    return tuple(dict.fromkeys((operation, *others)))
