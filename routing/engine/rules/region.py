"""Only channels of some regions may answer."""

from __future__ import annotations

from typing import Any

from routing.engine.document import ChannelSpec
from routing.engine.rule import Condition, Keeps, Setting, texts


class Region(Condition):
    """Asks nothing of the request: it narrows where the rule may go."""

    name = "region"
    summary = "Of the rule's targets only channels of this region may answer."
    example = "eu"
    is_deep = False

    def test(self, value: Any, setting: Setting) -> None:
        """Take a region or a list of them."""
        texts(value, self.name)

    def keeps(self, value: Any) -> Keeps:
        """Return whether a channel is in one of the regions."""
        regions = frozenset(texts(value, self.name))

        def keeps(channel: ChannelSpec) -> bool:
            return channel.region in regions

        return keeps
