"""Footprints: which pods are heard, what follows for placement, and what outlives a service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.fetch import report
from conch.fetch.report import Staged
from conch.grid.meters import Meters
from conch.grid.sources import Grid
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import Footprint, PodSample
from conch.placement.footprint import CUDA_CONTEXT_BYTES, CUDA_POOL_BYTES
from conch.reconcile import looks
from conch.reconcile import plan as planning
from conch.reconcile.energy import EnergyLoop
from conch.reconcile.footprint_book import PREFIX
from conch.reconcile.footprints import Footprints
from conch.reconcile.memory import Memory
from conch.reconcile.placement import PlacementLoop
from conch.reconcile.queue import WorkQueue
from conch.reconcile.scaling import ScalingLoop
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.configuration import ModelConfig, OnGpu
from tests.reconcile.builders import KEY, OPTIONS, UID, build, observe, pod, raw

GI = 1024**3
BESIDE = CUDA_CONTEXT_BYTES + CUDA_POOL_BYTES
URI = "s3://models/m"
SPEC = {"models": [{"name": "m", "source": {"uri": URI}}]}
ASKED = report.model_key(URI, "", {})
ON_GPU = {"m": ModelConfig(on_gpu=OnGpu(1))}


def gpu_node(product: str, memory_mib: int) -> views.Node:
    return views.Node(
        metadata=views.Metadata(
            name=product,
            labels={"nvidia.com/gpu.product": product, "nvidia.com/gpu.memory": str(memory_mib)},
        ),
        status=views.NodeStatus(
            allocatable={"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": "4", "pods": "110"},
            conditions=(views.StatusCondition("Ready", "True"),),
        ),
    )


def staged(
    name: str = "p1",
    size: int = 20 * GI,
    *,
    on: str = "l4",
    message: str | None = None,
    exit_code: int = 0,
    container: str = names.CONTAINER_FETCH,
    **how: Any,
) -> views.Pod:
    """A pod whose puller told that size."""
    told = report.text([Staged(ASKED, size)]) if message is None else message
    ended = views.ContainerState(terminated=views.Terminated("Completed", told, exit_code))
    statuses = (views.ContainerStatus(name=container, state=ended),)
    made = pod(name, init_container_statuses=statuses, **how)
    labels = {**made.metadata.labels, names.LABEL_ACCELERATOR: on}
    metadata = msgspec.structs.replace(made.metadata, labels=labels)
    return msgspec.structs.replace(made, metadata=metadata)


@pytest.fixture
def cluster() -> ClusterState:
    made = ClusterState()
    made.set_service(raw(SPEC))
    made.inventory_builder.upsert_node(gpu_node("Tesla-T4", 15360))
    made.inventory_builder.upsert_node(gpu_node("NVIDIA-L4", 23034))
    return made


@pytest.fixture
def known(cluster: ClusterState) -> Footprints:
    return Footprints(cluster, Settings())


def found(known: Footprints, cluster: ClusterState, current: str = "") -> Footprint | None:
    return known.of(KEY, cluster.services[KEY], current)


def look(known: Footprints, cluster: ClusterState, *samples: PodSample) -> bool:
    return known.look(KEY, cluster.services[KEY], samples)


def seen(name: str = "p1", **what: Any) -> PodSample:
    return PodSample(f"uid-{name}", 1.0, {}, **{"configs": ON_GPU, **what})


def change(cluster: ClusterState, spec: dict[str, Any], generation: int = 2) -> None:
    cluster.set_service(raw(spec, generation=generation, resourceVersion=str(10 + generation)))


# --- sizes ----------------------------------------------------------------------------------------


def test_the_pullers_message_is_where_it_starts(cluster: ClusterState, known: Footprints) -> None:
    assert found(known, cluster) is None
    cluster.set_pod(staged())
    told = found(known, cluster)
    assert told is not None
    assert told.memory_bytes == 20 * GI + BESIDE
    assert not told.measured


@pytest.mark.parametrize(
    "what",
    [
        {"message": ""},
        {"message": "hello"},
        {"message": json.dumps({"staged": {ASKED: -5}})},
        {"message": json.dumps({"staged": {ASKED: 1 << 60}})},
        {"message": report.text([Staged("0" * 12, GI)])},
        {"message": report.text([Staged(ASKED, GI), Staged("0" * 12, GI)])},
        {"exit_code": 1},
        {"container": "bake-0"},
    ],
)
def test_what_no_puller_of_this_spec_told_is_not_heard(
    what: dict[str, Any], cluster: ClusterState, known: Footprints
) -> None:
    cluster.set_pod(staged(**what))
    assert found(known, cluster) is None
    assert not known.book.is_news()


def test_the_newest_pod_is_believed(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged("a", 3 * GI))
    cluster.set_pod(staged("b", 5 * GI))
    for _ in range(2):
        told = found(known, cluster)
        assert told is not None
        assert told.memory_bytes == 5 * GI + BESIDE
    assert known.book.is_news()
    assert not known.book.is_news()
    found(known, cluster)
    assert not known.book.is_news()


def test_two_services_of_one_model_do_not_write_by_turns(
    cluster: ClusterState, known: Footprints
) -> None:
    other = replace(KEY, name="other")
    cluster.set_service(raw(SPEC, name=other.name, uid="2"))
    late = staged("late", 5 * GI)  # the file was overwritten before it started
    labels = {**late.metadata.labels, names.LABEL_SERVICE: other.name}
    metadata = msgspec.structs.replace(late.metadata, labels=labels)
    cluster.set_pod(staged("early", 3 * GI))
    assert found(known, cluster) is not None
    cluster.set_pod(msgspec.structs.replace(late, metadata=metadata))
    assert known.of(other, cluster.services[other], "") is not None
    assert known.book.is_news()
    for _ in range(2):
        told = found(known, cluster)
        assert told is not None
        assert told.memory_bytes == 5 * GI + BESIDE
        known.of(other, cluster.services[other], "")
        assert not known.book.is_news()


def test_pods_of_another_model_say_nothing(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged())
    assert found(known, cluster) is not None
    change(cluster, {"models": [{"name": "m", "source": {"uri": "s3://models/m2"}}]})
    assert found(known, cluster) is None
    look(known, cluster, seen(gpu_bytes={"G1": 5 * GI}))
    assert found(known, cluster) is None


def test_other_overrides_are_of_the_same_files(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged())
    assert found(known, cluster) is not None
    change(cluster, {"models": [{**SPEC["models"][0], "config": {"instances": 3}}]})
    told = found(known, cluster)
    assert told is not None
    assert told.memory_bytes == 60 * GI + BESIDE, "as the spec has it, until a server tells"


def test_servers_tell_how_many_copies_they_hold(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged())
    found(known, cluster)
    assert look(known, cluster, seen(configs={"m": ModelConfig(on_gpu=OnGpu(2))}))
    told = found(known, cluster)
    assert told is not None
    assert told.memory_bytes == 40 * GI + BESIDE
    assert not look(known, cluster, seen(configs={"m": ModelConfig(on_gpu=OnGpu(2))}))
    assert look(known, cluster, seen(configs={"m": ModelConfig(on_gpu=OnGpu(0))}))
    assert found(known, cluster) is None


def test_a_server_without_a_gpu_does_not_tell(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged(on="cpu"))
    found(known, cluster)
    assert not look(known, cluster, seen(configs={"m": ModelConfig(on_gpu=OnGpu(0))}))
    assert found(known, cluster) is not None


def test_a_service_without_accelerators_takes_nothing(
    cluster: ClusterState, known: Footprints
) -> None:
    cluster.set_pod(staged())
    accelerators = {"count": 0, "allowCPU": True}
    change(cluster, {**SPEC, "placement": {"accelerators": accelerators}})
    assert found(known, cluster) is None
    assert not look(known, cluster, seen(gpu_bytes={"G1": 5 * GI}))


# --- readings -------------------------------------------------------------------------------------


def test_what_is_seen_counts_instead_of_the_sum(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged("a"))
    cluster.set_pod(staged("b"))
    found(known, cluster)
    high, low = seen("a", gpu_bytes={"G1": 9 * GI}), seen("b", gpu_bytes={"G2": 7 * GI})
    assert look(known, cluster, high, low)
    told = found(known, cluster)
    assert told is not None
    assert (told.memory_bytes, told.measured) == (9 * GI, True)
    assert not look(known, cluster, high, low)
    assert not look(known, cluster, low), "slow to fall"


def test_a_look_that_failed_says_nothing(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged())
    found(known, cluster)
    gpu_bytes = {"G1": 9 * GI}
    assert not look(known, cluster, seen(gpu_bytes=gpu_bytes, error="no answer"))
    assert not look(known, cluster, seen(gpu_bytes=gpu_bytes, configs=None))
    assert not look(known, cluster, seen("stranger", gpu_bytes=gpu_bytes))


def test_through_prometheus_a_gpu_counts_that_nobody_has_filled(
    cluster: ClusterState, known: Footprints
) -> None:
    cluster.set_pod(staged())
    found(known, cluster)
    through = {"configs": None, "second_hand": True}
    assert not look(known, cluster, seen(gpu_bytes={"G1": 21 * GI}, **through))
    told = found(known, cluster)
    assert told is None or not told.measured, "vLLM fills any GPU it is given"
    assert look(known, cluster, seen(gpu_bytes={"G1": 9 * GI}, **through))
    told = found(known, cluster)
    assert told is not None
    assert (told.memory_bytes, told.measured) == (9 * GI, True)


# --- where it fits all the same -------------------------------------------------------------------


def test_a_class_is_taken_to_fit_until_its_servers_cannot_load(
    cluster: ClusterState, known: Footprints
) -> None:
    cluster.set_pod(staged(on="t4", ready=False))
    assert _fits_on(known, cluster, "t4") == {"t4"}
    cluster.set_model_problem("uid-p1", "CUDA out of memory")
    assert _fits_on(known, cluster, "t4") == set()
    cluster.set_pod(staged("p2", on="t4"))
    assert _fits_on(known, cluster, "t4") == {"t4"}, "one that is ready is proof"
    assert _fits_on(known, cluster, "l4") == {"t4", "l4"}


def test_a_server_that_ended_while_it_loaded_is_one_that_cannot(
    cluster: ClusterState, known: Footprints
) -> None:
    ended = views.ContainerState(terminated=views.Terminated("Error", "", 1))
    crashed = views.ContainerStatus(name=names.CONTAINER_TRITON, last_state=ended)
    cluster.set_pod(staged(on="t4", ready=False, container_statuses=(crashed,)))
    assert _fits_on(known, cluster, "t4") == set()
    assert _fits_on(known, cluster, "l4") == {"l4"}


def _fits_on(known: Footprints, cluster: ClusterState, current: str) -> frozenset[str]:
    told = found(known, cluster, current)
    assert told is not None
    return told.fits_on


def test_a_server_that_cannot_load_is_news(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged(on="t4", ready=False))
    found(known, cluster, "t4")
    assert not look(known, cluster)
    cluster.set_model_problem("uid-p1", "CUDA out of memory")
    assert look(known, cluster)
    found(known, cluster, "t4")
    assert not look(known, cluster)


# --- in the placement loop ------------------------------------------------------------------------


@pytest.fixture
async def queue() -> AsyncIterator[WorkQueue]:  # async: timers need the loop
    made = WorkQueue()
    yield made
    made.close()


def loop_of(cluster: ClusterState, queue: WorkQueue, known: Footprints) -> PlacementLoop:
    return PlacementLoop(cluster, queue, Settings(placement_window_s=0.001), Metrics(), known)


async def test_one_that_does_not_fit_moves_when_its_servers_cannot_load(
    cluster: ClusterState, queue: WorkQueue, known: Footprints
) -> None:
    loop = loop_of(cluster, queue, known)
    await loop.replan()
    kind = cluster.assignments[KEY].kind
    assert kind is not None
    assert kind.name == "t4", "cheapest, while nothing is known"
    build(cluster)
    cluster.set_pod(staged(on="t4", ready=False))
    await loop.replan()
    kind = cluster.assignments[KEY].kind
    assert kind is not None
    assert kind.name == "t4", "an estimate alone throws nobody off"
    cluster.set_model_problem("uid-p1", "CUDA out of memory")
    await loop.replan()
    kind = cluster.assignments[KEY].kind
    assert kind is not None
    assert kind.name == "l4"


async def test_one_that_was_known_before_is_placed_right_at_once(
    cluster: ClusterState, queue: WorkQueue, known: Footprints
) -> None:
    cluster.set_pod(staged())
    found(known, cluster)
    written = Memory(cluster, {}, known.book).data()
    cluster.remove_pod("uid-p1")
    cluster.remove_service(KEY, UID)
    cluster.set_service(raw(SPEC, uid="another", resourceVersion="20"))
    heir = Footprints(cluster, Settings())
    Memory(cluster, {}, heir.book).load(written)
    await loop_of(cluster, queue, heir).replan()
    kind = cluster.assignments[KEY].kind
    assert kind is not None
    assert kind.name == "l4"


async def test_where_nothing_is_large_enough_the_sum_is_told(
    cluster: ClusterState, queue: WorkQueue, known: Footprints
) -> None:
    cluster.set_pod(staged(size=70 * GI))
    found(known, cluster)
    cluster.remove_pod("uid-p1")
    await loop_of(cluster, queue, known).replan()
    assignment = cluster.assignments[KEY]
    assert assignment.reason is Reason.NOTHING_FITS
    assert "l4: needs 70.6Gi (estimated: 70Gi of model files x 1 instance +" in assignment.message


async def test_the_status_tells_what_was_measured_and_nothing_else(
    cluster: ClusterState, queue: WorkQueue, known: Footprints
) -> None:
    loop = loop_of(cluster, queue, known)
    await loop.replan()
    build(cluster)
    for sample, gpu_memory in (
        (seen(), None),
        (seen(gpu_bytes={"G1": 9 * GI}), "9216Mi"),
        (seen(gpu_bytes={"G1": 9 * GI + 5}), "9216Mi"),
    ):
        cluster.set_pod(staged())
        look(known, cluster, sample)
        await loop.replan()
        obs = observe(cluster)
        status = planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())
        assert status.body.get("gpuMemory") == gpu_memory


async def test_a_look_at_a_server_ends_in_another_plan_and_what_is_declared_is_doubted(
    cluster: ClusterState, queue: WorkQueue, known: Footprints, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(cluster, {**SPEC, "placement": {"accelerators": {"minMemory": "4Gi"}}})
    placing = loop_of(cluster, queue, known)
    await placing.replan()
    build(cluster)
    cluster.set_pod(staged())

    async def scrape(*_: Any) -> PodSample:
        return seen(gpu_bytes={"G1": 9 * GI})

    replans: list[int] = []
    monkeypatch.setattr(looks, "scrape", scrape)
    scaling = ScalingLoop(cluster, queue, Settings(), Metrics(), known, lambda: replans.append(1))
    for _ in range(3):
        await scaling.round()
        await placing.replan()
    assert len(replans) == 1
    assert "it takes 9Gi of a unit's memory, and minMemory says 4Gi" in (
        cluster.assignments[KEY].message
    )


async def test_a_world_that_says_the_same_wakes_nobody(
    cluster: ClusterState, queue: WorkQueue, known: Footprints
) -> None:
    loop = loop_of(cluster, queue, known)
    cluster.set_pod(staged())
    await loop.replan()
    while len(queue):
        queue.done(await queue.get())
    for used in (9 * GI, 9 * GI + 1000, 8 * GI):
        look(known, cluster, seen(gpu_bytes={"G1": used}))
        await loop.replan()
        assert not len(queue)


# --- what is remembered ---------------------------------------------------------------------------


def test_figures_outlive_the_operator(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged())
    found(known, cluster)
    look(known, cluster, seen(gpu_bytes={"G1": 9 * GI}))
    kept = Memory(cluster, {}, known.book)
    assert kept.learn(1000.0)
    assert not kept.learn(1060.0)
    look(known, cluster, seen(gpu_bytes={"G1": int(9.3 * GI)}))
    assert not kept.learn(1120.0), "a small change is not worth a write"
    look(known, cluster, seen(gpu_bytes={"G1": 12 * GI}))
    assert kept.learn(1180.0)
    data = kept.data()
    assert len(data) == 2
    assert all(entry.startswith(PREFIX) for entry in data)
    heir = Footprints(cluster, Settings())
    Memory(cluster, {}, heir.book).load(data)
    assert found(heir, cluster) == found(known, cluster)
    assert not heir.book.is_news()


def test_the_status_is_a_memory_too(cluster: ClusterState) -> None:
    for generation, gpu_memory, measured in (
        (1, "9216Mi", 9 * GI),
        (2, "9216Mi", None),  # of another spec
        (1, "nonsense", None),
        (1, "-5Mi", None),
        (1, "99999999999Mi", None),
        (1, ["9216Mi"], None),
    ):
        status = {"observedGeneration": 1, "gpuMemory": gpu_memory}
        cluster.set_service(
            {**raw(SPEC, generation=generation, resourceVersion="50"), "status": status}
        )
        told = found(Footprints(cluster, Settings()), cluster)
        assert (told.memory_bytes if told else None) == measured


def test_what_is_gone_is_forgotten(cluster: ClusterState, known: Footprints) -> None:
    cluster.set_pod(staged())
    found(known, cluster)
    known.keep([UID])
    assert found(known, cluster) is not None
    cluster.remove_pod("uid-p1")
    known.keep([])
    assert not known._living
    assert found(known, cluster) is not None, "of the model it stays"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"metadata": {"namespace": "others"}}, False),
        ({"image": True}, True),
        ({"baked": True}, False),
    ],
)
def test_whose_files_are_the_same(
    other: dict[str, Any], same: bool, cluster: ClusterState, known: Footprints
) -> None:
    spec: dict[str, Any] = SPEC
    if "baked" in other:
        spec = {"models": [{"name": "m", "source": {"uri": "image:///opt/m"}}]}
        change(cluster, spec)
    key = report.model_key(spec["models"][0]["source"]["uri"], "", {})
    cluster.set_pod(staged(message=report.text([Staged(key, GI)])))
    assert found(known, cluster) is not None
    cluster.remove_pod("uid-p1")
    at = KEY
    if "metadata" in other:
        at = replace(KEY, namespace="others")
        cluster.set_service(raw(spec, namespace="others", uid="2"))
    else:
        runtime = {"image": "triton:other", "release": "24.10", "default": True}
        meta = {"name": "r", "uid": "r", "resourceVersion": "5"}
        cluster.set_runtime({"metadata": meta, "spec": runtime})
    assert (known.of(at, cluster.services[at], "") is not None) is same


# --- from Prometheus ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "expected"), [({}, 14 * GI), ({"GPU-1": 9 * GI}, 20 * GI + BESIDE)]
)
async def test_what_dcgm_says_counts_for_servers_that_tell_nothing(
    cluster: ClusterState, known: Footprints, own: dict[str, int], expected: int
) -> None:
    cluster.set_pod(staged())
    found(known, cluster)
    looks_at = {"uid-p1": seen(gpu_bytes=own)}
    energy = EnergyLoop(
        cluster,
        WorkQueue(),
        Settings(),
        Metrics(),
        lambda uid: looks_at if uid == UID else {},
        Grid(None, {}),
        footprints=known,
    )
    read = Meters(gpu_bytes={(KEY.namespace, "p1"): {"GPU-1": 14 * GI}})
    energy.round(100.0, 1_800_000_000.0, read)
    told = found(known, cluster)
    assert told is not None
    assert told.memory_bytes == expected
    assert told.measured is (not own)
