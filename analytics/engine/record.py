"""RequestRecord: what one gateway request leaves behind, whatever its end."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

#: answered: whole answer delivered · failed: no upstream could answer · refused: Routex said no before asking one ·
#: cut: the upstream broke after the commit point · gone: the client left first · abandoned: the process died with it,
#: so it is charged what was reserved for it
Outcome = Literal["answered", "failed", "refused", "cut", "gone", "abandoned"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as one answer reports them. Input and output are all there is of each; the others say what is in them.

    Audio and image tokens of the input are those that no cache gave or took.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    #: However long they are kept; of these, those that are kept for an hour.
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    #: Searches that the provider's own tools made.
    web_searches: int = 0
    #: Nobody reported it: counted from what went by.
    is_estimated: bool = False


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try at one channel, or a channel passed over; `reason` is a stable word, `detail` a sentence.

    What has its default value is left out of the stored JSON: the usual attempt, one that went well, stays short.
    """

    channel: str
    credential: str = ""
    model: str = ""
    status: int | None = None
    reason: str = "ok"
    detail: str = ""
    duration_ms: float = 0.0


class Charge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a request took from one quota: nano-USD, tokens or requests; written with its record, and only once."""

    quota_id: str
    #: When the quota's window began, in seconds since the epoch.
    window_s: int
    lease_id: str
    amount: int
    kind: Literal["settled", "abandoned"] = "settled"


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the request log. Times are microseconds since the epoch (`_us`) or durations (`_ms`)."""

    id: str
    tenant_id: str
    key_id: str = ""
    key_slug: str = ""
    session_id: str = ""
    client_request_id: str = ""
    operation: str = ""
    client_format: str = ""
    upstream_format: str = ""
    #: What translation could not carry whole, comma between: `dropped:x`, `emulated:x`, `clamped:x`.
    warnings: str = ""
    asked_model: str = ""
    public_model: str = ""
    upstream_model: str = ""
    reported_model: str = ""
    channel_id: str = ""
    channel_slug: str = ""
    provider: str = ""
    attempts: tuple[AttemptRecord, ...] = ()
    #: Why it went where it went: a `Decision` of the routing engine, or any plain value; None when nothing was decided.
    decision: Any = None
    is_stream: bool = False
    status: int = 0
    outcome: Outcome = "answered"
    error_code: str = ""
    error_message: str = ""
    usage: Usage | None = None
    #: None: nobody knows the price, or what was used.
    cost_nano_usd: int | None = None
    price_version: str = ""
    started_us: int
    finished_us: int
    queue_ms: float = 0.0
    connect_ms: float = 0.0
    first_token_ms: float | None = None
    total_ms: float = 0.0
    request_bytes: int = 0
    response_bytes: int = 0
    client_address: str = ""
    user_agent: str = ""
    charges: tuple[Charge, ...] = ()
