"""Everyone else's scaling rules, and Conch's own beside them, as Controllers of the twin.

Each module holds one rule: its published algorithm as pure functions (tests/twin/rules compares
them with numbers worked by hand), its documented defaults, and a thin Controller. ``setting`` says
what a rule is told; ``series`` is the Prometheus between the servers and the rules. They all see
the same lagged, lossy counters and the same limits. ``RULES`` is the catalogue.
"""

from __future__ import annotations

from types import MappingProxyType

from conch.twin.rules import dynamo, faro, hpa, keda, kpa, mark, nvidia, ray, static, wva
from conch.twin.rules.setting import Rule, Setting

RULES = MappingProxyType(
    {
        rule.name: rule
        for rule in (
            keda.RULE,
            hpa.RULE,
            kpa.RULE,
            ray.RULE,
            nvidia.RATIO_RULE,
            nvidia.QUEUE_RULE,
            dynamo.RULE,
            wva.RULE,
            faro.RULE,
            mark.RULE,
            static.RULE,
        )
    }
)

__all__ = ["RULES", "Rule", "Setting"]
