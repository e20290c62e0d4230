"""The operator away for a while: what is deleted meanwhile goes, what is new comes.

And what reaches it from inside its pods by way of their status alone.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from conch.api import names
from conch.fetch import report
from tests.e2e.bed import CONCH, NEIGHBOUR, Bed
from tests.e2e.room import GOOD, Room, fake, spec

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


def test_deleted_created_and_changed_while_it_is_down(bed: Bed) -> None:
    room = bed.room("operator-down")
    bed.run(room.enter())
    try:
        bed.run(_before(room))
        serving = bed.run(_uids(room, "stays"))
        bed.operator.kill()
        bed.run(_meanwhile(room))
        bed.operator.start()
        bed.operator.wait_until_it_acts()
        room.now()
        bed.run(_after(room))
        assert bed.run(_uids(room, "stays")) == serving
        bed.run(bed.unharmed())
    finally:
        bed.run(room.leave())


async def _before(room: Room) -> None:
    for name in ("goes", "stays", "changes"):
        await room.create(name, fake())
    for name in ("goes", "stays", "changes"):
        await room.ready(name)


async def _meanwhile(room: Room) -> None:
    await room.create("comes", fake())
    await room.change("changes", {"spec": {"scaling": {"mode": "Fixed", "replicas": 2}}})
    await room.delete("goes")
    for kind in ("Deployment", "Service", "NetworkPolicy"):
        await room.gone("goes", kind, within_s=60)


async def _after(room: Room) -> None:
    await room.ready("comes")
    await room.reports("changes", "Available", "True", "Available", "All 2 replicas")
    owners = {o["metadata"]["name"] for o in await room.all("Deployment")}
    assert owners == {"stays", "changes", "comes"}


async def _uids(room: Room, service: str) -> set[str]:
    return {
        p["metadata"]["uid"]
        for p in await room.pods()
        if p["metadata"]["name"].startswith(f"{service}-")
    }


def test_a_pods_puller_tells_how_large_its_model_is(bed: Bed, tmp_path: Path) -> None:
    """Through a real kubelet, from a container that may write nothing but the model's volume."""
    (pod,) = bed.run(bed.room(NEIGHBOUR.namespace).pods())
    (fetch,) = (
        status
        for status in pod["status"]["initContainerStatuses"]
        if status["name"] == names.CONTAINER_FETCH
    )
    ((key, size),) = report.read(fetch["state"]["terminated"]["message"]).items()
    assert key == report.model_key(GOOD, "", {})
    assert 100 < size < 1 << 30

    file = tmp_path / "service.json"
    meta = {"name": "another", "namespace": NEIGHBOUR.namespace}
    body = {"apiVersion": names.API_VERSION, "kind": names.INFERENCE_SERVICE, "metadata": meta}
    file.write_text(json.dumps({**body, "spec": spec()}))
    asked = subprocess.run(
        [CONCH, "place", "-f", file, "-o", "json"],
        env={**os.environ, "KUBECONFIG": str(bed.cluster.kubeconfig)},
        capture_output=True,
        check=True,
    )
    assert " of model files x 1 instance + 512Mi CUDA context" in json.loads(asked.stdout)["memory"]
