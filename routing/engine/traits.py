"""What rules ask about a request: each answer is worked out once, when a rule first asks for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from routing.engine import judging
from routing.engine.call import Call
from routing.engine.counters import COUNTERS, media_of
from routing.engine.decoding import conversation
from routing.engine.errors import BadRequest
from routing.engine.estimate import input_tokens
from routing.engine.lastturns import LastTurns
from routing.engine.messages import ChatRequest, Message, Text
from routing.engine.operations import is_count
from routing.engine.session import conversation_of

#: Characters of the users' text that are searched: of a longer one its end, which is what was said last.
SEARCHED_CHARS = 262_144
#: A table that turns white space into spaces and everything else into x.
_SPACED = bytes(32 if chr(byte).isspace() and byte < 128 else 120 for byte in range(256))


class Traits:
    """One request as rules see it; nothing here changes it.

    What needs the conversation finds it empty where there is none: an embedding, a form, or a body that only its own
    upstream can judge.
    """

    def __init__(self, call: Call, last_turns: LastTurns | None = None) -> None:
        assert call.asked is not None and call.principal is not None and call.snapshot is not None
        self.call = call
        #: The model as it was asked for.
        self.model = call.asked.model
        self.headers: Mapping[bytes, bytes] = call.headers
        self.key_tags = call.principal.tags
        self.tenant_tags = call.snapshot.document.tags
        self._last_turns = last_turns
        #: What conditions of one kind work out once for all rules of a request, by the condition's name.
        self.memo: dict[str, Any] = {}

    @cached_property
    def last_input_tokens(self) -> int:
        """Input tokens of the last turn of the same conversation, 0 when this process knows none."""
        if not self._last_turns:
            return 0
        assert self.call.principal is not None
        return self._last_turns.tokens(self.call.principal.tenant_id, conversation_of(self.call))

    @property
    def input_tokens(self) -> int:
        """The estimate of the whole request: system prompt and tools included."""
        return input_tokens(self.call)

    @cached_property
    def request(self) -> ChatRequest:
        """The request in canonical form."""
        call = self.call
        if call.is_conversation or is_count(call.route.operation):
            try:
                return conversation(call)
            except BadRequest:
                pass  # it may pass unread; whoever must read it says what is wrong
        return ChatRequest(format="", model=self.model)

    @cached_property
    def _user_messages(self) -> list[Message]:
        return [message for message in self.request.messages if message.role == "user"]

    @cached_property
    def text(self) -> str:
        """All that the user said, oldest first."""
        return "\n".join(part.text for each in self._user_messages for part in each.parts if isinstance(part, Text))

    @cached_property
    def searched_text(self) -> str:
        """The user's text as far as it is searched."""
        return self.text[-SEARCHED_CHARS:]

    @cached_property
    def lower_text(self) -> str:
        """The searched text in lower case."""
        return self.searched_text.lower()

    @cached_property
    def text_bytes(self) -> bytes:
        """The searched text in UTF-8."""
        return self.searched_text.encode("utf-8", "replace")

    @cached_property
    def last_turn(self) -> list[Message]:
        """The user's messages since the model last spoke."""
        found: list[Message] = []
        for message in reversed(self.request.messages):
            if message.role == "assistant":
                break
            if message.role == "user":
                found.append(message)
        return found[::-1]

    @cached_property
    def last_text(self) -> str:
        """What the user said last: the last of their messages that holds text."""
        for message in reversed(self._user_messages):
            if text := "\n".join(part.text for part in message.parts if isinstance(part, Text)):
                return text
        return ""

    @cached_property
    def system(self) -> str:
        """The system prompt, its blocks one after the other."""
        return "\n".join(block.text for block in self.request.system)

    @property
    def has_tools(self) -> bool:
        """Whether tools are on offer."""
        return bool(self.request.tools)

    @cached_property
    def tool_names(self) -> tuple[str, ...]:
        """The names of the tools on offer; hosted ones by our word for them."""
        return tuple(tool.name for tool in self.request.tools)

    @cached_property
    def has_web_search(self) -> bool:
        """Whether a web search that the upstream runs is on offer."""
        return any(tool.kind == "hosted" and tool.name.startswith("web_search") for tool in self.request.tools)

    @cached_property
    def images(self) -> int:
        """How many pictures the messages hold, those in tools' answers included."""
        return self._images(self.request.messages)

    @cached_property
    def new_images(self) -> int:
        """How many pictures came since the model last spoke."""
        return self._images(self.last_turn)

    def _images(self, messages: list[Message] | tuple[Message, ...]) -> int:
        return sum(media.kind == "image" for each in messages for part in each.parts for media in media_of(part))

    @cached_property
    def is_thinking(self) -> bool:
        """Whether thinking is asked for: switched on, or an effort above minimal."""
        thinking = self.request.thinking
        if thinking is None or thinking.mode == "disabled":
            return False
        return (
            thinking.mode is not None
            or thinking.effort not in {None, "none", "minimal"}
            or bool(thinking.budget_tokens)
        )

    def tokens(self, counter: str) -> int:
        """Return the messages' tokens by one of COUNTERS; `estimate` is the whole request's."""
        if counter == "estimate":
            return self.input_tokens
        counts = self.call.counts
        if counter not in counts:
            counts[counter] = COUNTERS[counter](self.request)
        return counts[counter]

    @cached_property
    def words(self) -> int:
        """How many words the user said."""
        spaced = b" " + self.text.encode("utf-8", "replace").translate(_SPACED)
        return spaced.count(b" x")

    @cached_property
    def has_code(self) -> bool:
        """Whether the user's text holds source code."""
        return judging.has_code(self.searched_text)

    @cached_property
    def languages(self) -> frozenset[str]:
        """The programming languages of that code."""
        return judging.languages(self.searched_text)

    @cached_property
    def _last_words(self) -> list[str]:
        return judging.words_of(self.last_text)

    @cached_property
    def category(self) -> judging.Category:
        """What the user's last text is about."""
        return judging.category(self._last_words, self.has_code)

    @cached_property
    def complexity(self) -> judging.Complexity:
        """How much the user's last text asks for."""
        return judging.complexity(self.last_text, self._last_words, self.has_code, len(self.request.tools))

    @cached_property
    def intent(self) -> judging.Intent:
        """What the user's last text wants done."""
        return judging.intent(self.last_text, self._last_words)

    def header(self, name: str) -> str | None:
        """Return a request header by its lower-case name, None where it was not sent."""
        value = self.headers.get(name.encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    @property
    def minute(self) -> int:
        """The minute in which the request came in, counted since the epoch."""
        return self.call.started_us // 60_000_000

    def local_time(self, zone: ZoneInfo) -> dt.datetime:
        """Return when the request came in, on the clock of a zone."""
        return dt.datetime.fromtimestamp(self.call.started_us / 1e6, zone)
