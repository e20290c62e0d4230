"""By how much replicas carry less (or more) than their model says, learned from lateness.

Decides a factor on demand. At a known load on a known number of replicas the model expects a share
of late requests; for each of several factors that share is another one, and what was counted tells
which of them is likely (Bayes, with counts that scatter more than a Poisson process's, and what is
old forgotten). Lateness from a rise that nobody foresaw is expected by all of them, and teaches
nothing; neither does a fleet with room to spare. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FACTORS: Final = tuple(0.95 * 1.05**i for i in range(11))  # up to 1.55
_PRIOR: Final = 0.04  # standard deviation of its logarithm
_SCATTER: Final = 10.0  # variance of late requests in a slot over their number
_FORGETTING_S: Final = 1200.0
_NEVER_NONE: Final = 0.0005  # share of requests that are late for other reasons


@dataclass(frozen=True, slots=True)
class Correction:
    """Log-likelihoods of the factors, without the prior."""

    likely: tuple[float, ...] = (0.0,) * len(FACTORS)

    @property
    def factor(self) -> float:
        """The mean of what is likely."""
        logs = [
            found - 0.5 * (math.log(factor) / _PRIOR) ** 2
            for found, factor in zip(self.likely, FACTORS, strict=True)
        ]
        most = max(logs)
        weights = [math.exp(one - most) for one in logs]
        return sum(w * f for w, f in zip(weights, FACTORS, strict=True)) / sum(weights)

    def after(
        self, seconds: float, arrived: float, late: float, expected: Sequence[float]
    ) -> Correction:
        """With ``seconds`` more, in which ``late`` of ``arrived`` requests were late; ``expected``
        is the share for each factor."""
        keep = math.exp(-seconds / _FORGETTING_S)
        shares = [share + _NEVER_NONE for share in expected]
        # More than any factor explains is no sign of one.
        seen = min(late, arrived * max(shares))
        return Correction(
            tuple(
                known * keep + (seen * math.log(share) - arrived * share) / _SCATTER
                for known, share in zip(self.likely, shares, strict=True)
            )
        )
