from __future__ import annotations

from typing import Any

import pytest

from conch.kube.views import Object
from conch.render.deployment import EXIT_TIMEOUT_S, connection_age_s, deployment
from conch.render.resources import memory_sum
from tests.render.cases import FULL_SPEC, L4, MIG, MINIMAL_SPEC, MULTI_SPEC, RUNTIME
from tests.render.cases import options as _options
from tests.render.cases import service as _service


def _pod(spec: dict[str, Any] = MINIMAL_SPEC, **changes: Any) -> Object:
    built = deployment(_service(spec), RUNTIME, L4, _options(**changes))
    pod: Object = built["spec"]["template"]["spec"]
    return pod


def test_replicas_are_left_to_the_scaler() -> None:
    assert "replicas" not in deployment(_service(MINIMAL_SPEC), RUNTIME, L4, _options())["spec"]


@pytest.mark.parametrize(
    ("surge", "bounds"),
    [(3, {"maxSurge": 3, "maxUnavailable": 0}), (0, {"maxSurge": 0, "maxUnavailable": 1})],
)
def test_without_a_free_accelerator_an_old_pod_goes_first(
    surge: int, bounds: dict[str, int]
) -> None:
    built = deployment(_service(MINIMAL_SPEC), RUNTIME, L4, _options(surge=surge))
    assert built["spec"]["strategy"]["rollingUpdate"] == bounds


@pytest.mark.parametrize("drain_s", [5, 20, 60])
def test_termination_leaves_time_for_every_stage(drain_s: int) -> None:
    pod = _pod(drain_s=drain_s)
    triton = pod["containers"][0]
    assert triton["lifecycle"]["preStop"]["sleep"]["seconds"] == drain_s
    assert pod["terminationGracePeriodSeconds"] >= drain_s + EXIT_TIMEOUT_S + 10
    assert f"--exit-timeout-secs={EXIT_TIMEOUT_S}" in triton["args"]


@pytest.mark.parametrize("drain_s", [10, 20, 60])
def test_every_grpc_channel_has_moved_before_the_server_ends(drain_s: int) -> None:
    assert 2 <= connection_age_s(drain_s) * 1.1 + 3 <= drain_s


def test_readiness_is_about_the_models() -> None:
    one = _pod()["containers"][0]["readinessProbe"]["httpGet"]["path"]
    many = _pod(MULTI_SPEC)["containers"][0]["readinessProbe"]["httpGet"]["path"]
    assert (one, many) == ("/v2/models/resnet/ready", "/v2/health/ready")


def test_startup_budget_bounds_the_startup_probe_and_the_rollout() -> None:
    probe = _pod(startup_budget_s=77)["containers"][0]["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] == 77
    built = deployment(_service(MINIMAL_SPEC), RUNTIME, L4, _options(startup_budget_s=77))
    assert built["spec"]["progressDeadlineSeconds"] > 77


def test_shared_memory_is_counted_in_the_memory_of_the_container() -> None:
    pod = _pod({**MINIMAL_SPEC, "resources": {"memory": "2Gi", "sharedMemory": "512Mi"}})
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "2560Mi"
    dshm = next(volume for volume in pod["volumes"] if volume["name"] == "dshm")
    assert dshm["emptyDir"] == {"medium": "Memory", "sizeLimit": "512Mi"}
    assert "cpu" not in pod["containers"][0]["resources"]["limits"]


def test_the_accelerator_is_requested_by_its_own_resource_name() -> None:
    built = deployment(_service(FULL_SPEC), RUNTIME, MIG, _options())
    pod = built["spec"]["template"]["spec"]
    resources = pod["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/mig-1g.5gb"] == "1"
    assert resources["requests"]["nvidia.com/mig-1g.5gb"] == "1"
    keys = [toleration["key"] for toleration in pod["tolerations"]]
    assert keys == ["team", "nvidia.com/gpu", "nvidia.com/mig-1g.5gb"]


def test_triton_reads_the_models_and_cannot_write_them() -> None:
    mounts = {m["mountPath"]: m for m in _pod()["containers"][0]["volumeMounts"]}
    assert mounts["/models"]["readOnly"] is True
    assert set(mounts) == {"/models", "/tmp", "/dev/shm"}


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        (("4Gi", "512Mi"), "4608Mi"),
        (("1024Mi", "1Gi"), "2Gi"),
        ((1073741824,), "1Gi"),
        (("1G", "1Gi"), "2073741824"),
        (("1G", "1G"), "1953125Ki"),
        (("0",), "0"),
    ],
)
def test_memory_sum(amounts: tuple[int | str, ...], total: str) -> None:
    assert memory_sum(*amounts) == total
