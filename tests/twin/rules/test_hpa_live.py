"""The same numbers through the real controller-manager: our port of the HPA decides as it does.

The HPA scales objects of a kind made here, which nobody acts on; the pods it counts are made by
hand, with the phase that the case asks for; the metrics come from ``metrics_server``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conch.twin.rules.hpa import Behavior, Policy, limited, pods_metric, stabilized, total_metric

if TYPE_CHECKING:
    from e2e.testbed import Cluster

pytestmark = pytest.mark.cluster

PORT = 30943
SPACE = "hpa-live"
TARGET = 0.5
APIS = ("v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io")
NO_METRICS_S = 10.0  # before that an HPA without metrics may just have begun

# Name: pods' values, replicas now, running pods without a value, Pending pods.
PODS: dict[str, tuple[list[float], int, int, int]] = {
    "twice": ([1.0, 1.0, 1.0], 3, 0, 0),
    "tolerated": ([0.54, 0.54], 2, 0, 0),
    "not-tolerated": ([0.56, 0.56], 2, 0, 0),
    "down": ([0.1, 0.1, 0.1, 0.1], 4, 0, 0),
    "up-one-missing": ([1.0, 1.0], 3, 1, 0),
    "up-two-pending": ([1.2, 1.2], 4, 0, 2),
    "pending-absorb-it": ([1.0, 1.0], 4, 0, 2),
    "pending-turn-it": ([0.8], 3, 0, 2),
    "down-one-missing": ([0.2, 0.2], 3, 1, 0),
    "down-pending-ignored": ([0.2, 0.2], 4, 0, 2),
    "against-the-direction": ([1.4], 5, 0, 1),
    "nobody-reports": ([], 3, 3, 0),
}
# Name: total, replicas that exist; the target is 25.
TOTALS = {"t-same": (100.0, 4), "t-up": (111.0, 4), "t-kept": (109.0, 4), "t-down": (70.0, 4)}

KIND = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "sizes.test.conch"},
    "spec": {
        "group": "test.conch",
        "names": {"kind": "Size", "plural": "sizes", "singular": "size"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
            }
        ],
    },
}


def registrations() -> list[dict[str, Any]]:
    """A namespace, and both metrics APIs behind a Service that is another name of loopback."""
    found: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "metrics", "namespace": SPACE},
            "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
        },
    ]
    for group, version in (("custom", "v1beta2"), ("external", "v1beta1")):
        found.append(
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{version}.{group}.metrics.k8s.io"},
                "spec": {
                    "group": f"{group}.metrics.k8s.io",
                    "version": version,
                    "service": {"name": "metrics", "namespace": SPACE, "port": PORT},
                    "insecureSkipTLSVerify": True,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                },
            }
        )
    return found


def size(name: str, replicas: int) -> dict[str, Any]:
    return {
        "apiVersion": "test.conch/v1",
        "kind": "Size",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "selector": f"of={name}"},
    }


def autoscaler(name: str, metric: dict[str, Any], behavior: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "test.conch/v1", "kind": "Size", "name": name},
            "minReplicas": 1,
            "maxReplicas": 100,
            "metrics": [metric],
            "behavior": behavior,
        },
    }


def of_pods(name: str) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": f"{round(1000 * TARGET)}m"}
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": target}}


def of_total(name: str, target: str) -> dict[str, Any]:
    value = {"type": "AverageValue", "averageValue": target}
    return {"type": "External", "external": {"metric": {"name": name}, "target": value}}


WIDE = {
    "scaleUp": {"policies": [{"type": "Pods", "value": 100, "periodSeconds": 1}]},
    "scaleDown": {"stabilizationWindowSeconds": 0},
}


class Metrics:
    """What the metrics server says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, dict[str, Any]] = {"pods": {}, "external": {}}
        self._write()

    def pods(self, metric: str, values: dict[str, float]) -> None:
        self._known["pods"][metric] = values
        self._write()

    def total(self, metric: str, value: float) -> None:
        self._known["external"][metric] = value
        self._write()

    def _write(self) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self._known))
        partial.replace(self._file)


@pytest.fixture(scope="module")
def metrics(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metrics]:
    file = tmp_path_factory.mktemp("metrics") / "metrics.json"
    told = Metrics(file)
    pki, script = cluster.place.pki, Path(__file__).with_name("metrics_server.py")
    server = cluster.popen(
        [sys.executable, script, pki / "front-proxy.crt", pki / "front-proxy.key", str(PORT), file]
    )
    try:
        apply(cluster, [KIND, *registrations()])
        cluster.kubectl(
            "wait", "--for=condition=Established", "--timeout=30s", "crd/sizes.test.conch"
        )
        for name in ("v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io"):
            cluster.kubectl(
                "wait", "--for=condition=Available", "--timeout=60s", f"apiservice/{name}"
            )
        yield told
    finally:
        for name in APIS:
            cluster.kubectl("delete", "apiservice", name, "--ignore-not-found")
        cluster.kubectl("delete", "namespace", SPACE, "--wait=false", "--ignore-not-found")
        cluster.kubectl("delete", "crd", "sizes.test.conch", "--wait=false", "--ignore-not-found")
        server.terminate()
        server.wait(10)


def await_condition(cluster: Cluster, condition: str, what: str) -> None:
    cluster.kubectl("wait", f"--for=condition={condition}", "--timeout=60s", what)


def apply(cluster: Cluster, objects: list[dict[str, Any]]) -> None:
    everything = {"apiVersion": "v1", "kind": "List", "items": objects}
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(everything))
    held = [one for one in objects if "status" in one]
    if held:
        everything["items"] = held
        cluster.kubectl(
            "apply",
            "--server-side",
            "--subresource=status",
            "-f",
            "-",
            stdin=json.dumps(everything),
        )


def pod(case: str, number: int, phase: str) -> dict[str, Any]:
    ready = "True" if phase == "Running" else "False"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{case}-{number}", "namespace": SPACE, "labels": {"of": case}},
        "spec": {
            "containers": [{"name": "c", "image": "none.invalid/none"}],
            "automountServiceAccountToken": False,
        },
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
    }


def spec_replicas(cluster: Cluster) -> dict[str, int]:
    listed = json.loads(cluster.kubectl("get", "sizes", "-n", SPACE, "-o", "json"))["items"]
    return {one["metadata"]["name"]: int(one["spec"]["replicas"]) for one in listed}


def decided(cluster: Cluster, names: set[str], within_s: float) -> dict[str, int | None]:
    """What each HPA did first: its event's new size, or None where it looked and kept."""
    found: dict[str, int | None] = {}
    started_s = time.monotonic()
    ended_s = started_s + within_s
    while names - found.keys():
        assert time.monotonic() < ended_s, f"no decision of {sorted(names - found.keys())}"
        events = json.loads(cluster.kubectl("get", "events", "-n", SPACE, "-o", "json"))["items"]
        resized = [e for e in events if e["reason"] == "SuccessfulRescale"]
        for event in sorted(resized, key=lambda e: str(e["metadata"]["creationTimestamp"])):
            name = event["involvedObject"]["name"]
            if name in names:
                found.setdefault(name, int(event["message"].split("New size: ")[1].split(";")[0]))
        listed = json.loads(cluster.kubectl("get", "hpa", "-n", SPACE, "-o", "json"))["items"]
        for one in listed:
            name, status = one["metadata"]["name"], one.get("status", {})
            states = {c["type"]: c for c in status.get("conditions", [])}
            looked = states.get("ScalingActive", {}).get("status")
            # Without metrics it says so; with them it says what it would have.
            lacking = looked == "False" and time.monotonic() - started_s > NO_METRICS_S
            settled = lacking or (
                looked == "True" and status.get("desiredReplicas") == status.get("currentReplicas")
            )
            if name in names and settled and "lastScaleTime" not in status:
                found.setdefault(name, None)
        time.sleep(0.5)  # between two polls
    return found


def test_one_decision_on_pods_and_on_totals(cluster: Cluster, metrics: Metrics) -> None:
    objects = []
    for name, (values, current, missing, pending) in PODS.items():
        metrics.pods(name, {f"{name}-{i}": value for i, value in enumerate(values)})
        running = len(values) + missing
        objects.append(size(name, current))
        objects += [pod(name, i, "Running") for i in range(running)]
        objects += [pod(name, i, "Pending") for i in range(running, running + pending)]
    for name, (total, current) in TOTALS.items():
        metrics.total(name, total)
        objects += [size(name, current), *(pod(name, i, "Running") for i in range(current))]
    apply(cluster, objects)
    scalers = [autoscaler(name, of_pods(name), WIDE) for name in PODS]
    scalers += [autoscaler(name, of_total(name, "25"), WIDE) for name in TOTALS]
    apply(cluster, scalers)
    expected = {
        name: pods_metric(values, TARGET, current, missing, pending)
        for name, (values, current, missing, pending) in PODS.items()
    }
    expected |= {name: total_metric(total, 25.0, size_) for name, (total, size_) in TOTALS.items()}
    sizes = {name: current for name, (_, current, _, _) in PODS.items()}
    sizes |= {name: current for name, (_, current) in TOTALS.items()}
    wanted = {n: None if e in (None, sizes[n]) else max(1, e or 0) for n, e in expected.items()}
    assert decided(cluster, set(wanted), 60.0) == wanted


def follow(
    cluster: Cluster, name: str, until: Callable[[list[int]], bool], within_s: float
) -> tuple[list[int], list[float]]:
    """The sizes that an object takes, and when each was first seen."""
    sizes: list[int] = []
    seen_s: list[float] = []
    ended_s = time.monotonic() + within_s
    while not until(sizes):
        assert time.monotonic() < ended_s, f"{name} only took {sizes}"
        now = spec_replicas(cluster)[name]
        if not sizes or sizes[-1] != now:
            sizes.append(now)
            seen_s.append(time.monotonic())
            # The scaled object follows at once: what exists is what was asked for.
            cluster.kubectl(
                "patch",
                "size",
                name,
                "-n",
                SPACE,
                "--subresource=status",
                "--type=merge",
                "-p",
                json.dumps({"status": {"replicas": now}}),
            )
        time.sleep(0.2)  # between two polls
    return sizes, seen_s


def test_steps_up_and_the_stabilised_way_down(cluster: Cluster, metrics: Metrics) -> None:
    """+4 pods or +100 % per 4 s, whichever is more; down after 8 s, by half a period."""
    behavior = Behavior(
        up=(Policy(False, 4, 4.0), Policy(True, 100, 4.0)),
        down_window_s=8.0,
        down=(Policy(True, 50, 4.0),),
    )
    rules = {
        "scaleUp": {
            "policies": [
                {"type": "Pods", "value": 4, "periodSeconds": 4},
                {"type": "Percent", "value": 100, "periodSeconds": 4},
            ]
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 8,
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 4}],
        },
    }
    name = "stepwise"
    metrics.total(name, 30 * 25.0)
    apply(cluster, [size(name, 2), pod(name, 0, "Running")])
    apply(cluster, [autoscaler(name, of_total(name, "25"), rules)])
    up, _ = follow(cluster, name, lambda sizes: sizes[-1:] == [30], 60)
    metrics.total(name, 3 * 25.0)
    lowered_s = time.monotonic()
    down, down_s = follow(cluster, name, lambda sizes: sizes[-1:] == [3], 90)
    ours_up, ours_down, first_down_s = replayed(behavior)
    assert up == ours_up == [2, 6, 12, 24, 30]
    assert down == ours_down == [30, 15, 7, 3]
    # It looks every second and reads what was true up to a second ago.
    assert down_s[1] - lowered_s == pytest.approx(first_down_s, abs=3.0)


def replayed(behavior: Behavior) -> tuple[list[int], list[int], float]:
    """The same story through our port, a sync a second."""
    current, wishes = 2, [(0.0, 2)]
    changes: list[tuple[float, int]] = []
    up, down, first_down_s = [2], [30], 0.0
    lowered_s: float | None = None
    for now in range(1, 120):
        now_s = float(now)
        if current == 30 and lowered_s is None:
            lowered_s = now_s
        wish = total_metric((30 if lowered_s is None else 3) * 25.0, 25.0, current)
        calm = stabilized(wish, current, now_s, wishes, behavior)
        wishes.append((now_s, wish))
        new = limited(calm, current, now_s, changes, behavior)
        if new != current:
            changes.append((now_s, new - current))
            (up if new > current else down).append(new)
            if new < current and not first_down_s and lowered_s is not None:
                first_down_s = now_s - lowered_s
        current = new
        if current == 3 and lowered_s is not None:
            break
    return up, down, first_down_s
