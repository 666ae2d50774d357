"""What a record keeps of a request for rules that are drafted later; and a recorded request as rules see it."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from routing.engine.call import Call
from routing.engine.counters import EXACT, THUMBS
from routing.engine.errors import GatewayError
from routing.engine.gateway import Gateway
from routing.engine.messages import ChatRequest
from routing.engine.traits import Traits

logger = logging.getLogger("routex.facts")

#: Traits that cost next to nothing once a conversation is decoded, and those that read its whole text.
CHEAP = ("has_tools", "has_web_search", "images", "new_images", "is_thinking", "words")
JUDGED = ("has_code", "category", "complexity", "intent")
#: Requests that passed unread are read after their answer, for replays; not more often than this.
READ_EACH_S = 0.1
#: A longer body is not read for this.
MAX_BYTES = 256 * 1024


def observe(call: Call, gateway: Gateway) -> None:
    """Note what rules may ask about a request, once its answer is delivered; nobody waits for it.

    Whatever goes wrong here, the request's record and its charges must not be lost for it.
    """
    if call.snapshot is None or call.served_by is None or not call.is_conversation or len(call.body) > MAX_BYTES:
        return  # only what a channel answered is ever replayed
    is_read = gateway.clock() >= gateway.reads_on_s
    if is_read:
        gateway.reads_on_s = gateway.clock() + READ_EACH_S
    elif call.conversation is None:
        return
    traits = Traits(call, gateway.last_turns)
    try:
        call.decision.facts = facts_of(traits, CHEAP + JUDGED if is_read else CHEAP)
    except GatewayError:
        return  # a body that only its own upstream could read
    except Exception:  # part of `settle`: nothing but a note is lost
        logger.exception("request %s cannot be noted for replays", call.id)


def facts_of(traits: Traits, names: tuple[str, ...]) -> dict[str, Any]:
    """Return traits as plain values: those named, the tokens by every counter, and the last turn's."""
    found = {name: getattr(traits, name) for name in names}
    found["tokens"] = {name: count(traits.request) for name, count in THUMBS.items()}
    if EXACT in traits.call.counts:
        found["tokens"][EXACT] = traits.call.counts[EXACT]
    found["input_tokens"] = traits.input_tokens
    found["last_input_tokens"] = traits.last_input_tokens
    if "has_code" in found:
        found["languages"] = sorted(traits.languages)
    return found


class NotRecorded(BaseException):
    """A rule asks for what records do not keep: the text itself, most headers.

    No ordinary exception, since conditions of foreign packages take those for a no.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class RecordedTraits(Traits):
    """A recorded request. What was not kept raises NotRecorded instead of being guessed."""

    def __init__(
        self,
        facts: Mapping[str, Any],
        *,
        model: str,
        started_us: int,
        user_agent: str,
        key_tags: Mapping[str, str],
        tenant_tags: Mapping[str, str],
    ) -> None:
        self._facts = facts
        self._started_us = started_us
        self.memo = {}
        self.model = model
        self.key_tags = dict(key_tags)
        self.tenant_tags = dict(tenant_tags)
        self.last_input_tokens = int(facts.get("last_input_tokens", 0))
        self.headers = {b"user-agent": user_agent.encode("latin-1", "replace")}
        self.__dict__.update({name: facts[name] for name in (*CHEAP[1:], *JUDGED) if name in facts})
        if "languages" in facts:
            self.__dict__["languages"] = frozenset(facts["languages"])

    def __getattr__(self, name: str) -> Any:
        raise NotRecorded(name)

    @property
    def request(self) -> ChatRequest:
        """Not kept."""
        raise NotRecorded("text")

    @property
    def has_tools(self) -> bool:
        """Whether tools were on offer."""
        return bool(self._fact("has_tools"))

    @property
    def input_tokens(self) -> int:
        """The estimate that was made then."""
        return int(self._fact("input_tokens"))

    def tokens(self, counter: str) -> int:
        """Return the tokens as they were counted then."""
        if counter == "estimate":
            return self.input_tokens
        counts = self._fact("tokens")
        if counter not in counts:
            raise NotRecorded(f"tokens, {counter}")
        return int(counts[counter])

    def header(self, name: str) -> str | None:
        """Return the one header that is kept."""
        if name != "user-agent":
            raise NotRecorded(f"header {name}")
        return self.headers[b"user-agent"].decode("latin-1")

    @property
    def minute(self) -> int:
        """The minute in which the request came in."""
        return self._started_us // 60_000_000

    def local_time(self, zone: ZoneInfo) -> dt.datetime:
        """Return when the request came in, on the clock of a zone."""
        return dt.datetime.fromtimestamp(self._started_us / 1e6, zone)

    def _fact(self, name: str) -> Any:
        if name not in self._facts:
            raise NotRecorded(name)
        return self._facts[name]
