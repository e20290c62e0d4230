"""The transport layer against a real API server: what the fake one takes for granted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from conch.errors import ApiError, Conflict, Invalid, NotFound
from conch.kube.lease import Elector
from conch.kube.quantity import canonical
from conch.kube.reflector import Change, Reflector
from conch.kube.transport import Api, Object, path
from conch.kube.views import whole
from tests.kube.fake_api import until
from tests.running import connected

if TYPE_CHECKING:
    from e2e.testbed import Cluster

pytestmark = pytest.mark.cluster

NAMESPACE = "kube-layer"
MAPS = path("v1", "configmaps", NAMESPACE)


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    async with connected(cluster, NAMESPACE) as client:
        for item in await client.list(MAPS, label_selector="conch.test/kube"):
            await client.delete(f"{MAPS}/{item['metadata']['name']}")
        yield client


def config(name: str, **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"conch.test/kube": ""}},
        "data": data,
    }


async def test_writes_and_refusals(api: Api) -> None:
    one = f"{MAPS}/one"
    applied = await api.apply(one, config("one", a="1"), "conch")
    again = await api.apply(one, config("one", a="1"), "conch")
    assert again["metadata"]["resourceVersion"] == applied["metadata"]["resourceVersion"]
    with pytest.raises(Conflict, match='conflict with "conch"') as conflict:
        await api.apply(one, config("one", a="2"), "rival", force=False)
    assert conflict.value.reason == "Conflict"
    with pytest.raises(Conflict) as exists:
        await api.create(MAPS, config("one"))
    assert exists.value.reason == "AlreadyExists"
    patched = await api.merge_patch(one, {"data": {"a": None, "b": "2"}})
    assert patched["data"] == {"b": "2"}
    with pytest.raises(Conflict):  # optimistic: applied is an old version
        await api.put(one, applied)
    with pytest.raises(Invalid, match=r"metadata\.name"):
        await api.create(MAPS, config("No_Such_Name"))
    with pytest.raises(Conflict, match="UID"):
        await api.delete(one, uid="00000000-0000-0000-0000-000000000000")
    await api.delete(one, uid=applied["metadata"]["uid"], propagation="Background")
    with pytest.raises(NotFound):
        await api.get(one)


async def test_lists_come_in_chunks(api: Api) -> None:
    for number in range(5):
        await api.create(MAPS, config(f"m{number}"))
    items = await api.list(MAPS, label_selector="conch.test/kube", chunk=2)
    assert [item["metadata"]["name"] for item in items] == [f"m{n}" for n in range(5)]
    with pytest.raises(ApiError, match="continue token"):
        await api.get_raw(MAPS, limit=2, **{"continue": "bm9uc2Vuc2U"})


async def test_the_reflector_mirrors_what_happens(api: Api) -> None:
    told: list[Change[Object]] = []
    await api.create(MAPS, config("first", v="1"))
    reflector: Reflector[Object] = Reflector(
        api,
        MAPS,
        whole("v1", "ConfigMap"),
        told.append,
        label_selector="conch.test/kube",
        watch_s=1.0,  # several streams within this test
    )
    task = asyncio.create_task(reflector.run())
    try:
        await until(reflector.synced.is_set)
        assert {name for _, name in reflector.store} == {"first"}
        for number in range(30):
            await api.apply(f"{MAPS}/first", config("first", v=f"x{number}"), "conch")
            await api.create(MAPS, config(f"n{number}"))
            await api.delete(f"{MAPS}/n{number}")
            await asyncio.sleep(0.1)
        await until(lambda: reflector.store[NAMESPACE, "first"]["data"]["v"] == "x29")
        await until(lambda: len(reflector.store) == 1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    kinds = [(change.kind, change.name) for change in told]
    assert len(kinds) == 1 + 30 * 3
    assert kinds.count(("modified", "first")) == 30
    assert sum(kind == "deleted" for kind, _ in kinds) == 30
    assert reflector.restarts >= 1
    live = reflector.store[NAMESPACE, "first"]
    assert (live["kind"], "managedFields" in live["metadata"]) == ("ConfigMap", False)


async def test_candidates_take_turns(api: Api) -> None:
    def candidate(name: str) -> Elector:
        return Elector(
            api, NAMESPACE, "conch", name, duration_s=3.0, renew_deadline_s=2.0, retry_s=0.1
        )

    one, two = candidate("one"), candidate("two")
    first = asyncio.create_task(one.run())
    await until(one.is_leader.is_set)
    second = asyncio.create_task(two.run())
    await until(lambda: two.holder == "one")
    lease = await api.get(path("coordination.k8s.io/v1", "leases", NAMESPACE, "conch"))
    assert lease["spec"]["renewTime"] in one._claimed  # the server keeps our very text
    first.cancel()
    await until(two.is_leader.is_set, within_s=2.0)
    assert one.lost.is_set()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)


async def test_quantities_are_stored_in_canonical_form(api: Api) -> None:
    forms: list[str | int | float] = [
        *("1000m", "0.5", "1.125", "1.250", "2.50", "1500m", "1e3", "100e-9", "1k", "1024k", "+5"),
        *("1024Mi", "1.5Gi", "2048Ki", "8Ki", "0.5Gi", "512Ki", "0.1Ki", "1.0001Ki", "129M"),
        *("80Gi", "81559Mi", "3Ti", "1000000", "0.0", "1n", "1.123456", 2, 1000, 0.25, 1.5, 2000.0),
    ]
    hard = {f"requests.conch.test/r{number}": form for number, form in enumerate(forms)}
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",  # takes any resource name and amount, and stores them like a pod
        "metadata": {"name": "forms", "namespace": NAMESPACE},
        "spec": {"hard": hard},
    }
    where = path("v1", "resourcequotas", NAMESPACE, "forms")
    stored = await api.apply(where, quota, "test", dryRun="All")
    assert stored["spec"]["hard"] == {name: canonical(form) for name, form in hard.items()}
