"""What every case shares: a cluster, an operator process in it, and a healthy neighbour.

The operator runs inside the cluster's network, as the pods do, so that it can scrape them. Cases
run side by side on one event loop; a test waits for its own and fails with its error.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from conch.kube.transport import Api, path
from conch.kube.views import Object
from conch.observe.types import Key
from e2e.testbed import Cluster
from e2e.testbed.images import operator, triton
from tests.e2e.room import POD_S, Room, Shared, condition

T = TypeVar("T")

REPOSITORY = Path(__file__).parents[2]
CONCH = Path(sys.executable).with_name("conch")
NEIGHBOUR = Key("neighbour", "healthy")
DRAIN_S = 3
# So many cases at a time: each starts a few containers, and what is measured is the operator.
_AT_ONCE = int(os.environ.get("CONCH_E2E_AT_ONCE", "4"))

SETTINGS = {
    "CONCH_TRITON_IMAGE": triton.TAG,
    "CONCH_TRITON_RELEASE": "24.10",
    "CONCH_FETCH_IMAGE": operator.TAG,
    "CONCH_ALLOW_PRIVATE_HOSTS": "true",
    "CONCH_DRAIN_S": str(DRAIN_S),
    # A rendered pod waits this long for a server that hangs while it loads.
    "CONCH_STARTUP_BUDGET_S": "600",
    "CONCH_LEASE_DURATION_S": "6",
    "CONCH_LEASE_RENEW_DEADLINE_S": "4",
    "CONCH_LEASE_RETRY_S": "1",
    "CONCH_LOG_LEVEL": "info",
}


class Operator:
    """The operator as a process; its log is kept over restarts."""

    def __init__(self, cluster: Cluster, log: Path, **more: str) -> None:
        self._cluster = cluster
        self._log = log
        self._more = more  # of its environment
        self._started_at = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None

    def start(self) -> None:
        """Start it; it acts as soon as it has the Lease."""
        environment = {**self._cluster.environment(), **SETTINGS, **self._more}
        with self._log.open("ab") as log:
            self._started_at = log.tell()
            self._process = self._cluster.popen(
                [CONCH, "run", "--kubeconfig", self._cluster.inner_kubeconfig],
                env=environment,
                stderr=log,
                stdout=log,
            )

    def kill(self) -> None:
        """As a crash would: nothing is said to anybody, the Lease stays taken."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """It stands still, as on a machine that does."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """It goes on where it stood."""
        self._signal(signal.SIGCONT)

    def ended(self, within_s: float) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(within_s)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def alive(self) -> None:
        """It did not end by itself."""
        ended = self._process is not None and self._process.poll() is not None
        assert not ended, f"the operator ended:\n{self.log()[-4000:]}"

    def check(self) -> None:
        """It lives, and nothing went wrong that nobody foresaw."""
        self.alive()
        failures = [line for line in self.log().splitlines() if _is_error(line)]
        assert not failures, "\n".join(failures)[-4000:]

    def log(self) -> str:
        """All of it."""
        return self._log.read_text(errors="replace")

    def acts(self) -> bool:
        """Whether the process that runs now has the Lease and knows the cluster."""
        return b"all caches are synced" in self._log.read_bytes()[self._started_at :]

    def wait_until_it_acts(self, within_s: float = 60.0) -> None:
        """Wait until it leads; it says so in its log."""
        deadline = time.monotonic() + within_s
        while not self.acts():
            self.check()
            assert time.monotonic() < deadline, self.log()[-4000:]
            time.sleep(0.2)


def _is_error(line: str) -> bool:
    try:
        return bool(json.loads(line)["level"] == "error")
    except (ValueError, KeyError, TypeError):
        return "Traceback" in line


class Bed:
    """The running whole. `run` is how tests, which are not asynchronous, reach it."""

    def __init__(self, cluster: Cluster, log: Path) -> None:
        self.cluster = cluster
        self.operator = Operator(cluster, log)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cases", daemon=True)
        self._thread.start()
        self.api: Api = self.run(Api.connect(cluster.kubeconfig))
        self.shared = Shared(self.api, cluster, self.operator.alive)
        self.turns: asyncio.Semaphore = self.run(_semaphore())
        self._healthy: dict[str, Any] = {}
        self._store = cluster.popen(
            [sys.executable, "-m", "tests.e2e.store"],
            cwd=REPOSITORY,
            env={**cluster.environment(), "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'operator'}"},
        )

    def submit(self, job: Coroutine[Any, Any, T]) -> Any:
        """Start ``job``; the future's result() waits for it."""
        return asyncio.run_coroutine_threadsafe(job, self._loop)

    def run(self, job: Coroutine[Any, Any, T]) -> T:
        """Wait for ``job``."""
        result: T = self.submit(job).result()
        return result

    def close(self) -> None:
        self._store.kill()
        self._store.wait()
        self.run(self.api.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def another(self, log: Path, **environment: str) -> Operator:
        """A second replica of the operator, not started yet."""
        ports = {"CONCH_PROBE_PORT": "0", "CONCH_METRICS_PORT": "0"}
        return Operator(self.cluster, log, **ports, **environment)

    def room(self, name: str) -> Room:
        """A case's own namespace."""
        return Room(self.shared, name)

    async def settle(self) -> None:
        """The neighbour serves, and from now on must not be touched."""
        room = self.room(NEIGHBOUR.namespace)
        await room.enter()
        await room.create(NEIGHBOUR.name)
        await room.ready(NEIGHBOUR.name, within_s=120)
        # It started alone; the cases start several side by side.
        self.shared.pod_s = max(POD_S, 4 * self.shared.times[-1][2])
        self._healthy = await self._neighbour()

    async def unharmed(self) -> None:
        """The operator lives without an error; the neighbour serves as it did."""
        self.operator.check()
        assert await self._neighbour() == self._healthy

    async def _neighbour(self) -> dict[str, Any]:
        pods = await self.api.list(path("v1", "pods", NEIGHBOUR.namespace))
        service = await self.room(NEIGHBOUR.namespace).get(NEIGHBOUR.name)
        # Numbers may move; what a person waits for may not.
        kept = ("Ready", "Stalled", "Accepted", "Placed", "Applied", "Available")
        return {
            "pods": [(p["metadata"]["uid"], _restarts(p)) for p in pods],
            "conditions": {
                t: (c.get("status"), c.get("lastTransitionTime"))
                for t in kept
                if (c := condition(service, t)) is not None
            },
        }


def _restarts(pod: Object) -> list[int]:
    return [c["restartCount"] for c in pod["status"].get("containerStatuses", [])]


async def _semaphore() -> asyncio.Semaphore:
    return asyncio.Semaphore(_AT_ONCE)
