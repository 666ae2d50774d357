"""The contract of a rule's conditions: what each asks of a request, and what it found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from routing.engine.document import ChannelSpec
from routing.engine.traits import Traits

#: What a condition's values may be at most.
MAX_NUMBER = 10**9
MAX_TEXTS = 100
MAX_TEXT_CHARS = 200


class Finding(msgspec.Struct, frozen=True, gc=False):
    """Whether a condition holds, and what was found in a few words; a target where it names one itself."""

    holds: bool
    measured: str = ""
    #: `channel,model` or a model, to be tried before the rule's own targets.
    target: str = ""
    #: Text that named the target and must not reach the upstream.
    spent: str = ""


#: One condition with its value, made ready: asked of every request, so it costs what its trait costs and little more.
Test = Callable[[Traits], Finding]
Keeps = Callable[[ChannelSpec], bool]
#: Says of a request what has to be worked out for it beside the event loop, before its rules are asked; None: nothing.
Errand = Callable[[Traits], Callable[[], object] | None]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a condition's value may refer to besides itself."""

    #: The tenant's time zone.
    timezone: str = "UTC"


class Screen(ABC):
    """A look at a request as it came in, which settles many rules with the same condition at once.

    Rules mostly miss, and whatever asks for the conversation makes it be read. A screen never says that a condition
    holds, and says that it does not only where the condition itself would say so.
    """

    @abstractmethod
    def look(self, traits: Traits) -> Hashable:
        """Return what is seen: one of few values, since what follows from it is remembered under it."""

    @abstractmethod
    def missed(self, value: Any, seen: Hashable) -> str:
        """Return in a few words why the condition cannot hold with that value; "" where it has to be asked."""


class Condition(ABC):
    """A kind of condition. Pure: it sees the request's traits and nothing else."""

    name: ClassVar[str]
    #: One sentence for lists and forms.
    summary: ClassVar[str]
    #: A value as it may stand in a rule.
    example: ClassVar[Any]
    #: Of those that came with the first rules: a rule that has one is matched by its conditions alone.
    says_when: ClassVar[bool] = False
    #: It asks for the conversation, so it is asked after those that do not.
    is_deep: ClassVar[bool] = True
    #: It asks for nothing but the model and the tags of key and tenant: its answer is kept for all such requests.
    is_settled: ClassVar[bool] = False

    @abstractmethod
    def test(self, value: Any, setting: Setting) -> Test | None:
        """Return the value made ready, None for one that asks nothing of the request.

        Raises:
            ValueError: it is no value of this condition; the text says what to write instead.
        """

    def screen(self, values: Sequence[Any]) -> Screen | None:
        """Return a screen for all rules that have this condition, with these values; None where there is none."""
        return None

    def errand(self, values: Sequence[Any]) -> Errand | None:
        """Return what may take long for rules that have this condition, with these values; None where nothing does."""
        return None

    def asks_last_turn(self, value: Any) -> bool:
        """Return whether it asks how long the last turn was: only then conversations without an id are remembered."""
        return False

    def keeps(self, value: Any) -> Keeps | None:
        """Return which channels the rule may still go to, None for all."""
        return None


def flag(value: Any, name: str) -> bool:
    """Return a condition's yes or no; raises ValueError for anything else."""
    if value is not True and value is not False:
        raise ValueError(f"{name} is true or false, not {shortened(value)}")
    return bool(value)


def number(value: Any, name: str) -> int:
    """Return a condition's whole number of zero or more; raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise ValueError(f"{name} is a whole number from 0 to {MAX_NUMBER}, not {shortened(value)}")
    return value


def texts(value: Any, name: str, known: Iterable[str] = ()) -> tuple[str, ...]:
    """Return a condition's word or list of words, which are of `known` where that is given.

    Raises:
        ValueError: it is anything else, empty, or too long.
    """
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or len(found) > MAX_TEXTS:
        raise ValueError(f"{name} is a text or a list of 1 to {MAX_TEXTS} texts, not {shortened(value)}")
    for each in found:
        if not isinstance(each, str) or not each.strip() or len(each) > MAX_TEXT_CHARS:
            raise ValueError(f"{name} takes texts of 1 to {MAX_TEXT_CHARS} characters, not {shortened(each)}")
        if known and each not in known:
            raise ValueError(f"{name} takes {', '.join(known)}, not {shortened(each)}")
    return tuple(found)


def zone_of(name: Any) -> ZoneInfo:
    """Return a time zone; raises ValueError for a name that the zone database has not."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise ValueError(f"time: {shortened(name)} is no time zone such as Europe/Berlin") from None


class Router(ABC):
    """A function of the operator's own, from a package with an entry point in `routex.routers`.

    It runs on the event loop before every request that reaches its rule: it must not wait, and take well under a
    millisecond. What it raises counts as a miss.
    """

    @abstractmethod
    def choose(self, traits: Traits) -> bool | str | None:
        """Return whether the rule holds; or the `channel,model` or model that shall answer."""
