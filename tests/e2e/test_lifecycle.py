"""What happens to a service during its life: collisions, hands in its children, pauses, deletions.

Most of these need no server that serves, so KWOK plays the pods.
"""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names
from conch.errors import NotFound
from conch.kube.transport import path
from conch.kube.views import Object
from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.room import CHILDREN, LIMIT_S, Room, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

case = Cases()


def _foreign_deployment() -> Object:
    labels = {"app": "theirs"}
    container = {"name": "c", "image": "example.invalid/theirs:1"}
    return {
        "metadata": {"labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


@case
async def collision_with_a_deployment(room: Room) -> None:
    await _collides(room, "Deployment", _foreign_deployment())


@case
async def collision_with_a_service(room: Room) -> None:
    await _collides(room, "Service", {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}})


async def _collides(room: Room, kind: str, content: Object) -> None:
    foreign = await room.add(kind, "web", content)
    await room.create("web", fake())
    await room.fails("web", "NameCollision", f"{kind} web exists", "delete or rename")
    live = await room.get("web", kind)
    for of in ("uid", "labels", "ownerReferences"):
        assert live["metadata"].get(of) == foreign["metadata"].get(of)
    assert live["spec"] == foreign["spec"]
    assert _managers(live) <= _managers(foreign) | {"kube-controller-manager"}
    assert [o["metadata"]["name"] for k in CHILDREN for o in await room.all(k)] == ["web"]
    await room.delete("web", kind)
    await room.ready("web")


def _managers(obj: Object) -> set[str]:
    return {str(m["manager"]) for m in obj["metadata"].get("managedFields", [])}


@case
async def children_edited_by_hand(room: Room) -> None:
    await room.create("web", fake(scaling={"mode": "Fixed", "replicas": 2}))
    await room.whole("web")
    pods = {p["metadata"]["uid"] for p in await room.pods()}

    async def back(kind: str, patch: Object, was: Any, *where: str | int) -> None:
        await room.change("web", patch, kind)

        async def restored() -> bool:
            found: Any = await room.get("web", kind)
            for step in where:
                found = found[step]
            return bool(found == was)

        await room.until(restored, LIMIT_S, room.nothing, f"{kind} restored")

    await back("Service", {"spec": {"selector": {names.LABEL_SERVICE: "x"}}}, "web",
               "spec", "selector", names.LABEL_SERVICE)  # fmt: skip
    await back("Deployment", {"spec": {"replicas": 5}}, 2, "spec", "replicas")
    await back("Deployment", {"spec": {"minReadySeconds": 77}}, 1, "spec", "minReadySeconds")
    await room.ready("web")
    assert pods <= {p["metadata"]["uid"] for p in await room.pods()}


@case
async def children_deleted_by_hand(room: Room) -> None:
    await room.create("web", fake(scaling={"mode": "Fixed", "replicas": 2}))
    await room.whole("web")
    for kind in CHILDREN:
        before = (await room.get("web", kind))["metadata"]["uid"]
        await room.delete("web", kind, "Background")

        async def another(kind: str = kind, before: str = before) -> bool:
            try:
                return bool((await room.get("web", kind))["metadata"]["uid"] != before)
            except NotFound:
                return False

        await room.until(another, LIMIT_S, room.nothing, f"{kind} made again")
    await room.ready("web")


@case
async def paused(room: Room) -> None:
    await room.create("web", fake())
    await room.ready("web")
    await room.change("web", {"spec": {"paused": True}})
    await room.reports("web", "Reconciling", "False", "Paused")
    await room.change("web", {"spec": {"scaling": {"mode": "Fixed", "replicas": 3}}})
    await room.delete("web", "NetworkPolicy")
    # The report about the changed spec comes after everything else that it could have led to.
    await room.reports("web", "Reconciling", "False", "Paused")
    assert (await room.get("web", "Deployment"))["spec"]["replicas"] == 1
    assert await room.all("NetworkPolicy") == []
    await room.change("web", {"spec": {"paused": False}})
    await room.ready("web")
    assert (await room.get("web", "Deployment"))["spec"]["replicas"] == 3
    await room.get("web", "NetworkPolicy")


@case
async def deletion_takes_its_own_and_nothing_else(room: Room) -> None:
    labels = {"metadata": {"labels": names.service_labels("web")}}
    await room.add("ConfigMap", "theirs", labels)
    await room.add("Secret", "theirs", labels)
    await room.add("Service", "theirs", {"spec": {"ports": [{"port": 80}]}})
    await room.create("web", fake(scaling={"mode": "Fixed", "replicas": 2}))
    await room.create("other", fake())
    await room.whole("web")
    await room.ready("other")
    await room.delete("web")

    async def gone() -> bool:
        left = [o for kind in (*CHILDREN, "Pod") for o in await room.all(kind)]
        owners = {o["metadata"].get("labels", {}).get(names.LABEL_SERVICE) for o in left}
        return "web" not in owners

    await room.until(gone, 60, room.nothing, "nothing of it is left")
    for kind in ("ConfigMap", "Secret", "Service"):
        assert "theirs" in {o["metadata"]["name"] for o in await room.all(kind)}
    await room.ready("other")


@case
async def foreground_deletion(room: Room) -> None:
    await room.create("web", fake())
    await room.ready("web")
    await room.delete("web", propagation="Foreground")
    await room.gone("web", "InferenceService", within_s=60)
    await room.empty()


@case
async def made_again_at_once(room: Room) -> None:
    await room.create("web", fake())
    await room.ready("web")
    first = (await room.get("web"))["metadata"]["uid"]
    await room.delete("web")
    await room.gone("web", "InferenceService")
    second = (await room.create("web", fake(scaling={"mode": "Fixed", "replicas": 2})))["metadata"][
        "uid"
    ]
    assert first != second
    await room.whole("web")

    async def whole() -> bool:
        owners = [
            owner["uid"]
            for kind in CHILDREN
            for o in await room.all(kind)
            for owner in o["metadata"]["ownerReferences"]
        ]
        return owners == [second] * len(CHILDREN) and len(await room.pods()) == 2

    await room.until(whole, 60, room.nothing, "only the second's children")


@case
async def orphaned_and_made_again(room: Room) -> None:
    """Children left by `--cascade=orphan` belong to nobody: they are not taken, but named."""
    await room.create("web", fake())
    await room.ready("web")
    await room.delete("web", propagation="Orphan")
    await room.gone("web", "InferenceService", within_s=30)
    await room.create("web", fake())
    await room.fails("web", "NameCollision", "delete or rename")
    for kind in CHILDREN:
        if await room.all(kind):
            await room.delete("web", kind)
    await room.ready("web")


@case
async def namespace_deleted_while_it_starts(room: Room) -> None:
    inner = room.next_door()
    await inner.enter()
    for number in range(5):
        await inner.create(f"web-{number}", fake())
    room.now()
    await inner.leave()

    async def gone() -> bool:
        try:
            await room.api.get(path("v1", "namespaces", None, inner.name))
        except NotFound:
            return True
        return False

    await room.until(gone, 90, room.nothing, "the namespace is gone")


@case
async def fixed_is_fixed(room: Room) -> None:
    await room.create("web", fake(scaling={"mode": "Fixed", "replicas": 2}))
    await room.whole("web")
    await room.reports("web", "Scaling", "True", "Fixed")
    await room.change("web", {"spec": {"scaling": {"replicas": 3}}})
    await room.reports("web", "Available", "True", "Available", "All 3 replicas")
    assert len(await room.pods()) == 3
    await room.change("web", {"spec": {"scaling": {"replicas": 0}}})
    await room.fails("web", "ScaledToZero")
    await room.change("web", {"spec": {"scaling": {"replicas": 1}}})
    await room.ready("web")


@case
async def external_follows_scale(room: Room) -> None:
    scaling = {"mode": "External", "replicas": 1, "minReplicas": 1, "maxReplicas": 3}
    await room.create("web", fake(scaling=scaling))
    await room.ready("web")
    scale = path(names.API_VERSION, "inferenceservices", room.name, "web", "scale")
    for asked, given in ((3, 3), (9, 3), (1, 1)):
        room.now()
        await room.api.merge_patch(scale, {"spec": {"replicas": asked}})

        async def followed(given: int = given) -> bool:
            live = await room.api.get(scale)
            deployment = await room.get("web", "Deployment")
            return bool(deployment["spec"]["replicas"] == live["status"]["replicas"] == given)

        await room.until(followed, LIMIT_S, room.nothing, f"{asked} asked for, {given} given")
    assert (await room.api.get(scale))["status"]["selector"] == names.selector_string("web")


@pytest.mark.parametrize("name", case.names)
def test_lifecycle(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
