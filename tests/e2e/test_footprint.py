"""A model whose size is known: where it does not fit it is not sent, and what runs stays.

KWOK's nodes play the GPUs, and its pods tell what a puller would: how large the files are.
"""

from __future__ import annotations

import pytest

from conch.api import names
from conch.fetch import report
from conch.kube.transport import path
from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.room import GOOD, LIMIT_S, Room, condition, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

case = Cases()

_SUM = "(estimated: 30Gi of model files x 1 instance + 512Mi CUDA context + 64Mi CUDA memory pool)"


@case
async def too_large_for_one_of_two_classes(room: Room) -> None:
    await room.create("first", fake(["l4"]))
    await room.ready("first")
    await _tell(room, 30 << 30)
    await _heard(room)
    await room.create("second", fake(["l4"]))
    await room.reports("second", "Placed", "False", "NothingFits", f"l4: needs 30.6Gi {_SUM}, has")
    await room.create("third", fake(["l4", "l40s"]))
    await room.ready("third")
    assert (await room.get("third"))["status"]["accelerator"] == "l40s"
    await room.change("second", {"spec": {"placement": {"accelerators": {"minMemory": "8Gi"}}}})
    await room.ready("second")
    await room.ready("first")
    assert (await room.get("first"))["status"]["accelerator"] == "l4"


async def _tell(room: Room, size: int) -> None:
    """What the puller leaves in its container's termination message."""
    (pod,) = await room.pods()
    message = report.text([report.Staged(report.model_key(GOOD, "", {}), size)])
    statuses = pod["status"]["initContainerStatuses"]
    for status in statuses:
        if status["name"] == names.CONTAINER_FETCH:
            status["state"]["terminated"]["message"] = message
    where = path("v1", "pods", room.name, pod["metadata"]["name"])
    await room.api.merge_patch(f"{where}/status", {"status": {"initContainerStatuses": statuses}})


async def _heard(room: Room) -> None:
    """The operator knows: pods and services reach it by different watches, in any order."""
    for _ in range(10):
        await room.create("probe", fake(["l4"]))

        async def decided() -> bool:
            return condition(await room.get("probe"), "Placed") is not None

        await room.until(decided, LIMIT_S, room.nothing, "placed, or not")
        placed = condition(await room.get("probe"), "Placed")
        await room.delete("probe")
        await room.gone("probe", "InferenceService")
        if placed is not None and placed["reason"] == "NothingFits":
            return
    pytest.fail("the operator never heard of the size")


@pytest.mark.parametrize("name", case.names)
def test_footprint(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
