"""Decision: why a request went where it went, in plain values; every record carries one, and a dry run answers it."""

from __future__ import annotations

from typing import Any

import msgspec


class RuleTrace(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One rule that was looked at; `measured` says what was found against what was asked for."""

    rule: str
    is_match: bool = False
    measured: str = ""
    #: Why a rule that matched was not followed: its target cannot serve.
    skipped: str = ""
    #: Of a rule that was followed, why some of its targets cannot serve.
    passed_over: str = ""


class CandidateTrace(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One channel that could serve the model: its rank and the number it was ranked by, or why it was dropped."""

    channel: str
    model: str = ""
    #: 1 is tried first; 0 for a candidate that was dropped.
    rank: int = 0
    #: What the strategy went by, in words: `weight 3`, `412 ms`, `0.0021 USD`.
    number: str = ""
    dropped: str = ""


class SpendTrace(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One limit or quota that the request had to pass: how much it asked for, and what was left."""

    name: str
    asked: int = 0
    left: int | None = None
    waited_ms: float = 0.0
    refused: str = ""
    #: What the amounts are, where they are neither requests nor tokens: `nano_usd`.
    unit: str = ""


class Decision(msgspec.Struct, omit_defaults=True):
    """Filled step by step on the way to the first try."""

    asked_model: str = ""
    #: The model that is served: after aliases and rules.
    model: str = ""
    #: How the name was read: `name`, `alias`, `channel`, `rule:<slug>`, `pinned`.
    by: str = ""
    rule: str = ""
    rules: list[RuleTrace] = []
    #: Tokens of the input as rules and limits reckoned with them, and how they were counted; 0 = nobody asked.
    input_tokens: int = 0
    counted_by: str = ""
    strategy: str = ""
    session: str = ""
    #: `none`, `new`, `kept`, or why a pin was left: `unpinned:breaker_open`.
    stickiness: str = ""
    candidates: list[CandidateTrace] = []
    spends: list[SpendTrace] = []
    #: What rules that are drafted later may ask about the request; see `facts.py`.
    facts: dict[str, Any] = {}
    #: What the request may cost at most and is reserved for, in nano-USD; None without a price.
    worst_cost_nano_usd: int | None = None
