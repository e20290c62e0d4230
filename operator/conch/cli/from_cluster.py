"""What a running service knows about itself: batch times, largest batch, cold starts.

Asks the API server for the service and its pods, and through it (``pods/proxy``) their Triton
servers for statistics: whoever may do that needs no access to the cluster's network. Never writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import msgspec
from pydantic import ValidationError

from conch.api import names
from conch.api.v1alpha1 import AcceleratorClassSpec, InferenceService
from conch.autoscale.curve import Curve
from conch.cli import cluster
from conch.errors import ApiError, ApiUnreachable, ConchError, Forbidden, NotFound, TritonError
from conch.kube.transport import path
from conch.kube.views import Pod
from conch.triton import statistics
from conch.triton.sample import BatchStat

_PODS: Final = 16  # asked at most: all replicas of a service are alike


class RawReader(cluster.Reader, Protocol):
    """The part of `conch.kube.transport.Api` that is used here."""

    async def get_raw(self, path: str, **params: str | int | bool) -> bytes:
        """A body as it is."""
        ...


@dataclass(frozen=True, slots=True)
class Learned:
    """What was found out. None, or nothing in it: not known."""

    service: InferenceService
    curve: Curve
    max_batch: int | None
    instances: int | None
    cold_starts_s: tuple[float, ...]
    price_per_h: float | None = None  # of a replica, US dollars, as its AcceleratorClass has it

    def curve_s(self, max_batch: int) -> tuple[float, ...]:
        """s(1) … s(max_batch); empty while nothing was executed."""
        return tuple(self.curve.service_s(max_batch))


class _Instances(msgspec.Struct):
    count: int = 1


class _Config(msgspec.Struct):
    max_batch_size: int = 0
    instance_group: list[_Instances] = []


def learn(
    name: str,
    namespace: str | None,
    model: str | None,
    kubeconfig: Path | None,
    context: str | None,
) -> Learned:
    """Ask the cluster that the options mean."""
    from conch.cli.context import check, default_namespace
    from conch.kube.transport import Api

    check(kubeconfig, context)
    chosen = namespace or default_namespace(kubeconfig, context)

    async def read() -> Learned:
        async with await Api.connect(kubeconfig, context) as api:
            return await ask(api, chosen, name, model)

    return asyncio.run(read())


async def ask(api: RawReader, namespace: str, name: str, model: str | None) -> Learned:
    """The service's own knowledge. Raises ConchError in words when it can't be had."""
    from conch.cli.simulate import choose, parse

    gathered = await cluster.gather(api, namespace, name)
    service = parse(gathered.service, f"service {name}")
    wanted = choose(service, model).name
    if gathered.pods is None:
        raise Forbidden(403, message=f"you need to list pods in namespace {namespace}")
    pods = [msgspec.convert(raw, Pod) for raw in gathered.pods]
    ready = [pod.metadata.name for pod in pods if pod.ready][:_PODS]
    if not ready:
        raise ConchError(f"service {name} has no ready replica to ask; give --service-time")
    answers = await asyncio.gather(*(_statistics(api, namespace, pod, wanted) for pod in ready))
    config = await _config(api, namespace, ready[0], wanted)
    groups = sum(group.count for group in config.instance_group)
    starts_s = [s for pod in pods if (s := cold_start_s(pod)) is not None]
    return Learned(
        service=service,
        curve=Curve().learned(summed(answers), 0.0),
        max_batch=max(1, config.max_batch_size),
        instances=groups or None,
        cold_starts_s=tuple(max(1.0, start_s) for start_s in starts_s),
        price_per_h=await _price_per_h(api, service),
    )


def summed(answers: Sequence[Mapping[int, BatchStat]]) -> dict[int, BatchStat]:
    """Executions of all pods together."""
    found: dict[int, BatchStat] = {}
    for answer in answers:
        for size, stat in answer.items():
            old = found.get(size, BatchStat(0, 0.0))
            found[size] = BatchStat(old.count + stat.count, old.compute_s + stat.compute_s)
    return found


def cold_start_s(pod: Pod) -> float | None:
    """From creation to Ready; None for one that isn't, or that crashed in between."""
    ready = pod.condition("Ready")
    if not pod.ready or ready is None or not ready.last_transition_time:
        return None
    if any(status.restart_count for status in pod.status.container_statuses):
        return None
    start = datetime.fromisoformat(pod.metadata.creation_timestamp)
    took_s = (datetime.fromisoformat(ready.last_transition_time) - start).total_seconds()
    return took_s if 0 <= took_s < 86400 else None


def proxy(namespace: str, pod: str, port: int, rest: str) -> str:
    """The API server's path to a pod's own HTTP port."""
    return path("v1", "pods", namespace, f"{pod}:{port}", "proxy") + rest


async def _statistics(
    api: RawReader, namespace: str, pod: str, model: str
) -> Mapping[int, BatchStat]:
    body = await _raw(api, namespace, pod, f"/v2/models/{model}/stats")
    try:
        return statistics.parse(body, [model])[model]
    except TritonError as error:
        raise ConchError(f"pod {pod}: {error}") from error


async def _config(api: RawReader, namespace: str, pod: str, model: str) -> _Config:
    body = await _raw(api, namespace, pod, f"/v2/models/{model}/config")
    try:
        return msgspec.json.decode(body, type=_Config)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConchError(f"pod {pod}: its model's configuration can't be read") from error


async def _price_per_h(api: RawReader, service: InferenceService) -> float | None:
    """Of a replica on demand. Classes that were only discovered are no objects: not known here."""
    if not service.status.accelerator:
        return None
    where = path(names.API_VERSION, "acceleratorclasses", None, service.status.accelerator)
    try:
        declared = AcceleratorClassSpec.model_validate((await api.get(where)).get("spec"))
    except (NotFound, Forbidden, ValidationError):
        return None
    price = declared.price_per_hour
    if price is None or price.on_demand is None:
        return None
    return price.on_demand * max(1, service.spec.placement.accelerators.count)


async def _raw(api: RawReader, namespace: str, pod: str, rest: str) -> bytes:
    try:
        return await api.get_raw(proxy(namespace, pod, names.PORT_HTTP, rest))
    except Forbidden as error:
        raise Forbidden(
            403, message=f"asking the servers takes `get` on pods/proxy in namespace {namespace}"
        ) from error
    except (ApiError, ApiUnreachable) as error:
        raise ConchError(f"pod {pod} can't be asked: {error}") from error
