"""What a client is told when no try gave an answer: an upstream's own class where it has one (ADR 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from channels_app.engine.errors import UpstreamBlocked, UpstreamError, UpstreamStatus, UpstreamTimeout
from routing.engine.catalogue import CATALOGUE
from routing.engine.errors import GatewayError, Overloaded, RateLimited, UpstreamFailed, UpstreamTimedOut
from routing.engine.failures import told_id
from routing.engine.passage import Passage
from routing.engine.verdicts import OutOfTime


@dataclass(slots=True)
class Fault:
    """One failed try, kept for the final error."""

    passage: Passage
    error: UpstreamError

    @property
    def slug(self) -> str:
        """Return the channel's slug."""
        return self.passage.candidate.channel.spec.slug


def final_error(model: str, faults: Sequence[Fault], soonest_s: float) -> GatewayError:
    """Return the error that stands for failed tries.

    Args:
        model: the model that was asked for, as messages may show it.
        faults: the tries, in order.
        soonest_s: after how many seconds the first of all channels may be tried again, 0 when one may be at once.
    """
    last = faults[-1]
    if isinstance(last.error, UpstreamStatus):
        told = _told_by_status(last, model, soonest_s)
        if told is not None:
            return told
    story = ", ".join(f"{fault.slug} {fault.error}" for fault in faults)
    tries = f"all {len(faults)} tries" if len(faults) > 1 else "its only try"
    message = f"`{model}` failed on {tries}: {story}."
    channels = {fault.slug for fault in faults}
    if isinstance(last.error, UpstreamStatus) and last.error.status == 504:
        return UpstreamTimedOut(message, code="timeout", retry_after_s=_wait_s("timeout", soonest_s))
    if isinstance(last.error, UpstreamTimeout | OutOfTime):
        return UpstreamTimedOut(message, retry_after_s=_wait_s("upstream_timeout", soonest_s))
    if isinstance(last.error, UpstreamBlocked):
        return UpstreamFailed(message, code="upstream_blocked")
    wait_s = _wait_s("upstream_error", soonest_s)
    return UpstreamFailed(message, retry_after_s=wait_s, should_retry=len(channels) == 1)


def _wait_s(code: str, soonest_s: float) -> float:
    """Return how long to wait: until somebody may be tried, and no shorter than the catalogue has it."""
    return max(CATALOGUE[code].retry_after_s or 0.0, soonest_s)


def _told_by_status(fault: Fault, model: str, soonest_s: float) -> GatewayError | None:
    """Return the error that keeps an upstream's own class, or None where its status must not be passed on."""
    error = fault.error
    assert isinstance(error, UpstreamStatus)
    if error.status in {401, 403}:
        # Never as 401: the client's key is fine, the channel's is not.
        return UpstreamFailed(
            f"Channel `{fault.slug}` rejected its own credentials ({error.status}). An admin must renew them.",
            code="upstream_auth_error",
            retry_after_s=_wait_s("upstream_auth_error", soonest_s),
        )
    if not 400 <= error.status < 500 and error.status != 529:
        return None
    said = _said(fault, error)
    if error.status in {429, 529}:
        kind = RateLimited if error.status == 429 else Overloaded
        words = f": {said.message}" if said is not None and said.raw_body is None else "."
        told = kind(
            f"Channel `{fault.slug}` is limited by its provider ({error.status}) for `{model}`{words}",
            code="" if error.status == 429 else "overloaded",
            status=error.status,
            retry_after_s=_wait_s(kind.code, soonest_s),
            headers=told_id(error.headers.items()),
            raw_body=None if said is None else said.raw_body,
        )
        told.is_relayed, told.upstream = True, (fault.slug, error.status)
        return told
    if said is not None:
        said.upstream = (fault.slug, error.status)
    return said


def _said(fault: Fault, error: UpstreamStatus) -> GatewayError | None:
    """Return what the upstream said: inside its stream, or as an error answer."""
    if isinstance(error.__cause__, GatewayError):
        return error.__cause__
    # A page of markup is no error body of any format.
    body = error.body if b"json" in error.content_type else b""
    return fault.passage.refusal(error.status, body, error.headers) if body else None
