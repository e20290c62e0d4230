"""Schedules and foreign scalers against a real control plane; KWOK plays the pods."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names
from conch.kube.transport import path
from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.room import LIMIT_S, START_S, Room, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

case = Cases()


async def _asks_for(room: Room, replicas: int, within_s: float = LIMIT_S) -> None:
    async def asked() -> bool:
        return bool((await room.get("web", "Deployment"))["spec"]["replicas"] == replicas)

    await room.until(asked, within_s, room.nothing, f"{replicas} replicas asked for")


def _autoscaler(kind: str, version: str) -> dict[str, Any]:
    # It finds no metric and so does nothing: what counts is that it is there.
    metric = {"name": "none", "selector": {"matchLabels": {"a": "b"}}}
    target = {"type": "AverageValue", "averageValue": "1"}
    external = {"type": "External", "external": {"metric": metric, "target": target}}
    return {
        "scaleTargetRef": {"apiVersion": version, "kind": kind, "name": "web"},
        "maxReplicas": 9,
        "metrics": [external],
    }


@case
async def autoscaler_on_our_deployment(room: Room) -> None:
    await room.create("web", fake(scaling={"mode": "Fixed", "replicas": 2}))
    await room.whole("web")
    rule = {"spec": _autoscaler("Deployment", "apps/v1")}
    await room.add("HorizontalPodAutoscaler", "rule", rule)
    says = ("HorizontalPodAutoscaler rule scales", "InferenceService web", "External")
    await room.reports("web", "Scaling", "False", "ForeignScaler", *says)
    # What it would do: a write through the Deployment's own /scale.
    scale = path("apps/v1", "deployments", room.name, "web", "scale")
    await room.api.merge_patch(scale, {"spec": {"replicas": 3}})

    async def followed() -> bool:
        return bool((await room.get("web"))["status"]["readyReplicas"] == 3)

    await room.until(followed, START_S, room.nothing, "3 replicas ready")
    assert (await room.get("web", "Deployment"))["spec"]["replicas"] == 3
    await room.reports("web", "Ready", "True", "Ready")
    target = {"scaleTargetRef": {"apiVersion": names.API_VERSION, "kind": names.INFERENCE_SERVICE}}
    await room.change("rule", {"spec": target}, "HorizontalPodAutoscaler")
    await room.reports("web", "Scaling", "True", "Fixed")
    await _asks_for(room, 2)


@case
async def a_writer_that_does_not_give_up(room: Room) -> None:
    await room.create("web", fake(scaling={"mode": "Fixed", "replicas": 1}))
    await room.ready("web")
    scale = path("apps/v1", "deployments", room.name, "web", "scale")
    # Kubernetes does not tell who wrote first: nobody had owned the field.
    for _ in range(3):
        await room.api.merge_patch(scale, {"spec": {"replicas": 2}})
        room.now()
        await _asks_for(room, 1)
    await room.api.merge_patch(scale, {"spec": {"replicas": 2}})
    room.now()
    await room.reports("web", "Scaling", "False", "ForeignScaler", "keeps setting spec.replicas")
    await _asks_for(room, 2)


@case
async def a_schedule_that_is_active(room: Room) -> None:
    always = {"name": "now", "cron": "* * * * *", "duration": "1h", "minReplicas": 3}
    yearly = {
        "name": "rare", "cron": "0 0 29 2 *", "timezone": "Europe/Berlin",
        "duration": "1h", "minReplicas": 5,
    }  # fmt: skip
    scaling = {"mode": "External", "replicas": 1, "schedules": [always, yearly]}
    await room.create("web", fake(scaling=scaling))
    await room.reports("web", "Scaling", "True", "External", "Scheduled (now): 3 to 10 replicas.")
    await _asks_for(room, 3)
    status = (await room.get("web"))["status"]["schedule"]
    assert (status["active"], status["minReplicas"], status["next"]) == (["now"], 3, "rare")
    assert "until" not in status
    broken = {**always, "timezone": "Europe/Atlantis"}
    await room.change("web", {"spec": {"scaling": {"schedules": [broken, yearly]}}})
    says = "spec.scaling.schedules[now].timezone: there is no time zone 'Europe/Atlantis'"
    await room.reports("web", "Scaling", "False", "InvalidSchedule", says)
    await _asks_for(room, 1)


@pytest.mark.parametrize("name", case.names)
def test_foreign(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
