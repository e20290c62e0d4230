"""What people get wrong, on a real node: told with a reason and a next step, and mended by them.

Every case ends with the service Ready: what went wrong leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conch.api import names
from conch.kube.transport import path
from e2e.models import repository
from e2e.testbed.images import triton
from tests.e2e import store
from tests.e2e.bed import REPOSITORY, Bed
from tests.e2e.cases import Cases
from tests.e2e.room import GOOD, START_S, Room, spec

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

case = Cases()


@case
async def unknown_runtime(room: Room) -> None:
    await room.create("web", spec(runtime="nope"))
    await room.fails("web", "RuntimeNotFound", "nope", "Create it")
    await room.change("web", {"spec": {"runtime": None}})
    await room.ready("web")


@case
async def unknown_class(room: Room) -> None:
    await room.create("web", spec(placement={"accelerators": {"classes": ["nope"]}}))
    await room.fails("web", "ClassNotFound", "nope", "l4")
    await room.change("web", {"spec": {"placement": {"accelerators": {"classes": ["l4"]}}}})
    await room.ready("web")


@case
async def impossible_memory(room: Room) -> None:
    await room.create("web", spec(resources={"cpu": "20m", "memory": "465458732Gi"}))
    await room.reports("web", "Placed", "False", "NothingFits", "the largest node offers")
    await room.change("web", {"spec": {"resources": {"memory": "512Mi"}}})
    await room.ready("web")


@case
async def missing_directory_in_the_image(room: Room) -> None:
    await room.create("web", spec("image:///opt/models/nope"))
    await room.fails("web", "ModelNotFound", "/opt/models/nope", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def model_that_refuses_to_load(room: Room) -> None:
    await room.create("web", spec("image:///opt/models-faulty/fail-load"))
    await room.fails("web", "ModelInvalid", "FAIL_LOAD is set", "Correct", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def corrupt_model(room: Room) -> None:
    await room.create("web", spec("image:///opt/models-faulty/corrupt"))
    await room.fails("web", "ModelInvalid", "config.pbtxt", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def model_without_a_version(room: Room) -> None:
    await room.create("web", spec("image:///opt/models-faulty/no-version"))
    await room.fails("web", "ModelInvalid", "version", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def model_without_its_file(room: Room) -> None:
    """Triton 24.10 never starts to listen with this, and never ends."""
    await room.create("web", spec("image:///opt/models-faulty/no-file"))
    await room.fails("web", "ModelInvalid", "model.py", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def one_of_two_models_is_bad(room: Room) -> None:
    good = {"name": "good", "source": {"uri": GOOD}}
    bad = {"name": "bad", "source": {"uri": "image:///opt/models-faulty/fail-load"}}
    await room.create("web", spec(models=[good, bad]))
    await room.fails("web", "ModelInvalid", "bad", "FAIL_LOAD is set", within_s=room.pod_s)
    await room.change("web", {"spec": {"models": [good]}})
    await room.ready("web")


@case
async def server_that_dies_of_memory(room: Room) -> None:
    await room.create("web", spec("image:///opt/models-faulty/oom"))
    await room.fails("web", "OutOfMemory", "raise spec.resources.memory", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def bad_model_while_the_old_one_serves(room: Room) -> None:
    """What was applied last does not run, and what ran before goes on."""
    await room.create("web")
    await room.ready("web")
    serving = {p["metadata"]["uid"] for p in await room.pods()}
    await room.point_at("web", "image:///opt/models-faulty/corrupt")
    await room.fails("web", "ModelInvalid", "previous revision keep serving", within_s=room.pod_s)
    assert serving < {p["metadata"]["uid"] for p in await room.pods()}
    await room.point_at("web", GOOD)
    await room.ready("web")
    assert serving == {p["metadata"]["uid"] for p in await room.pods()}


@case
async def image_that_cannot_be_pulled(room: Room) -> None:
    runtimes = path(names.API_VERSION, "tritonruntimes")
    runtime = {
        "apiVersion": names.API_VERSION,
        "kind": "TritonRuntime",
        "metadata": {"name": room.name},
        "spec": {"image": f"{store.ADDRESS}:{store.PORT_CLOSED}/none:1", "release": "24.10"},
    }
    await room.api.create(runtimes, runtime)
    await room.create("web", spec(runtime=room.name))
    await room.fails("web", "ImagePullFailed", "none:1", "Correct the image", within_s=room.pod_s)
    room.now()
    one = f"{runtimes}/{room.name}"

    async def only_the_new_pod() -> bool:
        return len(await room.pods()) == 1

    await room.api.merge_patch(one, {"spec": {"image": triton.TAG}})
    await room.ready("web")
    await room.until(only_the_new_pod, START_S, room.nothing, "the pod without its image is gone")
    serving = [p["metadata"]["uid"] for p in await room.pods()]
    room.now()
    await room.api.delete(one)
    await room.fails("web", "RuntimeNotFound", room.name)
    assert [p["metadata"]["uid"] for p in await room.pods()] == serving
    await room.api.create(runtimes, runtime | {"spec": {"image": triton.TAG, "release": "24.10"}})
    await room.ready("web")
    await room.api.delete(one)


@case
async def server_that_refuses_connections(room: Room) -> None:
    await room.create("web", spec(f"https://{store.ADDRESS}:{store.PORT_CLOSED}/m.tar"))
    await room.fails("web", "ModelFetchFailed", "connection refused", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def server_that_is_not_there(room: Room) -> None:
    await room.create("web", spec("https://10.88.0.99/m.tar"))
    await room.fails("web", "ModelFetchFailed", "10.88.0.99", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def server_that_accepts_and_says_nothing(room: Room) -> None:
    await room.create("web", spec(f"https://{store.ADDRESS}:{store.PORT_SILENT}/m.tar"))
    await room.fails("web", "ModelFetchFailed", "no answer in time", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def server_that_nobody_trusts(room: Room) -> None:
    await room.create("web", spec(f"https://{store.ADDRESS}:{store.PORT_TLS}/m.tar"))
    await room.fails("web", "ModelFetchFailed", "certificate is not trusted", within_s=room.pod_s)
    await room.point_at("web", GOOD)
    await room.ready("web")


@case
async def secret_that_does_not_exist(room: Room) -> None:
    """The Secret comes late, and first without what it must say; then the model comes from S3."""
    source = {"uri": "s3://models/resnet", "secretRef": {"name": "reader"}}
    await room.create("web", spec(models=[{"name": "m", "source": source}]))
    await room.fails("web", "SecretNotFound", "reader", "create it", within_s=room.pod_s)
    endpoint = f"http://{store.ADDRESS}:{store.PORT_S3}"
    await room.add("Secret", "reader", {"stringData": {"endpoint": endpoint}})
    await room.ready("web")


@case
async def nothing_stored_at_the_address(room: Room) -> None:
    endpoint = f"http://{store.ADDRESS}:{store.PORT_S3}"
    await room.add("Secret", "reader", {"stringData": {"endpoint": endpoint}})
    source = {"uri": "s3://models/nope", "secretRef": {"name": "reader"}}
    await room.create("web", spec(models=[{"name": "m", "source": source}]))
    await room.fails("web", "ModelNotFound", "s3://models/nope", "check", within_s=room.pod_s)
    right = {**source, "uri": "s3://models/resnet"}
    await room.change("web", {"spec": {"models": [{"name": "m", "source": right}]}})
    await room.ready("web")


@case
async def claim_that_comes_late_and_empty(room: Room) -> None:
    """Nothing but the world changes: claim, then model; the service gets there by itself."""
    with tempfile.TemporaryDirectory(dir=REPOSITORY / "build") as folder:
        os.chmod(folder, 0o755)
        await room.create("web", spec("pvc://store/resnet"))
        await room.fails("web", "Unschedulable", '"store" not found')
        await _bind(room, folder)
        await room.fails("web", "ModelNotFound", "resnet", within_s=room.pod_s)
        room.now()
        repository.write("resnet", Path(folder) / "resnet")
        await room.ready("web", within_s=120)
        await room.api.delete(path("v1", "persistentvolumes", None, room.name))


async def _bind(room: Room, folder: str) -> None:
    """A claim `store` on a folder of this machine, which is the node's as well."""
    sizes = {"storage": "1Gi"}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": room.name},
        "spec": {
            "capacity": sizes,
            "accessModes": ["ReadOnlyMany"],
            "hostPath": {"path": folder, "type": "Directory"},
            "claimRef": {"namespace": room.name, "name": "store"},
        },
    }
    await room.api.create(path("v1", "persistentvolumes"), volume)
    claim = {
        "storageClassName": "",
        "volumeName": room.name,
        "accessModes": ["ReadOnlyMany"],
        "resources": {"requests": sizes},
    }
    await room.add("PersistentVolumeClaim", "store", {"spec": claim})


@case
async def model_that_loads_and_never_answers(room: Room) -> None:
    await room.create("web", spec("image:///opt/models-faulty/hang"))
    await room.ready("web")
    asking = _ask(room, (await room.get("web", "Service"))["spec"]["clusterIP"])
    try:
        room.now()
        await room.fails("web", "NotAnswering", "the model hangs", "roll back")
    finally:
        asking.kill()
        await asyncio.to_thread(asking.wait)
    await room.point_at("web", GOOD)
    await room.ready("web")


def _ask(room: Room, address: str) -> subprocess.Popen[bytes]:
    """Sixteen requests that wait for their answer, from inside the cluster's network."""
    body = json.dumps(
        {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    )
    url = f"http://{address}:{names.PORT_HTTP}/v2/models/m/infer"
    one = f"urllib.request.urlopen({url!r}, {body!r}.encode(), timeout=300)"
    script = (
        "import threading, urllib.request\n"
        f"for _ in range(16): threading.Thread(target=lambda: {one}).start()"
    )
    return room.cluster.popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("name", case.names)
def test_bad_input(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
