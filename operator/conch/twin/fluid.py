"""The twin without requests: demand and capacity as fluids, many settings at once.

Good for telling settings apart (which one would have been cheapest, and late how often), not for
latencies: it knows no chance. Time goes in seconds; a queue is what demand left over. Columns are
settings. Same rules as docs/design/002: starting replicas are cancelled first, so what is ready
is the least that was wanted at any moment of the last cold start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from conch.errors import UsageError

_NOTHING_RPS: Final = 1e-9  # the capacity of no replica: a wait without end, but a number

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Plant:
    """What the replicas can do.

    ``capacity_rps[c]`` is what c replicas carry within the objective (index 0: nothing);
    ``ready_after_s`` a cold start; ``slack_s`` the longest queue wait with which a request is still
    on time; with ``reject_after_s`` a longer wait than that is refused.
    """

    capacity_rps: Floats
    ready_after_s: float
    slack_s: float
    reject_after_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a table that does not rise."""
        if self.capacity_rps.size < 2 or (np.diff(self.capacity_rps) < 0).any():
            raise UsageError("capacities must be given for 0, 1, … replicas, and not fall")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Per setting: share of the requests that were late, and what the replicas cost in seconds."""

    late_share: Floats
    replica_s: Floats


def needed(bound_rps: Floats, plant: Plant) -> Ints:
    """Fewest replicas whose capacity reaches the bound, at least one, at most the table's end."""
    found = np.searchsorted(plant.capacity_rps, bound_rps - 1e-9)
    return np.clip(found, 1, plant.capacity_rps.size - 1).astype(np.int64)


def held(replicas: Ints, hold_s: Sequence[float]) -> Ints:
    """Up at once, down to the most of the last ``hold_s[k]`` seconds. Shape: seconds, settings."""
    columns = [
        _extreme(replicas[:, k : k + 1], round(hold_s[k]), np.maximum)
        for k in range(replicas.shape[1])
    ]
    return np.concatenate(columns, axis=1)


def replay(arrivals: npt.ArrayLike, wanted: Ints, plant: Plant) -> Outcome:
    """What became of ``arrivals`` (requests in each second) under ``wanted`` (seconds, settings).

    At the start all that is wanted is ready.
    """
    came = np.asarray(arrivals, dtype=np.float64)
    if came.ndim != 1 or wanted.ndim != 2 or wanted.shape[0] != came.size or came.size == 0:
        raise UsageError("give arrivals per second, and as many rows of wanted replicas")
    most = plant.capacity_rps.size - 1
    ready = _extreme(np.clip(wanted, 0, most), round(plant.ready_after_s), np.minimum)
    capacity = plant.capacity_rps[ready]
    if plant.reject_after_s is None:
        late = _late_waiting(came, capacity, plant.slack_s)
    else:
        late = _refused(came, capacity, plant.reject_after_s)
    total = came.sum()
    share = late / total if total > 0 else np.zeros(wanted.shape[1])
    return Outcome(late_share=share, replica_s=wanted.sum(axis=0).astype(np.float64))


def _extreme(values: Ints, span: int, of: np.ufunc) -> Ints:
    """The least or most of each second and the ``span`` before it; doubling the reach."""
    found, reach = values, 0
    while reach < min(span, len(values) - 1):
        shift = min(reach + 1, span - reach)
        found = np.concatenate([found[:shift], of(found[shift:], found[:-shift])])
        reach += shift
    return found


def _late_waiting(came: Floats, capacity: Floats, slack_s: float) -> Floats:
    """Requests that meet a longer queue than ``slack_s``; without refusals the queue is a sum.

    Q is the running surplus over its lowest point. The wait is taken as linear within a second.
    """
    surplus = np.cumsum(came[:, None] - capacity, axis=0)
    queue = surplus - np.minimum(np.minimum.accumulate(surplus, axis=0), 0.0)
    wait_s = queue / np.maximum(capacity, _NOTHING_RPS)
    before_s = np.vstack([np.zeros((1, wait_s.shape[1])), wait_s[:-1]])
    low, high = np.minimum(before_s, wait_s), np.maximum(before_s, wait_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((high - slack_s) / (high - low), 0.0, 1.0)
    share = np.where(low > slack_s, 1.0, np.where(high <= slack_s, 0.0, share))
    return came @ share


def _refused(came: Floats, capacity: Floats, reject_after_s: float) -> Floats:
    """Requests cut off a queue that may not be longer than ``reject_after_s`` of capacity."""
    most = reject_after_s * capacity
    surplus = came[:, None] - capacity
    queue = np.zeros(capacity.shape[1])
    cut = np.zeros(capacity.shape[1])
    for change, limit in zip(surplus, most, strict=True):
        queue += change
        np.maximum(queue, 0.0, out=queue)
        kept = np.minimum(queue, limit)
        cut += queue
        cut -= kept
        queue = kept
    return cut
