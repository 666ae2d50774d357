"""The error catalogue: a row for each stable code, with its status, whether trying again helps, and what to do.

`routing/engine/errors.py` raises by these rows, docs/errors.md and the pages under /errors/ show them. How a row looks
in a wire format (type words, and statuses that a format has of its own) is the format's business: `Format.error_body`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

#: What formats map to their own type words and, where they differ, their own status.
Kind = Literal[
    "invalid_request",
    "authentication",
    "permission",
    "not_found",
    "too_large",
    "rate_limit",
    "quota",
    "overloaded",
    "unavailable",
    "timeout",
    "server",
]

#: Clients are not asked to sit through a longer wait: they are told its length, and not to wait for it by themselves.
MAX_WAIT_S: Final = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one code means. `retry_after_s` is what clients are told to wait where nothing better is known."""

    code: str
    status: int
    kind: Kind
    what: str
    why: str
    remedy: str
    should_retry: bool = False
    retry_after_s: float | None = None
    #: Headers beside `x-should-retry` and `retry-after` that answers with this code carry.
    headers: tuple[str, ...] = ()


_CHALLENGE = ("www-authenticate",)
_LIMITS = ("x-ratelimit-*",)

ROWS: Final = (
    # --- who asks ---
    Row(
        code="missing_api_key",
        status=401,
        kind="authentication",
        what="The request came without a key.",
        why="No key was in `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`, nor in `?key=` where it may be.",
        remedy="Send a Routex key, which starts with `rtx_`.",
        headers=_CHALLENGE,
    ),
    Row(
        code="invalid_api_key",
        status=401,
        kind="authentication",
        what="The key is well formed and nobody's.",
        why="It was deleted, or belongs to another installation.",
        remedy="Compare its last four characters with the list of keys, or create another.",
        headers=_CHALLENGE,
    ),
    Row(
        code="malformed_api_key",
        status=401,
        kind="authentication",
        what="The key cannot be a Routex key.",
        why="Its beginning, length or checksum is wrong: most often it was cut when copied.",
        remedy="Copy the whole key again.",
        headers=_CHALLENGE,
    ),
    Row(
        code="foreign_api_key",
        status=401,
        kind="authentication",
        what="The key belongs to another service, or is a management token.",
        why="Providers' keys are stored with channels; clients send a key of Routex.",
        remedy="Send a key that starts with `rtx_`, and renew the other one if strangers may have seen it.",
        headers=_CHALLENGE,
    ),
    Row(
        code="api_key_expired",
        status=401,
        kind="authentication",
        what="The key's time is over.",
        why="It was issued with an end.",
        remedy="Rotate it.",
        headers=_CHALLENGE,
    ),
    Row(
        code="api_key_disabled",
        status=401,
        kind="authentication",
        what="The key is switched off.",
        why="An admin of the tenant did that; it can be switched on again.",
        remedy="Ask an admin of the tenant.",
        headers=_CHALLENGE,
    ),
    Row(
        code="api_key_revoked",
        status=401,
        kind="authentication",
        what="The key was revoked, for good.",
        why="An admin of the tenant did that, or it was replaced by a rotation.",
        remedy="Use its successor, or ask an admin of the tenant for another.",
        headers=_CHALLENGE,
    ),
    # --- what the caller may do ---
    Row(
        code="model_not_allowed",
        status=403,
        kind="permission",
        what="The key may not use this model.",
        why="The key has a list of models, and neither the asked name nor what it stands for may be used otherwise.",
        remedy="Ask for a model of the list in the message, or let an admin widen it.",
    ),
    Row(
        code="channel_not_allowed",
        status=403,
        kind="permission",
        what="The key may not use this channel.",
        why="The request names a channel (`channel/model` or `x-routex-channel`) that is not on the key's list.",
        remedy="Leave the channel out, or let an admin widen the key's list.",
    ),
    Row(
        code="ip_not_allowed",
        status=403,
        kind="permission",
        what="The key may not be used from this address.",
        why="The key has a list of networks, and the connection came from outside them; headers do not count.",
        remedy="Send the request from one of the networks in the message, or let an admin add the address.",
    ),
    Row(
        code="tenant_suspended",
        status=403,
        kind="permission",
        what="The tenant is suspended.",
        why="Whoever runs this Routex did that; the message gives the reason.",
        remedy="Contact them.",
    ),
    # --- what the request says ---
    Row(
        code="invalid_json",
        status=400,
        kind="invalid_request",
        what="The body is not JSON that can be read.",
        why="It has a syntax error, is empty, is not UTF-8, or is nested too deeply.",
        remedy="Look at the line and column in the message.",
    ),
    Row(
        code="invalid_value",
        status=400,
        kind="invalid_request",
        what="A field is missing, or its value cannot be meant.",
        why="`param` names the field where the format has a place for it.",
        remedy="Change what the message says.",
    ),
    Row(
        code="wrong_endpoint",
        status=400,
        kind="invalid_request",
        what="The body is of another format than the path.",
        why="Each conversation format has its own path.",
        remedy="Send it to the path in the message.",
    ),
    Row(
        code="unsupported_parameter",
        status=400,
        kind="invalid_request",
        what="The request asks for something that the serving channel's format has no place for.",
        why="The channel speaks another format than the client, and leaving this out would change the answer.",
        remedy="Leave the parameter out, or ask for a model that is served in the client's own format.",
    ),
    Row(
        code="lossy_translation",
        status=400,
        kind="invalid_request",
        what="Translating the request would lose a part of it.",
        why="`x-routex-strict: 1` asked for a refusal rather than a loss.",
        remedy="Leave out what the message names, ask for another model, or leave out the header.",
    ),
    Row(
        code="media_unavailable",
        status=400,
        kind="invalid_request",
        what="A medium that the request names by URL cannot be fetched.",
        why="The channel takes media inline only, and the address did not give this one; private addresses never do.",
        remedy="Send its bytes as base64.",
    ),
    Row(
        code="context_length_exceeded",
        status=400,
        kind="invalid_request",
        what="The prompt is longer than the model takes.",
        why="The upstream counted its tokens and refused; the message is its own. Routex does not refuse by its count.",
        remedy="Shorten the conversation, or ask for a model with a larger context.",
    ),
    Row(
        code="content_filter",
        status=400,
        kind="invalid_request",
        what="The upstream refuses what the request says.",
        why="Its content policy judged the prompt, and another try would be judged the same; the message is its own.",
        remedy="Change the prompt, or ask for a model of another provider.",
    ),
    Row(
        code="invalid_form",
        status=400,
        kind="invalid_request",
        what="The form cannot be read.",
        why="It is no multipart/form-data, is malformed, or says one thing in two ways.",
        remedy="Let a client library write the form.",
    ),
    Row(
        code="invalid_encoding",
        status=400,
        kind="invalid_request",
        what="The compressed body cannot be unpacked.",
        why="It is not of the encoding that `content-encoding` names, is cut off, or something follows it.",
        remedy="Compress it again, or send it plain.",
    ),
    Row(
        code="unsupported_encoding",
        status=415,
        kind="invalid_request",
        what="The body's `content-encoding` is not understood.",
        why="Routex unpacks gzip, deflate and zstd.",
        remedy="Send one of these, or plain.",
    ),
    Row(
        code="request_timeout",
        status=408,
        kind="timeout",
        what="The client stopped sending in the middle of its body.",
        why="Nothing came for a minute.",
        remedy="Send it again.",
        should_retry=True,
        retry_after_s=1,
    ),
    Row(
        code="request_too_large",
        status=413,
        kind="too_large",
        what="The body is larger than allowed.",
        why="The limit is `ROUTEX_MAX_BODY_MB`, or the upstream's own.",
        remedy="Send less, for example smaller images.",
    ),
    # --- what it asks for ---
    Row(
        code="model_not_found",
        status=404,
        kind="not_found",
        what="No channel of the tenant serves this model.",
        why="The name is mistyped, no channel was given the model, or none offers it in a way that answers this path.",
        remedy="Take a name that the message suggests or `GET /v1/models` lists, or let an admin add a channel.",
    ),
    Row(
        code="unknown_route",
        status=404,
        kind="not_found",
        what="The gateway has no such path.",
        why="It is mistyped, or the base URL is: some clients want it with `/v1` and some without.",
        remedy="Take the path that the message suggests.",
    ),
    Row(
        code="method_not_allowed",
        status=405,
        kind="invalid_request",
        what="The path takes another method.",
        why="Listings take GET, everything else takes POST.",
        remedy="Use a method that `allow` names.",
        headers=("allow",),
    ),
    # --- how much ---
    Row(
        code="rate_limit_exceeded",
        status=429,
        kind="rate_limit",
        what="Too many requests or tokens in the window of a limit.",
        why="The message names the limit and whose it is: of Routex, or of the provider behind the channel.",
        remedy="Wait as long as `retry-after` says.",
        should_retry=True,
        retry_after_s=1,
        headers=_LIMITS,
    ),
    Row(
        code="concurrency_limit_exceeded",
        status=429,
        kind="rate_limit",
        what="Too many requests at once.",
        why="A concurrency limit is reached until one of the running requests ends.",
        remedy="Wait as long as `retry-after` says, or send fewer at once.",
        should_retry=True,
        retry_after_s=1,
        headers=_LIMITS,
    ),
    Row(
        code="insufficient_quota",
        status=429,
        kind="quota",
        what="What a quota allows in its calendar window is used up.",
        why="The message names the quota, whose it is, and when the window ends.",
        remedy="Wait for the time in `x-routex-quota-reset`, or let an admin raise the quota.",
        headers=("x-routex-quota-reset",),
    ),
    Row(
        code="quota_reserved",
        status=429,
        kind="rate_limit",
        what="All that is left of a quota is reserved.",
        why="Requests under way may still need it; what they do not need comes back when they end.",
        remedy="Wait as long as `retry-after` says.",
        should_retry=True,
        retry_after_s=1,
    ),
    Row(
        code="limits_unavailable",
        status=503,
        kind="unavailable",
        what="Requests cannot be counted, and a limit lets none through uncounted.",
        why="The store that the processes share for counting is away.",
        remedy="Wait as long as `retry-after` says; if it stays so, let whoever runs this Routex look at the store.",
        should_retry=True,
        retry_after_s=1,
    ),
    Row(
        code="ledger_away",
        status=503,
        kind="unavailable",
        what="What a quota allows cannot be looked up.",
        why="The ledger lies in the database, which is away or busy, and nothing is spent unseen.",
        remedy="Wait as long as `retry-after` says; if it stays so, look at `/readyz`.",
        should_retry=True,
        retry_after_s=2,
    ),
    Row(
        code="unpriced_model",
        status=503,
        kind="unavailable",
        what="A budget counts the cost of the request, and nobody knows the model's price.",
        why="Neither the price book nor the channel has one.",
        remedy="Let an admin set `prices` on the channel in the message, or use a model that has a price.",
        retry_after_s=60,
    ),
    # --- who could answer ---
    Row(
        code="no_available_channel",
        status=503,
        kind="server",
        what="Channels serve the model, and none of them can be asked.",
        why="All are switched off, or lack the credential that their provider needs.",
        remedy="Let an admin switch one on; the message names them.",
        retry_after_s=60,
    ),
    Row(
        code="server_is_overloaded",
        status=503,
        kind="overloaded",
        what="Every channel that serves the model is resting after errors, or at its limit.",
        why="Breakers, cooldowns and limits keep requests away from channels that could not answer them.",
        remedy="Wait as long as `retry-after` says: that is when the first of them is tried again.",
        should_retry=True,
        retry_after_s=1,
    ),
    Row(
        code="overloaded",
        status=503,
        kind="overloaded",
        what="The upstream says that it is overloaded.",
        why="The provider behind the channel has more work than it can take.",
        remedy="Wait as long as `retry-after` says.",
        should_retry=True,
        retry_after_s=1,
    ),
    Row(
        code="upstream_error",
        status=502,
        kind="server",
        what="No try gave an answer that can be used, or the answer broke off.",
        why="The message tells each try: the channel, and what it did.",
        remedy="Try again. Where several channels have failed already, clients are told not to.",
        should_retry=True,
        retry_after_s=5,
    ),
    Row(
        code="upstream_auth_error",
        status=502,
        kind="server",
        what="The provider refuses the channel's own credential.",
        why="It has expired, was revoked, or may not use this model. The client's key is fine.",
        remedy="Let an admin renew the channel's credential.",
        retry_after_s=5,
    ),
    Row(
        code="upstream_blocked",
        status=502,
        kind="server",
        what="The channel's address may not be reached from here.",
        why="It is private and was not granted to the tenant, or is no address at all.",
        remedy="Let an admin correct the base URL, or whoever runs this Routex grant the address.",
        retry_after_s=60,
    ),
    Row(
        code="upstream_refused",
        status=400,
        kind="invalid_request",
        what="The upstream refuses the request itself.",
        why="The message, and where the formats are the same the whole body, is the upstream's own.",
        remedy="Change what it says. Other channels are not tried with a request that one found wrong.",
    ),
    Row(
        code="upstream_timeout",
        status=504,
        kind="timeout",
        what="The upstream took too long.",
        why="A time limit of the channel passed: to connect, to the first byte, between bytes, or in all.",
        remedy="Try again, or let an admin raise the channel's limit.",
        should_retry=True,
        retry_after_s=5,
    ),
    Row(
        code="timeout",
        status=504,
        kind="timeout",
        what="The upstream says that it took too long itself.",
        why="Something behind the channel ran into a time limit.",
        remedy="Try again.",
        should_retry=True,
        retry_after_s=5,
    ),
    # --- Routex itself ---
    Row(
        code="starting_up",
        status=503,
        kind="unavailable",
        what="Routex cannot read the configuration that it needs yet.",
        why="It has just started, or its database is away.",
        remedy="Try again in a moment; if it stays so, look at `/readyz`.",
        should_retry=True,
        retry_after_s=2,
    ),
    Row(
        code="shutting_down",
        status=503,
        kind="unavailable",
        what="This process takes no new requests.",
        why="It is being restarted and finishes those that run.",
        remedy="Try again in a moment.",
        should_retry=True,
        retry_after_s=2,
    ),
    Row(
        code="no_room",
        status=503,
        kind="unavailable",
        what="An upload cannot be kept.",
        why="The disk that takes temporary files is full or cannot be written.",
        remedy="Let whoever runs this Routex make room.",
        should_retry=True,
        retry_after_s=30,
    ),
    Row(
        code="internal_error",
        status=500,
        kind="server",
        what="Routex itself failed.",
        why="That is a bug. Nothing of it is shown, but for the request's id.",
        remedy="Give the id to your admin, who finds what happened in the log.",
    ),
)

CATALOGUE: Final[Mapping[str, Row]] = {row.code: row for row in ROWS}
