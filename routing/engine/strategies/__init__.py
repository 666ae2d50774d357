"""STRATEGIES: one line per strategy."""

from channels_app.engine.registry import Registry
from routing.engine.strategy import Strategy

STRATEGIES: Registry[Strategy] = Registry(
    "routex.strategies",
    __name__,
    {
        "priority": ".priority:Priority",
        "weighted": ".weighted:Weighted",
    },
)
