"""A function of the operator's own, from a package."""

from __future__ import annotations

import logging
from reprlib import repr as shortened
from typing import Any

from channels_app.engine.registry import Registry
from routing.engine.rule import MAX_TEXT_CHARS, Condition, Finding, Router, Setting, Test
from routing.engine.traits import Traits

logger = logging.getLogger("routex.rules")

#: None come with Routex: all are from packages.
ROUTERS: Registry[Router] = Registry("routex.routers", __name__, {})


class CustomFunction(Condition):
    """Asks a router by its name."""

    name = "customFunction"
    summary = "A router from a package says yes, or names the model; its name is an entry point in `routex.routers`."
    example = "cheapest-at-night"
    says_when = True

    def test(self, value: Any, setting: Setting) -> Test:
        """Take the name of an installed router."""
        if not isinstance(value, str) or value not in ROUTERS:
            known = ", ".join(ROUTERS) or "none, since no installed package has one"
            raise ValueError(f"customFunction: there is no router {shortened(value)}; there are: {known}")
        router = ROUTERS[value]
        yes, no = Finding(True, f"`{value}` says yes"), Finding(False, f"`{value}` says no")

        def test(traits: Traits) -> Finding:
            try:
                chosen = router.choose(traits)
            except Exception as error:  # noqa: BLE001 foreign code: one router's fault must not fail every request
                logger.warning("router %s failed: %r", value, error)
                return Finding(False, f"`{value}` failed: {type(error).__name__}")
            if isinstance(chosen, str) and chosen:
                return Finding(True, f"`{value}` names `{chosen[:MAX_TEXT_CHARS]}`", target=chosen[:MAX_TEXT_CHARS])
            return yes if chosen else no

        return test

    def asks_last_turn(self, value: Any) -> bool:
        """Return that it does: nobody knows what a router asks."""
        return True
