"""One story's points, one after another: act, cut the operator off, start a fresh one, wait, look.

The operator that recovered from one point is the one that is cut off at the next. Every point has
a service of its own, all of one length of name, so that nothing waits for an earlier one to go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.bench.client import DEPLOYMENTS, PODS, SERVER, Client, Object, is_ready, tls
from e2e.bench.crash import oracle
from e2e.bench.crash.proxy import CutProxy
from e2e.bench.crash.stories import Story
from e2e.bench.operator import Operator
from e2e.testbed import Cluster, TestbedError

# Longer than any write that the operator puts off: the status waits 2 s at most.
# Longer than two looks at the servers: after a restart the first only starts the counting, and the
# decision that follows the second is what an undisturbed run ends with.
_QUIET_S = 7.0
_SETTLE_S = 60.0
_REFERENCES = 2
_CHILDREN = {
    "Deployment": DEPLOYMENTS,
    "Service": "/api/v1/namespaces/{}/services",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
}


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the operator is cut off."""

    at: int
    """After this many writes; 0: before the first, before anything was asked."""
    lose_answer: bool = False

    def __str__(self) -> str:
        if not self.at:
            return "down before it"
        return f"write {self.at}, {'answer lost' if self.lose_answer else 'answered'}"


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the story: undisturbed when `cut` is None."""

    story: Story
    cut: Cut | None
    name: str
    from_s: float
    until_s: float
    writes: tuple[str, ...]
    """The counted ones, of the operator that was cut off."""
    state: oracle.State
    failure: str = ""
    """Why there is no end state: it did not settle, or the operator did not start."""
    reached: bool = True
    """False: this time the story needed fewer writes, and nobody was killed."""


class Lane:
    """One story in its own namespace, with its own operator and its own way to the API server."""

    def __init__(
        self, cluster: Cluster, story: Story, port: int, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._story = story
        self._say = say
        self._proxy = CutProxy(SERVER, tls(cluster), port, self._kill)
        log = folder / f"operator-crash-{story.name}.log"
        log.unlink(missing_ok=True)
        self._operator = Operator(
            cluster,
            server=self._proxy.address,
            namespace=story.namespace,  # its Lease, too: lanes must not elect one another
            serves=[story.namespace],
            port=port + 1,
            log=log,
            log_level="debug",
        )
        self._client = Client(cluster)
        self._next = 0

    def _kill(self) -> None:
        if self._operator.process is not None:
            self._operator.process.kill()

    async def run(self) -> list[Run]:
        """Undisturbed runs first, which tell how many points there are; then all points."""
        story = self._story
        async with self._client as client, self._proxy:
            await client.namespace(story.namespace)
            try:
                await self._start()
                references = await self._all([None] * _REFERENCES)
                writes = max(len(one.writes) for one in references)
                cuts = [Cut(at, lost) for at in range(1, writes + 1) for lost in (False, True)]
                self._say(f"{story.name}: {writes} writes, {len(cuts) + 1} points")
                return references + await self._all([Cut(0), *cuts])
            finally:
                await asyncio.to_thread(self._operator.kill)

    async def _all(self, cuts: Sequence[Cut | None]) -> list[Run]:
        names = [f"c{self._next + i:03}" for i in range(len(cuts))]
        self._next += len(cuts)
        if self._story.before is not None:
            for name in names:
                await self._client.create(
                    self._story.path(), self._story.manifest(name, self._story.before)
                )
            replicas = self._story.before.get("replicas") or self._story.before["minReplicas"]
            for name in names:
                await self._settled(name, replicas)
        return [await self._one(cut, name) for cut, name in zip(cuts, names, strict=True)]

    async def _one(self, cut: Cut | None, name: str) -> Run:
        story, failure, reached = self._story, "", True
        state: oracle.State = {}
        from_s = time.time()
        try:
            reached = await self._disturbed(cut, name)
            await self._settled(name, story.replicas)
            state = await self._look(name)
        except (TestbedError, TimeoutError) as error:
            failure = f"{type(error).__name__}: {error}"
        writes = tuple(self._proxy.writes)
        done = Run(story, cut, name, from_s, time.time(), writes, state, failure, reached)
        if story.replicas:
            # Make room: its pods hold GPUs.
            await self._client.delete(story.path(name))
        if failure:
            self._say(f"{story.name}, {cut or 'undisturbed'}: {failure}")
            await self._start()
        return done

    async def _disturbed(self, cut: Cut | None, name: str) -> bool:
        """The story up to the cut, and a fresh operator after it. False: it came to no cut."""
        story = self._story
        if cut is None or cut.at == 0:
            self._proxy.arm(name)
            if cut is not None:
                await asyncio.to_thread(self._operator.kill)
            await story.act(self._client, story, name)
            if cut is None:
                return True
        else:
            self._proxy.arm(name, cut.at, lose_answer=cut.lose_answer)
            await story.act(self._client, story, name)
            if not await self._cut_before_settled(name):
                return False
        await self._start()
        return True

    async def _cut_before_settled(self, name: str) -> bool:
        cut = asyncio.ensure_future(self._proxy.cut.wait())
        settled = asyncio.ensure_future(self._settled(name, self._story.replicas))
        done, waiting = await asyncio.wait({cut, settled}, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if cut not in done:
            settled.result()  # raises when it came to neither
        return cut in done

    async def _start(self) -> None:
        """A fresh operator, that nothing cuts off."""
        await asyncio.to_thread(self._operator.kill)
        writes = self._proxy.writes
        self._proxy.arm("")
        self._proxy.writes = writes
        await asyncio.to_thread(self._operator.start)

    # --- the end ----------------------------------------------------------------------------------

    async def _settled(self, name: str, replicas: int) -> None:
        """Wait until the service is as it will stay, and no write came for a while.

        Raises TimeoutError.
        """
        story = self._story
        selected = f"?labelSelector=conch.dev%2Fservice%3D{name}"
        pods = PODS.format(story.namespace) + selected
        async with asyncio.timeout(_SETTLE_S):
            while True:
                if replicas:
                    await self._client.until(
                        f"{story.path()}?fieldSelector=metadata.name%3D{name}",
                        lambda there: name in there and _stays(there[name], replicas),
                    )
                await self._client.until(
                    pods,
                    lambda there: (
                        len(there) == replicas
                        and not any("deletionTimestamp" in p["metadata"] for p in there.values())
                    ),
                )
                if not replicas:
                    # Every object that is made has the service's name.
                    for path in (story.path(), *_CHILDREN.values()):
                        one = f"{path.format(story.namespace)}?fieldSelector=metadata.name%3D{name}"
                        await self._client.until(one, lambda there: not there)
                quiet_s = time.monotonic() - self._proxy.wrote_at_s
                if quiet_s >= _QUIET_S:
                    return
                await asyncio.sleep(_QUIET_S - quiet_s)

    async def _look(self, name: str) -> oracle.State:
        story = self._story
        services = await self._client.items(story.path())
        found = [("InferenceService", s) for s in services if s["metadata"]["name"] == name]
        for kind, path in _CHILDREN.items():
            selected = f"{path.format(story.namespace)}?labelSelector=conch.dev%2Fservice%3D{name}"
            found += [(kind, one) for one in await self._client.items(selected)]
        state: oracle.State = {}
        for kind, one in found:
            state |= oracle.flat(f"{kind} {one['metadata']['name']}", _without_status(one), name)
        told: list[Any] = await self._client.items(f"/api/v1/namespaces/{story.namespace}/events")
        return state | oracle.events(told, name)


def _stays(service: Object, replicas: int) -> bool:
    status = service.get("status", {})
    still = {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}
    return (
        is_ready(service)
        and "Reconciling" not in still
        and bool(status.get("readyReplicas") == replicas)
    )


def _without_status(obj: Object) -> Object:
    """Children's status is the cluster's affair; an InferenceService's is ours."""
    if obj.get("kind", "") == "InferenceService" or "models" in obj["spec"]:
        return obj
    return {k: v for k, v in obj.items() if k != "status"}
