"""Start and stop of the activator process."""

from __future__ import annotations

import asyncio
import functools
import logging
import resource
import signal
from pathlib import Path
from typing import Final

from conch.activator import control, probe
from conch.activator.holder import Holder
from conch.activator.slices import table
from conch.activator.telemetry import Telemetry
from conch.api import names
from conch.kube.reflector import Change, Reflector
from conch.kube.transport import Api, path
from conch.kube.views import Object, whole
from conch.settings import Settings
from conch.telemetry import logs

logger = logging.getLogger(__name__)

_SLICES: Final = "discovery.k8s.io/v1"
# Kubernetes kills it before: its grace period is the chart's.
_DRAIN_S: Final = 3600.0


def run(settings: Settings, *, kubeconfig: Path | None = None, context: str | None = None) -> int:
    """Run the activator until it is told to stop; returns the exit code. Raises SettingsError."""
    logs.configure(settings.log_level, settings.log_format)
    # Each connection is two files, each service two more; the default is often 1024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return asyncio.run(_run(settings, kubeconfig, context))


async def _run(settings: Settings, kubeconfig: Path | None, context: str | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    telemetry = Telemetry()
    changed = asyncio.Event()
    async with (
        await Api.connect(kubeconfig, context) as api,
        probe.open_session() as session,
    ):
        holder = Holder(
            telemetry,
            functools.partial(probe.has_models, session),
            most=settings.activator_connections,
        )
        mirrors = _mirrors(api, settings, changed)

        def unready() -> str | None:
            missing = [m.name for m in mirrors if not m.synced.is_set()]
            return f"not synced yet: {', '.join(missing)}" if missing else None

        runner = await control.serve(
            holder,
            telemetry,
            host=settings.bind_address,
            port=names.PORT_ACTIVATOR,
            unready=unready,
        )
        ports = range(
            settings.activator_first_port, settings.activator_first_port + settings.activator_ports
        )
        tasks = [
            *(asyncio.create_task(mirror.run(), name=mirror.name) for mirror in mirrors),
            asyncio.create_task(_follow(holder, mirrors, changed, ports), name="follow"),
            asyncio.create_task(holder.sweep(), name="sweep"),
        ]
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                logger.error("%s ended: %s", task.get_name(), task.exception())
                return 1
            logger.info("stopping: what waits is still passed on")
            # A second signal ends it at once.
            stop.clear()
            draining = asyncio.create_task(holder.drain(_DRAIN_S))
            again = asyncio.create_task(stop.wait())
            await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
            for task in (draining, again):
                task.cancel()
        finally:
            for task in (stopped, *tasks):
                task.cancel()
            await asyncio.gather(stopped, *tasks, return_exceptions=True)
            await holder.close()
            await runner.cleanup()
    return 0


def _mirrors(api: Api, settings: Settings, changed: asyncio.Event) -> list[Reflector[Object]]:
    def on_change(_: Change[Object]) -> None:
        changed.set()

    return [
        Reflector(
            api,
            path(_SLICES, "endpointslices", namespace),
            whole(_SLICES, "EndpointSlice"),
            on_change,
            label_selector=f"{names.LABEL_TO_ZERO}=true",
            name=f"endpointslices{f' in {namespace}' if namespace else ''}",
        )
        for namespace in settings.namespaces or (None,)
    ]


async def _follow(
    holder: Holder, mirrors: list[Reflector[Object]], changed: asyncio.Event, ports: range
) -> None:
    """Bring the holder up to date with every change, one at a time."""
    for mirror in mirrors:
        await mirror.synced.wait()
    while True:
        changed.clear()
        await holder.follow(table((s for m in mirrors for s in m.store.values()), ports))
        await changed.wait()
