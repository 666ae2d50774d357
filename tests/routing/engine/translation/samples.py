"""Random valid bodies and streams of each format, made by its own encoders: what mutations start from."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from tests.routing.engine.translation import talking, tellings
from tests.routing.engine.translation.carries import CARRIES
from tests.routing.engine.translation.conversations import requests as chat_requests
from tests.routing.engine.translation.talking import asked, encoded, exchange

#: What stands for the bodies of a dialect that no client speaks: any JSON.
_ANY = st.sampled_from(({}, {"message": {"content": "x"}, "done": True}, {"error": {"message": "no"}}, []))
_ANY_STREAM = st.sampled_from((b"data: {}\n\n", b'{"message":{"content":"x"},"done":false}\n', b""))


def requests(name: str) -> st.SearchStrategy[Any]:
    """Draw request bodies."""

    def body(request: Any) -> Any:
        written = talking.translation(request, name, talking.permissive(request)).write()
        return msgspec.json.decode(msgspec.json.encode(written.body))

    return chat_requests(CARRIES[name]).map(body)


def answers(name: str) -> st.SearchStrategy[Any]:
    """Draw bodies of whole answers."""
    if name not in CARRIES:
        return _ANY

    def body(answer: Any) -> Any:
        told = talking.client(name).encode_answer(answer, exchange(asked(name, choices=len(answer.choices)), name))
        return msgspec.json.decode(told)

    return tellings.answers(CARRIES[name], 1).map(body)


def streams(name: str) -> st.SearchStrategy[bytes]:
    """Draw streams."""
    if name not in CARRIES:
        return _ANY_STREAM

    def body(events: Any) -> bytes:
        return encoded(talking.client(name).stream_encoder(exchange(asked(name, is_stream=True), name)), events)

    return tellings.answers(CARRIES[name], 1).flatmap(tellings.tellings).map(body)
