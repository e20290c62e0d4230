"""Where a service's signals come from: its pods, or a Prometheus while they cannot be reached.

Decides per service. Pods answer sooner and say more (executions per batch size), so they come
first and are tried again; Prometheus is asked only when their metrics cannot even be asked for: a
pod that answers nonsense, or hangs, is no reason to believe somebody else about it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from conch.observe.types import Key, PodSample, ScalingPolicy
from conch.settings import Settings
from conch.triton.prometheus import Prometheus

logger = logging.getLogger(__name__)

_ROUNDS = 5  # in a row in which most pods were out of reach
_AGAIN_S = 30.0  # between two tries to reach them after that

Samples = tuple[PodSample, ...]


@dataclass(slots=True)
class _Reach:
    failed: int = 0  # rounds in a row
    tried_s: float = 0.0


def open_prometheus(settings: Settings) -> Prometheus | None:
    """The Prometheus that the settings name, None without one."""
    if not settings.prometheus_url:
        return None
    return Prometheus(
        settings.prometheus_url,
        settings.scrape_timeout_s,
        settings.prometheus_token_file,
        settings.prometheus_ca_file,
    )


class Sources:
    """By the service's uid: a namesake starts anew."""

    def __init__(self, settings: Settings) -> None:
        self._wanted = settings.scrape_source
        self._prometheus = open_prometheus(settings) if self._wanted != "Pods" else None
        self._reach: dict[str, _Reach] = {}

    def keep(self, living: Collection[str]) -> None:
        """Forget all services but these."""
        for uid in self._reach.keys() - set(living):
            del self._reach[uid]

    async def aclose(self) -> None:
        """End connections."""
        if self._prometheus is not None:
            await self._prometheus.aclose()

    async def look(
        self,
        key: Key,
        uid: str,
        pods: Mapping[str, str],
        policy: ScalingPolicy,
        before: Mapping[str, PodSample],
        now: Callable[[], float],
        directly: Callable[[], Awaitable[Sequence[PodSample]]],
    ) -> Samples:
        """One sample for each of ``pods`` (uid by name); ``directly`` looks at the pods."""
        if self._prometheus is None or not pods:
            return tuple(await directly())
        reach = self._reach.setdefault(uid, _Reach())
        samples: Samples = ()
        if self._wanted == "Auto":
            away = reach.failed >= _ROUNDS
            if not away or now() - reach.tried_s >= _AGAIN_S:
                reach.tried_s = now()
                samples = tuple(await directly())
                if 2 * sum(s.unreachable for s in samples) <= len(samples):
                    if away:
                        logger.info("%s: its pods can be reached again", key)
                    reach.failed = 0
                    return samples
                reach.failed += 1
                if reach.failed < _ROUNDS:
                    return samples
                if reach.failed == _ROUNDS:
                    logger.warning(
                        "%s: its pods cannot be reached (%s): asking Prometheus from now on",
                        key,
                        next(s.error for s in samples if s.unreachable),
                    )
        return await self._prometheus.look(
            key.namespace, pods, policy.models, policy.percentile, now, before
        )
