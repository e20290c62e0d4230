"""What the kubelet's probes are told: whether the operator is stuck, or cannot know enough to act.

Each check gives what is wrong in words, or None. It reads what others count, and mends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from conch.kube.reflector import WATCH_S
from conch.wiring.watches import Mirror

# Silence longer than this from the API server makes a process unready. Longer than a watch lives:
# that of events says nothing before its end.
SILENCE_S: Final = 1.2 * WATCH_S + 60.0
STUCK_S: Final = 120.0  # a loop that has not turned for as long makes it dead


class Health:
    """``now`` is the event loop's clock, which is the monotonic one."""

    def __init__(
        self,
        mirrors: Sequence[Mirror],
        reconciling_silent_s: Callable[[], float],
        last_scaling_s: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._mirrors = mirrors
        self._reconciling_silent_s = reconciling_silent_s
        self._last_scaling_s = last_scaling_s
        self._now = now

    def silent(self) -> str | None:
        """A watch of which nothing was heard for longer than the server keeps one open."""
        now = self._now()
        quiet = [m.name for m in self._mirrors if now - m.last_contact_s > SILENCE_S]
        return f"no word from the API server about {', '.join(quiet)}" if quiet else None

    def unsynced(self) -> str | None:
        """A cache that was not filled yet."""
        missing = [m.name for m in self._mirrors if not m.synced.is_set()]
        return f"not synced yet: {', '.join(missing)}" if missing else None

    def stuck(self) -> str | None:
        """A loop that no longer turns. An event loop that does not answers no probe at all."""
        if self._reconciling_silent_s() > STUCK_S:
            return "no reconcile has ended for two minutes"
        last_s = self._last_scaling_s()
        if last_s and self._now() - last_s > STUCK_S:
            return "scaling has looked at nothing for two minutes"
        return None
