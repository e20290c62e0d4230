"""How long a request may wait in a server's queue before it is rejected (objectives: rejectLate).

A change of the limit is a new configuration and restarts every server, so it is kept while it is
about right, and then changed together with something else or seldom. What was chosen, for which
target and since when, is noted on the Deployment; a note that cannot be read is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from conch.api import names
from conch.observe.durations import seconds
from conch.observe.state import Observation
from conch.render import QueueLimit

_GUESS: Final = 0.5  # of the target, as long as the service time is not known
_NEW: Final = 0.2  # a limit this far off (as a share of it) is worth a rollout
_REST_S: Final = 6 * 3600.0  # between two rollouts for it
_GUESS_REST_S: Final = 600.0  # a guess goes as soon as something is known for sure
_NOTE: Final = re.compile(r"([0-9]{1,10})us of ([0-9]{1,10})us (guessed|measured) since (\S{1,40})")


@dataclass(frozen=True, slots=True)
class _Note:
    wait_us: int
    target_us: int
    guessed: bool
    since: str

    def limit(self) -> QueueLimit:
        origin = "guessed" if self.guessed else "measured"
        text = f"{self.wait_us}us of {self.target_us}us {origin} since {self.since}"
        return QueueLimit(self.wait_us, text)


def judge(obs: Observation) -> tuple[QueueLimit, QueueLimit] | tuple[None, None]:
    """The limit for servers that are not changed otherwise, and for those that are.

    The two differ while the one that is in force is not quite right, but good enough.
    """
    if obs.service is None or not obs.service.spec.objectives.latency.reject_late:
        return None, None
    target_us = max(1, round(seconds(obs.service.spec.objectives.latency.target) * 1e6))
    newest = _newest(obs, target_us)
    before = _live(obs)
    if before is None or before.target_us != target_us:
        return newest.limit(), newest.limit()
    if newest.guessed or newest.wait_us == before.wait_us:
        return before.limit(), before.limit()
    off = abs(newest.wait_us - before.wait_us) > _NEW * before.wait_us
    rest_s = _GUESS_REST_S if before.guessed else _REST_S
    kept = newest if off and _age_s(before, obs.now) >= rest_s else before
    return kept.limit(), newest.limit()


def _newest(obs: Observation, target_us: int) -> _Note:
    decision = obs.decision
    if decision is None or decision.reject_after_s is None:
        return _Note(max(1, round(_GUESS * target_us)), target_us, True, obs.now)
    # Whole milliseconds, where that is precise enough to read.
    wait_us = round(decision.reject_after_s * 1e6)
    wait_us = round(wait_us, -3) if wait_us >= 10_000 else wait_us
    return _Note(min(max(1, wait_us), target_us), target_us, False, obs.now)


def _live(obs: Observation) -> _Note | None:
    deployment = obs.deployment
    if deployment is None:
        return None
    text = (deployment["metadata"].get("annotations") or {}).get(names.ANNOTATION_QUEUE_LIMIT, "")
    match = _NOTE.fullmatch(text)
    if match is None or not 0 < int(match[1]) <= int(match[2]):
        return None
    return _Note(int(match[1]), int(match[2]), match[3] == "guessed", match[4])


def _age_s(note: _Note, now: str) -> float:
    try:
        since = datetime.fromisoformat(note.since)
        return (datetime.fromisoformat(now) - since).total_seconds()
    except (ValueError, TypeError):
        return float("inf")  # written by somebody else: replaced at the next occasion
