"""Leader election on a coordination.k8s.io/v1 Lease.

Decides whether this process leads. Time is this process's monotonic clock alone: a foreign lease
is expired when *we* saw no change of it for its duration, never by comparing clocks of two hosts.
It must not stop anybody's work: it says `lost`, and the one writer asks `still_leader()` before
each write, because a process that was paused learns of its loss only after it has gone on.

The rules are client-go's (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection); the margin
between `renew_deadline_s` and `duration_s` is what keeps two leaders from overlapping.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from conch.errors import ApiError, ApiUnreachable, Conflict, NotFound
from conch.kube.transport import Api, path

_log = logging.getLogger(__name__)

_RELEASE_S = 5.0  # giving back may take this long; after that the Lease simply expires


class Elector:
    """One candidate. `run()` acquires, keeps, and on cancellation gives the Lease back.

    `identity` must be this living process's alone; one that a dead process left behind (a restarted
    container of the same pod) takes its Lease over at once.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration_s: float = 15.0,
        renew_deadline_s: float = 10.0,
        retry_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not retry_s < renew_deadline_s < duration_s:
            raise ValueError("retry_s < renew_deadline_s < duration_s must hold")
        self.is_leader = asyncio.Event()
        self.lost = asyncio.Event()
        """Set once when leadership was held and is no more; this elector does not run again."""
        self.holder = ""
        """Who holds the Lease, as far as we have seen."""
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration_s = duration_s
        self._renew_deadline_s = renew_deadline_s
        self._retry_s = retry_s
        self._clock = clock
        self._renewed_at = float("-inf")  # when the last successful renewal was *sent*
        self._seen: tuple[str, str] | None = None  # uid and resourceVersion of a foreign lease
        self._seen_at = 0.0
        self._lease: dict[str, Any] | None = None  # as the server returned our last claim
        self._claimed: deque[str] = deque(maxlen=16)  # renewTimes we sent, answered or not

    def still_leader(self) -> bool:
        """Whether a write started now is covered by the Lease. Ask before every write."""
        return self.is_leader.is_set() and self._left_s() > 0

    async def run(self) -> None:
        """Wait for leadership, keep it, return when it is lost.

        Cancel it only after the writers have stopped: it then frees the Lease for the next one.
        """
        try:
            await self._acquire()
            self.is_leader.set()
            _log.info("leading as %s", self._identity)
            await self._keep()
            _log.warning("not leading any more; the lease is held by %r", self.holder)
        finally:
            led = self.is_leader.is_set()
            self.is_leader.clear()
            if led:
                self.lost.set()
                await self._release()

    async def _acquire(self) -> None:
        while True:
            if await self._attempt():
                return
            # Candidates that start together must not collide for ever.
            await asyncio.sleep(self._retry_s * random.uniform(1.0, 1.2))

    async def _keep(self) -> None:
        """Renew until somebody else holds the Lease or the deadline has passed."""
        while self.holder == self._identity and (left_s := self._left_s()) > 0:
            await asyncio.sleep(min(self._retry_s, left_s))
            if self._left_s() > 0:  # else we were paused: not one more byte as leader
                await self._attempt()

    def _left_s(self) -> float:
        return self._renewed_at + self._renew_deadline_s - self._clock()

    async def _attempt(self) -> bool:
        """Take or renew the Lease if that is possible now. True: we hold it."""
        # Half the deadline: a connection that went dead leaves time for a second one. And a request
        # must not outlive the deadline, or we would learn of our loss too late.
        limit_s = self._renew_deadline_s / 2
        if self.is_leader.is_set():
            limit_s = min(limit_s, self._left_s())
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    fresh = self._lease is None
                    try:
                        return await self._claim()
                    except NotFound:  # deleted under us: make it again
                        self._lease = None
                        if fresh:
                            raise
                    except Conflict:
                        self._lease = None
                        if fresh:  # somebody was faster than our GET and PUT
                            return False
                        # Our copy was old, perhaps by a write of ours whose answer got lost: look.
        except (ApiError, ApiUnreachable, TimeoutError) as error:
            reason = str(error) or f"no answer within {limit_s:.1f} s"
            _log.warning("lease %s/%s: %s", self._namespace, self._name, reason)
            return False

    async def _claim(self) -> bool:
        """Write our claim over the Lease as we know it; False when another one holds it."""
        lease = self._lease
        if lease is None:
            try:
                lease = await self._api.get(self._path())
            except NotFound:
                lease = None
            if lease is not None and not self._is_free(lease):
                return False
        sent_at = self._clock()
        self._lease = await (self._create() if lease is None else self._replace(lease))
        self._renewed_at = sent_at
        self.holder = self._identity
        return True

    def _is_free(self, lease: dict[str, Any]) -> bool:
        """Whether it is ours, given back, or was watched unchanged for its holder's duration."""
        spec = lease.get("spec") or {}
        self.holder = str(spec.get("holderIdentity") or "")
        if not self.holder:
            return True
        if self.holder == self._identity:
            if not self.is_leader.is_set() or spec.get("renewTime") in self._claimed:
                return True
            self.holder = f"another process that calls itself {self._identity}"
            return False
        now = self._clock()
        seen = (lease["metadata"]["uid"], lease["metadata"]["resourceVersion"])
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        return now - self._seen_at >= float(spec.get("leaseDurationSeconds") or self._duration_s)

    async def _replace(self, lease: dict[str, Any]) -> dict[str, Any]:
        spec = lease.get("spec") or {}
        taken = spec.get("holderIdentity") != self._identity
        transitions = int(spec.get("leaseTransitions") or 0) + int(taken)
        claim = {**spec, **self._spec(taken), "leaseTransitions": transitions}
        return await self._api.put(self._path(), {**lease, "spec": claim})

    async def _create(self) -> dict[str, Any]:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {**self._spec(taken=True), "leaseTransitions": 0},
        }
        collection = path("coordination.k8s.io/v1", "leases", self._namespace)
        return await self._api.create(collection, lease)

    def _spec(self, taken: bool) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._claimed.append(now)
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._duration_s),
            "renewTime": now,  # for people, and to tell our own writes
        }
        return {**spec, "acquireTime": now} if taken else spec

    async def _release(self) -> None:
        """Empty the Lease so that the next one need not wait for it to expire."""
        if self._lease is None or self.holder != self._identity:
            return
        spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            async with asyncio.timeout(_RELEASE_S):
                await self._api.put(self._path(), {**self._lease, "spec": spec})
        except (ApiError, ApiUnreachable, TimeoutError) as error:
            _log.info("the lease was not given back, it will expire: %s", str(error) or "no answer")

    def _path(self) -> str:
        return path("coordination.k8s.io/v1", "leases", self._namespace, self._name)
