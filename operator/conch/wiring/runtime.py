"""Start and stop, in order: probes, watches, election; on the leader also the loops and kopf.

A leader that loses the Lease ends the process: the kubelet starts it again as a standby, and no
half-stopped loop can write. Standbys keep warm copies, so taking over is fast.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import kopf

from conch.api import names
from conch.grid import sources
from conch.grid.intensity import Kind
from conch.kube.credentials import Credentials
from conch.kube.lease import Elector
from conch.kube.transport import Api
from conch.observe.state import ClusterState
from conch.reconcile.activators import ActivatorLoop
from conch.reconcile.apply import RateLimit, Writer
from conch.reconcile.controller import Controller
from conch.reconcile.energy import EnergyLoop
from conch.reconcile.footprints import Footprints
from conch.reconcile.placement import PlacementLoop
from conch.reconcile.queue import WorkQueue
from conch.reconcile.scaling import ScalingLoop
from conch.reconcile.sources import open_prometheus
from conch.settings import Settings
from conch.telemetry import logs
from conch.telemetry.catalog import Metrics
from conch.telemetry.server import serve
from conch.wiring import census, handlers
from conch.wiring.changes import Changes
from conch.wiring.health import Health
from conch.wiring.watches import watches

logger = logging.getLogger(__name__)

LEASE_NAME = names.LEADER_LEASE
_GRACE_S = 15.0


def run(settings: Settings, *, kubeconfig: Path | None = None, context: str | None = None) -> int:
    """Run the operator until it is told to stop; returns the process's exit code.

    Raises SettingsError when the cluster cannot be reached with what was given, or the logs cannot
    be written as asked.
    """
    logs.configure(settings.log_level, settings.log_format)
    return asyncio.run(Operator(settings).run(kubeconfig, context))


class Operator:
    """One operator process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._state = ClusterState()
        first = settings.activator_first_port
        self._state.activation.ports = range(first, first + settings.activator_ports)
        self._stop = asyncio.Event()
        self._exit_code = 0

    async def run(self, kubeconfig: Path | None, context: str | None) -> int:
        """Everything, in order; every exit path releases the Lease and closes connections."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        credentials = await Credentials.find(kubeconfig, context)
        async with Api(credentials, on_write=self._count_write) as api:
            queue = WorkQueue(on_wait=self._metrics.queue_seconds.observe)
            footprints = Footprints(self._state, settings)
            placement = PlacementLoop(self._state, queue, settings, self._metrics, footprints)
            scaling = ScalingLoop(
                self._state, queue, settings, self._metrics, footprints, placement.trigger
            )
            energy = self._energy(queue, scaling, footprints)
            activators = ActivatorLoop(self._state.activation, scaling.wake)
            changes = Changes(
                self._state,
                queue,
                placement.trigger,
                settings.namespaces,
                activators,
                settings.operator_namespace,
            )
            mirrors = watches(api, changes, settings.namespaces)
            elector = self._elector(api)
            writer = Writer(
                api,
                RateLimit(settings.writes_per_s, settings.write_burst),
                elector.still_leader if elector else lambda: True,
            )
            controller = Controller(
                self._state,
                queue,
                writer,
                settings,
                self._metrics,
                on_lost=self._lost,
                replan=placement.trigger,
            )

            health = Health(
                mirrors, controller.silent_s, lambda: scaling.last_round_s, time.monotonic
            )
            runner = await serve(
                self._metrics,
                host=settings.bind_address,
                probe_port=settings.probe_port,
                metrics_port=settings.metrics_port,
                alive=[health.stuck],
                ready=[health.unsynced, health.silent],
                arrivals=scaling.arrivals,
                spending=energy.report,
            )
            tasks: list[asyncio.Task[None]] = []

            def start(name: str, job: Coroutine[Any, Any, None]) -> None:
                task = loop.create_task(job, name=name)
                task.add_done_callback(self._ended)
                tasks.append(task)

            self._handle_signals()
            start("restarts", self._count_restarts(mirrors))
            for mirror in mirrors:
                start(mirror.name, mirror.run())
            election: asyncio.Task[None] | None = None
            try:
                if elector is not None:
                    election = loop.create_task(elector.run(), name="election")
                    election.add_done_callback(self._ended)
                    if not await self._either(elector.is_leader.wait()):
                        return self._exit_code
                logger.info("acting as %s", settings.name)
                self._metrics.leader.set(1)
                for mirror in mirrors:
                    if not await self._either(mirror.synced.wait()):
                        return self._exit_code
                if not await self._either(
                    census.learn(api, self._state, queue, settings.namespaces)
                ):
                    return self._exit_code
                if not await self._either(scaling.memory.recall(api, settings.operator_namespace)):
                    return self._exit_code
                logger.info("all caches are synced")
                start("placement", placement.run())
                start("controller", controller.run())
                start("scaling", scaling.run())
                start("energy", energy.run())
                start("activators", activators.run())
                start("memory", scaling.memory.keep(writer, settings.operator_namespace))
                start(
                    "census",
                    census.keep(
                        api,
                        self._state,
                        queue,
                        placement.trigger,
                        settings.namespaces,
                        settings.resync_s,
                    ),
                )
                placement.trigger()
                await self._run_kopf(
                    handlers.Feed(self._state, queue, placement.hurry), credentials
                )
            finally:
                self._metrics.leader.set(0)
                queue.close()
                await _end(tasks)
                if election is not None:
                    # Last: the Lease is freed only when nothing of ours can write any more.
                    await _end([election])
                await runner.cleanup()
        return self._exit_code

    def _energy(self, queue: WorkQueue, scaling: ScalingLoop, footprints: Footprints) -> EnergyLoop:
        settings = self._settings
        grid = sources.Grid(
            sources.make(settings),
            settings.carbon_intensity_map,
            Kind(settings.carbon_kind or Kind.AVERAGE),
        )
        prometheus = open_prometheus(settings)
        return EnergyLoop(
            self._state,
            queue,
            settings,
            self._metrics,
            scaling.looks,
            grid,
            prometheus,
            footprints,
        )

    def _elector(self, api: Api) -> Elector | None:
        settings = self._settings
        if not settings.leader_election:
            return None
        return Elector(
            api,
            settings.operator_namespace,
            LEASE_NAME,
            settings.name,
            duration_s=settings.lease_duration_s,
            renew_deadline_s=settings.lease_renew_deadline_s,
            retry_s=settings.lease_retry_s,
        )

    async def _run_kopf(self, feed: handlers.Feed, credentials: Credentials) -> None:
        """kopf watches the custom resources until we stop; that it stops first is an error."""
        kopf_settings = kopf.OperatorSettings()
        handlers.settings(kopf_settings)
        namespaces = self._settings.namespaces
        ready = asyncio.Event()
        operator = asyncio.get_running_loop().create_task(
            kopf.operator(
                registry=handlers.registry(feed, credentials),
                settings=kopf_settings,
                # Used for peering only, and its default needs a user database.
                identity=cast(Any, self._settings.name),
                standalone=True,
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=self._stop,
                ready_flag=ready,
            ),
            name="kopf",
        )
        # kopf takes the signals when it starts; they are ours.
        waiter = asyncio.ensure_future(ready.wait())
        await asyncio.wait({operator, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        self._handle_signals()
        await asyncio.wait({operator})
        if not self._stop.is_set():
            error = None if operator.cancelled() else operator.exception()
            logger.error("kopf ended: %s", error or "without a reason")
            self._exit_code = 1

    # --- ends -------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    def _lost(self) -> None:
        if not self._stop.is_set():  # every worker tells it
            logger.error("the Lease is lost: ending, to start again as a standby")
        self._exit_code = 1
        self._stop.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A loop that ends by itself, the election by losing included, ends the process."""
        if task.cancelled() or self._stop.is_set():
            return
        error = task.exception()
        logger.error("%s ended: %s", task.get_name(), error or "no error", exc_info=error)
        self._exit_code = 1
        self._stop.set()

    async def _either(self, wanted: Coroutine[Any, Any, Any]) -> bool:
        """Wait for ``wanted``; False when the process is told to stop first."""
        task = asyncio.ensure_future(wanted)
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()  # its error is ours
        else:
            task.cancel()
        return not self._stop.is_set()

    async def _count_restarts(self, mirrors: list[Any]) -> None:
        """Bring the mirrors' own counts into the metrics."""
        seen = [0] * len(mirrors)
        while True:
            for index, mirror in enumerate(mirrors):
                new = mirror.restarts - seen[index]
                seen[index] = mirror.restarts
                self._metrics.watch_restarts.labels(mirror.name).inc(new)
            await asyncio.sleep(1)

    def _count_write(self, verb: str, path: str, status: int, _: float) -> None:
        self._metrics.api_writes.labels(verb, _resource(path), str(status)).inc()


def _resource(path: str) -> str:
    """The plural in an API path: a bounded label, unlike the path itself."""
    parts = path.strip("/").split("/")
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    plural = rest[0] if rest else "?"
    return f"{plural}/status" if rest[-1:] == ["status"] else plural


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel and wait, so that nothing of ours runs when connections close."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_GRACE_S)
