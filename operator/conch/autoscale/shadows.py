"""What every other setting would have cost: each one's replicas, simulated beside the real ones.

Decides which forecast (base and quantile) and which hold time to follow: the one that would have
been cheapest among those that keep the error budget. Every setting has a *shadow*: at each slot
it asks for replicas by what was known then, gets them a cold start after that could be looked at,
and pays for them; what its ready ones could not carry is late. A slot costs a fraction of a
millisecond whatever lies behind: nothing is replayed. Pure.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from conch.autoscale.budget import exposure
from conch.autoscale.fleet import Fleet
from conch.autoscale.forecast import BASES, LEVELS, Forecast

HOLDS_S: Final = (15.0, 60.0, 300.0)
_HOLDS: Final = len(HOLDS_S)
_LUCK: Final = 0.25  # of what the next bolder setting was late beyond this one
FORGETTING_S: Final = 5400.0
_TRIAL_S: Final = 150.0  # before it, the first setting is followed
_PENALTY: Final = 40.0  # of cost, for all requests late beyond the budget
_HOPELESS: Final = 2.0  # times the objective's late share: what is beyond can't be bought back
_HOPELESS_PENALTY: Final = 20.0
_PREFERENCE: Final = 0.3  # for late ones within the budget
_WORTH_SWITCHING: Final = 0.01
_LONGEST_SLOT_S: Final = 30.0
_CHURN_S: Final = 30.0  # replica-seconds that a start is held to be worth avoiding for
# What has not been seen may still come: as if a fifth of some time had been 15 % above the level,
# at a cold start of two minutes; for what becomes of it at others, see ``exposure``.
_UNSEEN_S: Final = 300.0
_UNSEEN_COLD_STARTS: Final = 8.0  # or as many, if that is longer
_UNSEEN_SHARE: Final = 0.2
_MOST_UNSEEN: Final = 0.3
_UNSEEN_RISE: Final = 1.15
_UNSEEN_RISE_QUEUED: Final = 1.2  # where what is missed once has to be worked off
# Of the cost, per hold: while demand rises, a long one costs nothing; what it costs once demand
# falls is not known until then.
_UNTRIED: Final = (0.0, 0.0, 0.1)
_UNTRIED_S: Final = 1800.0
# Beyond this many times what foresight would have cost, money buys little: it is not a matter of
# headroom any more.
_DEAR: Final = 1.25
_DEARER: Final = 4.0
_FORESIGHT: Final = 1.25  # cold starts: what foresight starts early, and keeps between two rises
_GRACE: Final = 0.3  # replicas: where two are needed, a third is half as much again
_MOST: Final = 1_000_000  # replicas
_TIGHT: Final = 0.95  # foresight spends the error budget, too


@dataclass(frozen=True, slots=True)
class Setting:
    """A forecast and how long its highest wish is kept."""

    base: int
    boldness: int
    hold: int


SETTINGS: Final = tuple(
    Setting(b, q, h) for b in range(BASES) for q in range(len(LEVELS)) for h in range(len(HOLDS_S))
)
FIRST: Final = SETTINGS.index(Setting(0, LEVELS.index((0.85, 1.0)), 0))


@dataclass(frozen=True, slots=True)
class Shadows:
    """All settings side by side. ``wishes`` has one row a slot: replicas per base and quantile;
    ``asked`` the same per setting, held. Sums are forgotten with ``FORGETTING_S``."""

    at_s: tuple[float, ...] = ()
    wishes: tuple[array[int], ...] = ()
    asked: tuple[array[int], ...] = ()
    backlog: tuple[float, ...] = (0.0,) * len(SETTINGS)
    cost: tuple[float, ...] = (0.0,) * len(SETTINGS)
    late: tuple[float, ...] = (0.0,) * len(SETTINGS)
    starts: tuple[float, ...] = (0.0,) * len(SETTINGS)
    due: tuple[int, ...] = ()  # replicas that each slot's demand needed
    ideal: float = 0.0  # replica-seconds that foresight would have cost
    arrived: float = 0.0
    lasted: float = 0.0
    watched_s: float = 0.0
    chosen: int = FIRST

    @property
    def setting(self) -> Setting:
        return SETTINGS[self.chosen]

    @property
    def hold_s(self) -> float:
        return HOLDS_S[self.setting.hold]

    def held(self, now_s: float) -> int:
        """The most replicas the chosen setting wished for within its hold time."""
        column = self.setting.base * len(LEVELS) + self.setting.boldness
        first = bisect_left(self.at_s, now_s - self.hold_s)
        return max((row[column] for row in self.wishes[first:]), default=0)

    def converted(self, factor: float) -> Shadows:
        """The same, counted in replicas of which ``factor`` times as many are needed."""

        def whole(counts: Iterable[int]) -> list[int]:
            return [math.ceil(min(_MOST, count * factor) - 1e-6) for count in counts]

        def scaled(sums: Iterable[float]) -> tuple[float, ...]:
            return tuple(one * factor for one in sums)

        return replace(
            self,
            wishes=tuple(array("I", whole(row)) for row in self.wishes),
            asked=tuple(array("I", whole(row)) for row in self.asked),
            backlog=scaled(self.backlog),
            cost=scaled(self.cost),
            late=scaled(self.late),
            starts=scaled(self.starts),
            due=tuple(whole(self.due)),
            ideal=self.ideal * factor,
            arrived=self.arrived * factor,
        )

    def after(
        self,
        at_s: float,
        demand: float,
        forecast: Forecast,
        fleet: Fleet,
        cold_start_s: float,
        lag_s: float,
        slack_s: float,
        trim: float,
        least: int,
        most: int,
        allowed: float,
    ) -> Shadows:
        """With one more slot; ``slack_s`` is how long a request may wait and still be in time,
        ``lag_s`` how much later than ``at_s`` this is."""
        played = self._played(at_s, demand * trim, fleet, cold_start_s, lag_s, slack_s)
        keep = at_s - max(HOLDS_S[-1], 1.3 * cold_start_s) - _LONGEST_SLOT_S
        drop = bisect_left(played.at_s, keep)
        due = max(least, fleet.needed(_TIGHT * demand * trim, most))
        level = forecast.level[-1]
        wishes = array(
            "I",
            [
                fleet.needed(forecast.expected(base, boldness, level) * trim, most)
                for base in range(BASES)
                for boldness in range(len(LEVELS))
            ],
        )
        times = (*played.at_s[drop:], at_s)
        rows = (*played.wishes[drop:], wishes)
        held = [
            list(map(max, zip(*rows[bisect_left(times, at_s - hold_s) :], strict=True)))
            for hold_s in HOLDS_S
        ]
        asked = array(
            "I", [max(least, one) for column in zip(*held, strict=True) for one in column]
        )
        return Shadows(
            times,
            rows,
            (*played.asked[drop:], asked),
            played.backlog,
            played.cost,
            played.late,
            played.starts,
            (*played.due[drop:], due),
            played.ideal,
            played.arrived,
            played.lasted,
            played.watched_s,
            played._best(forecast, allowed, fleet, cold_start_s),
        )

    def _played(
        self,
        at_s: float,
        demand: float,
        fleet: Fleet,
        cold_start_s: float,
        lag_s: float,
        slack_s: float,
    ) -> Shadows:
        if not self.at_s:
            return self
        seconds = min(_LONGEST_SLOT_S, max(0.0, at_s - self.at_s[-1]))
        keep = math.exp(-seconds / FORGETTING_S)
        # A replica is ready when it has been wanted all through a cold start, before the middle of
        # the slot.
        end = max(1, bisect_right(self.at_s, at_s - 1e-3))
        since_s = at_s - seconds / 2 - lag_s - 1.05 * cold_start_s
        start = min(end - 1, bisect_left(self.at_s, since_s))
        ready = list(map(min, zip(*self.asked[start:end], strict=True)))
        early = min(end - 1, bisect_left(self.at_s, at_s - _FORESIGHT * cold_start_s))
        lost = {c: fleet.late_share(demand, c) for c in set(ready)}
        backlog, late = [], []
        for c, waiting, sum_late in zip(ready, self.backlog, self.late, strict=True):
            waiting = 0.0 if fleet.reject else max(0.0, waiting + (demand - c) * seconds)
            share = lost[c]
            if waiting > 0.5 * slack_s * c:
                share = max(share, min(1.0, waiting / (slack_s * c)))
            backlog.append(waiting)
            late.append(sum_late * keep + share * demand * seconds)
        asked, before = self.asked[-1], self.asked[max(-2, -len(self.asked))]
        return Shadows(
            self.at_s,
            self.wishes,
            self.asked,
            tuple(backlog),
            tuple(paid * keep + now * seconds for paid, now in zip(self.cost, asked, strict=True)),
            tuple(late),
            tuple(
                started * keep + max(0, now - then)
                for started, now, then in zip(self.starts, asked, before, strict=True)
            ),
            self.due,
            self.ideal * keep + seconds * max(self.due[early:]),
            self.arrived * keep + demand * seconds,
            self.lasted * keep + seconds,
            self.watched_s + seconds,
            self.chosen,
        )

    def _best(self, forecast: Forecast, allowed: float, fleet: Fleet, cold_start_s: float) -> int:
        if self.watched_s < _TRIAL_S or min(self.arrived, self.ideal) <= 0:
            return self.chosen
        hopeless = _HOPELESS * fleet.late
        dear = _DEAR * self.ideal + _GRACE * self.lasted
        rise_unseen = _UNSEEN_RISE if fleet.reject else _UNSEEN_RISE_QUEUED
        fear_s = max(_UNSEEN_S, _UNSEEN_COLD_STARTS * cold_start_s)
        share = min(_MOST_UNSEEN, _UNSEEN_SHARE * exposure(cold_start_s, fleet.reject))
        unseen = share * fear_s / (fear_s + self.watched_s)
        feared = [
            unseen * max(0.0, 1 - rise / rise_unseen)
            for rises in forecast.rises
            for rise in rises
            for _ in HOLDS_S
        ]
        shares = [
            late / self.arrived + f for late, f in zip(smoothed(self.late), feared, strict=True)
        ]
        untried = _UNTRIED_S / (_UNTRIED_S + self.watched_s)
        regret = [
            (paid + _CHURN_S * started) / self.ideal
            + _DEARER * max(0.0, paid - dear) / self.ideal
            + _penalty(share - allowed, hopeless)
            + _PREFERENCE * share
            + untried * _UNTRIED[setting.hold]
            for paid, started, share, setting in zip(
                self.cost, self.starts, shares, SETTINGS, strict=True
            )
        ]
        best = min(range(len(regret)), key=regret.__getitem__)
        return best if regret[best] < regret[self.chosen] - _WORTH_SWITCHING else self.chosen


def smoothed(late: Sequence[float]) -> list[float]:
    """Each setting's lateness, with some of what the next bolder ones would have had: one that was
    lucky stands between two that were not."""
    found = []
    for number, own in enumerate(late):
        hold, level = number % _HOLDS, number // _HOLDS % len(LEVELS)
        bolder = max(0.0, 2 * own - late[number + _HOLDS]) if level == 0 else late[number - _HOLDS]
        shorter = own if hold == 0 else late[number - 1]
        found.append(own + _LUCK * (max(0.0, bolder - own) + max(0.0, shorter - own)))
    return found


def _penalty(over: float, hopeless: float) -> float:
    """What lateness over the budget weighs against cost."""
    if over <= 0:
        return 0.0
    return _PENALTY * min(over, hopeless) + _HOPELESS_PENALTY * max(0.0, over - hopeless)
