"""Embeddings in every format: the canonical request and answer, and the contract of those who read and write them."""

from __future__ import annotations

import base64
import binascii
import math
import sys
from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec

from analytics.engine.record import Usage
from routing.engine.errors import BadRequest
from routing.engine.format import Route
from routing.engine.losses import Losses

#: What the vectors are for, where a format asks for it.
Task = Literal["", "query", "document", "similarity", "classification", "clustering", "question", "fact", "code"]

#: Numbers as JSON gave them, or little-endian 32-bit floats.
Vector = list[float] | bytes


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts or lists of token ids to embed."""

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    task: Task = ""
    #: The title of each document, "" for none; empty when no document has one.
    titles: tuple[str, ...] = ()
    user: str = ""
    #: The client wants vectors packed into base64.
    wants_base64: bool = False
    #: Further members that have a value, by the client's own names: no other format is known to have a place for them.
    further: tuple[str, ...] = ()

    def texts(self) -> list[str]:
        """Return the inputs for an upstream that takes nothing but text.

        Raises:
            BadRequest: some are token ids, which mean nothing to another model's tokenizer.
        """
        for place, given in enumerate(self.inputs):
            if not isinstance(given, str):
                raise BadRequest(
                    f"`input[{place}]` holds token ids, and the upstream of `{self.model}` takes text. Send the text; "
                    "most clients have a switch for it.",
                    param="input",
                )
        return [given for given in self.inputs if isinstance(given, str)]


class EmbeddingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One vector for each input, in their order."""

    vectors: Sequence[Vector]
    usage: Usage | None = None
    model: str = ""


class EmbeddingClient(ABC):
    """A format in which clients ask for embeddings."""

    #: Our name of a feature → the format's own, where they differ.
    spelling: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def read_embedding(self, route: Route, body: bytes) -> EmbeddingRequest:
        """Return what a request asks for.

        Raises:
            BadRequest: it is not of the format's shape, or asks for what is no text.
        """

    @abstractmethod
    def tell_embedding(self, route: Route, request: EmbeddingRequest, answer: EmbeddingAnswer) -> bytes:
        """Return the answer's body."""


class EmbeddingUpstream(ABC):
    """A format in which upstreams are asked for embeddings."""

    #: The most inputs of one request; 0 where no limit is documented.
    max_inputs: ClassVar[int] = 0

    @abstractmethod
    def write_embedding(self, operation: str, request: EmbeddingRequest, losses: Losses) -> dict[str, Any]:
        """Return the body for an upstream that calls the model `request.model`.

        Raises:
            BadRequest: it has no place for what is asked.
        """

    @abstractmethod
    def read_vectors(self, operation: str, body: bytes) -> EmbeddingAnswer:
        """Return what an upstream answered.

        Raises:
            ValueError: it is not what the format promises.
        """


def as_floats(vector: Vector) -> list[float]:
    """Return a vector as numbers.

    Raises:
        ValueError: it holds some that JSON cannot tell.
    """
    if isinstance(vector, list):
        return vector
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    if not all(map(math.isfinite, numbers)):
        raise ValueError("an embedding holds what is no number")  # JSON would say null
    return numbers.tolist()


def as_base64(vector: Vector) -> str:
    """Return a vector as little-endian 32-bit floats in base64, as the official clients ask for it."""
    if isinstance(vector, list):
        numbers = array("f", vector)
        if sys.byteorder == "big":
            numbers.byteswap()
        vector = numbers.tobytes()
    return base64.b64encode(vector).decode()


def from_base64(text: str) -> bytes:
    """Return the vector of such a text.

    Raises:
        ValueError: it is none.
    """
    try:
        packed = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("an embedding is not base64") from error
    if len(packed) % 4:
        raise ValueError("an embedding is no list of 32-bit floats")
    return packed


def estimated_tokens(texts: Sequence[str | Sequence[int]]) -> int:
    """Return about how many tokens these are: token ids as they are, text at four bytes a token."""
    return sum((len(text.encode()) + 3) // 4 if isinstance(text, str) else len(text) for text in texts)
