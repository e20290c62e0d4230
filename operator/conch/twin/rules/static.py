"""No scaling: a fixed size, as a team provisions for its peak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.rules.setting import Rule, Setting, ceil, decision


@dataclass(slots=True)
class Static:
    """Always the same."""

    name: str
    setting: Setting
    replicas: int
    interval_s: float = 60.0

    def decide(self, sight: Sight) -> Decision:
        """The same again."""
        return decision(sight.observation.replicas, self.replicas, self.setting, "fixed")


def fixed(setting: Setting, replicas: float) -> Static:
    """A fixed number of replicas."""
    return Static(f"static {ceil(replicas)}", setting, ceil(replicas))


def row(setting: Setting) -> tuple[float, ...]:
    """Every size within the limits, in at most twelve steps."""
    most = setting.max_replicas
    return tuple(sorted({ceil(most * k / 12) for k in range(1, 13)}))


RULE: Final = Rule(
    name="static",
    what="a fixed size; untouched: the limit",
    untouched=lambda setting: fixed(setting, setting.max_replicas),
    row=row,
    tuned=fixed,
)
