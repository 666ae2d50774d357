"""STRATEGIES: one line per strategy."""

from channels_app.engine.registry import Registry
from routing.engine.strategy import Strategy

STRATEGIES: Registry[Strategy] = Registry(
    "routex.strategies",
    __name__,
    {
        "priority": ".priority:Priority",
        "weighted": ".weighted:Weighted",
        "round_robin": ".round_robin:RoundRobin",
        "least_used": ".least_used:LeastUsed",
        "random": ".random:Random",
        "least_connections": ".least_connections:LeastConnections",
        "ip_hash": ".ip_hash:IpHash",
        "consistent_hash": ".consistent_hash:ConsistentHash",
        "latency": ".latency:Latency",
        "cost": ".cost:Cost",
        "capability": ".capability:Capability",
    },
)
