"""Replicas that are not alike: what those of several groups carry, and how many to ask for.

Decides the group in whose replicas demand is counted (the *reference*), what a fleet of several
groups carries, and the fewest replicas that carry a demand: those that exist count with what their
own group carries, further ones with that of the group that grows. Of what is given up nobody may
know the group: then the strongest go.

What several groups carry depends on who chooses a replica. Where the one with the fewest requests
outstanding is chosen, all are equally full, and the group that bears the least load binds: the
sum of their throughputs at that load. Where any is chosen, as kube-proxy does, or each in its turn,
all get the same share whatever they carry, and the slowest binds: as many as there are, each worth
as much as the slowest. Which of the two it is shows in what the groups get (*follows*). Pure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from conch.autoscale.fleet import Fleet

MOST: Final = 8  # groups that are remembered of a model
_STAYS: Final = 0.8  # a reference is left for a group that carries less than this much of it
_LEAST_LOAD: Final = 0.35  # with less to do, the fewest outstanding are none, on either group
_LEAST_SPREAD: Final = 0.1  # of the logarithms of speeds, times load
_WEIGHT: Final = 200.0  # looks' worth of pods


def completes(throughput: Mapping[str, Mapping[str, float]], group: str) -> dict[str, float]:
    """Requests/s per model that a replica of a group completes; of one that is not known, what one
    of the group that was seen last does (``throughput``: per model and group, in that order)."""
    return {
        model: known.get(group, next(reversed(list(known.values()))))
        for model, known in throughput.items()
        if known
    }


def faster(
    rates: Mapping[str, float], one: Mapping[str, float], other: Mapping[str, float]
) -> float:
    """How many times as much ``other`` completes as ``one``, by model, of requests that come at
    such ``rates``."""
    both = [model for model in one if model in other]
    work = sum(rates.get(model, 0.0) / one[model] for model in both)
    if work > 0:
        return work / sum(rates.get(model, 0.0) / other[model] for model in both)
    return min((other[model] / one[model] for model in both), default=1.0)


@dataclass(frozen=True, slots=True)
class Members:
    """Replicas by group. ``ready`` are among ``counts``, which those that start are, too."""

    counts: Mapping[str, int]
    ready: Mapping[str, int]
    growing: str
    shrinking: str

    @staticmethod
    def of(
        looked_at: Iterable[str],
        ready: int,
        starting: Iterable[str],
        waiting: int,
        growing: str,
        shrinking: str,
        reference: str,
    ) -> Members:
        """``looked_at``: the groups of replicas that gave a sample; ``starting``: of those that are
        not ready yet, ``waiting`` of them. Whose group nobody told is of the one that grows, or
        else of the reference."""
        serving = Counter(looked_at)
        if not growing and "" not in serving:
            growing = reference or next(iter(serving), "")
        found = Counter(starting)
        found[growing] += max(0, waiting - found.total())
        serving[growing] += max(0, ready - serving.total())
        while serving.total() > ready:  # some answer that do not count any more
            serving[shrinking if serving[shrinking] else serving.most_common(1)[0][0]] -= 1
        return Members(+(serving + found), +serving, growing, shrinking)

    @property
    def groups(self) -> frozenset[str]:
        """Those that count now or will."""
        return frozenset((*self.counts, self.growing))


@dataclass(frozen=True, slots=True)
class Mix:
    """What is remembered: the ``reference``, and how much of what a group can do more it gets.

    ``follows`` is 1 where the fewest outstanding are chosen, 0 where any or each in its turn.
    """

    reference: str = ""
    follows: float = 1.0
    weight: float = 0.0

    def refer(self, groups: Collection[str], speeds: Mapping[str, float]) -> str:
        """The weakest of ``groups``, by ``speeds``, but the one before while it is about that.

        Whole replicas of the weakest waste least when others are counted in them. One that nothing
        is known of is none, unless nothing is known of any.
        """
        known = {g: speeds[g] for g in groups if g in speeds}
        if not known:
            return self.reference if self.reference in speeds else min(groups, default="")
        weakest = min(known, key=lambda g: (known[g], g))
        stays = self.reference in known and known[weakest] >= _STAYS * known[self.reference]
        return self.reference if stays else weakest

    def after(
        self,
        got: Mapping[str, tuple[int, float]],
        speeds: Mapping[str, float],
        load: float,
    ) -> Mix:
        """With one more look.

        ``got``: by group its replicas and the work that came to each of them; ``load``: the share
        of what all complete that this is. With the fewest outstanding chosen, what comes to a
        group grows with its speed to the power of the load or more (of 0.9 where it batches;
        measured in the twin); with any chosen, not at all.
        """
        pods = sum(n for n, _ in got.values())
        if load < _LEAST_LOAD or len(got) < 2 or min(work for _, work in got.values()) <= 0:
            return self
        logs = {g: (n / pods, math.log(work), math.log(speeds[g])) for g, (n, work) in got.items()}
        mean_got = sum(share * work for share, work, _ in logs.values())
        mean_speed = sum(share * speed for share, _, speed in logs.values())
        spread = sum(share * (speed - mean_speed) ** 2 for share, _, speed in logs.values())
        if math.sqrt(spread) < _LEAST_SPREAD:
            return self
        both = sum(s * (work - mean_got) * (speed - mean_speed) for s, work, speed in logs.values())
        seen = min(1.5, max(-0.5, both / spread / load))
        now = pods * spread * load
        weight = min(_WEIGHT, self.weight + now)
        follows = self.follows + (seen - self.follows) * min(1.0, now / weight)
        return replace(self, follows=min(1.0, max(0.0, follows)), weight=weight)


@lru_cache(maxsize=64)
def _refusing_none(fleet: Fleet) -> Fleet:
    return replace(fleet, reject=False)


@dataclass(frozen=True, slots=True)
class Mixed:
    """A fleet of several groups. ``speeds``: throughput over the reference's, whose busy replicas
    demand is counted in."""

    members: Members
    fleets: Mapping[str, Fleet]
    speeds: Mapping[str, float]
    follows: float

    def carries(self, counts: Mapping[str, int]) -> float:
        """The demand that so many of each group carry within the objective."""
        number = sum(counts.values())
        if not number:
            return 0.0
        there = [g for g, n in counts.items() if n > 0]
        loads = {g: self.load(g, number) for g in there}
        alike = number * min(self.speeds[g] * loads[g] for g in there)
        even = min(loads.values()) * sum(self.speeds[g] * counts[g] for g in there)
        return alike + self.follows * max(0.0, even - alike)

    def load(self, group: str, number: int) -> float:
        """The load that replicas of a group bear in a fleet of so many. What is carried without
        refusing anything is carried with it, too: where any is chosen, ``Fleet`` is too careful."""
        fleet = self.fleets[group]
        return max(fleet.carries(number), _refusing_none(fleet).carries(number)) / number

    def of(self, replicas: int) -> dict[str, int]:
        """Which replicas there are once ``replicas`` are asked for."""
        counts = dict(self.members.counts)
        more = replicas - sum(counts.values())
        if more > 0:
            counts[self.members.growing] = counts.get(self.members.growing, 0) + more
        return counts if more >= 0 else self.fewer(counts, -more)

    def fewer(self, counts: Mapping[str, int], less: int) -> dict[str, int]:
        """Those that are left of ``counts`` when ``less`` are given up."""
        left = dict(counts)
        strongest = sorted(left, key=lambda g: (g != self.members.shrinking, -self.speeds[g], g))
        for group in strongest:
            gone = min(less, left[group])
            left[group] -= gone
            less -= gone
        return left

    def needed(self, demand: float, most: int) -> int:
        """The fewest replicas that carry ``demand``; with more than ``most``, ``most``."""
        existing = min(most, sum(self.members.counts.values()))
        fewest = math.ceil(demand / max(self.speeds.values()))  # nobody carries more than all
        for number in range(max(1, fewest), existing + 1):
            if self.carries(self.of(number)) >= demand:
                return number
        low, high = existing, existing + 1
        while high < most and self.carries(self.of(high)) < demand:
            low, high = high, 2 * high
        high = min(high, most)
        while high - low > 1:
            middle = (low + high) // 2
            if self.carries(self.of(middle)) >= demand:
                high = middle
            else:
                low = middle
        return max(1, high)
