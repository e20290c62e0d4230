"""The one writer: what it forces and what not, the Lease, the rate, and events told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from conch.api import names
from conch.api.conditions import Condition, ConditionType, Reason
from conch.errors import Conflict, LeaseLost, NotFound, NotOurs
from conch.kube.credentials import Credentials
from conch.kube.transport import Api
from conch.reconcile.apply import RateLimit, Writer
from tests.kube.fake_api import FakeApi, status
from tests.reconcile.builders import KEY, NOW, UID, raw

DEPLOYMENTS = f"/apis/apps/v1/namespaces/{KEY.namespace}/deployments"
SERVICES = f"/apis/{names.API_VERSION}/namespaces/{KEY.namespace}/inferenceservices"
EVENTS = f"/api/v1/namespaces/{KEY.namespace}/events"
CHILD = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": KEY.name, "namespace": KEY.namespace, "uid": "d1"},
}
PLACED = Condition(ConditionType.PLACED, "True", Reason.PLACED, "on l4")


class World:
    def __init__(self, server: FakeApi, api: Api) -> None:
        self.server = server
        self.leads = True
        self.writer = Writer(api, RateLimit(1000, 1000), lambda: self.leads)

    async def tell(self, since: str = "", message: str = "on l4", **meta: Any) -> None:
        said = Condition(PLACED.type, PLACED.status, PLACED.reason, message)
        await self.writer.event(raw(**meta), said, warning=False, since=since, now=NOW)

    def events(self) -> list[dict[str, Any]]:
        return [seen.json for seen in self.server.seen if seen.path == EVENTS]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with FakeApi() as server, Api(Credentials.anonymous(server.url)) as api:
        yield World(server, api)


# --- children -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("create", "force"), [(True, "false"), (False, "true")])
async def test_only_what_is_known_to_be_ours_is_forced(
    world: World, create: bool, force: str
) -> None:
    await world.writer.apply(CHILD, "it does not exist", create=create)
    [seen] = world.server.seen
    assert (seen.method, seen.path) == ("PATCH", f"{DEPLOYMENTS}/{KEY.name}")
    assert seen.query == {"fieldManager": names.MANAGER_WORKLOAD, "force": force}


async def test_a_conflict_at_the_first_apply_means_somebody_elses(world: World) -> None:
    world.server.answer("PATCH", status(409, "Conflict"))
    with pytest.raises(NotOurs, match="Deployment resnet"):
        await world.writer.apply(CHILD, "", create=True)


async def test_a_later_conflict_is_only_a_conflict(world: World) -> None:
    world.server.answer("PATCH", status(409, "Conflict"))
    with pytest.raises(Conflict):
        await world.writer.apply(CHILD, "", create=False)


async def test_replicas_have_a_field_manager_of_their_own(world: World) -> None:
    await world.writer.scale(KEY, 3)
    [seen] = world.server.seen
    assert seen.query["fieldManager"] == names.MANAGER_SCALER
    assert seen.json["spec"] == {"replicas": 3}


@pytest.mark.parametrize("answer", [404, 409])
async def test_deleting_what_is_gone_or_replaced_is_fine(world: World, answer: int) -> None:
    world.server.answer("DELETE", status(answer))
    await world.writer.delete(CHILD)
    [seen] = world.server.seen
    assert seen.json["preconditions"] == {"uid": "d1"}


async def test_a_child_is_read_as_the_kind_it_is(world: World) -> None:
    assert await world.writer.read_child(CHILD) is None
    world.server.put(DEPLOYMENTS, KEY.name, KEY.namespace)
    found = await world.writer.read_child(CHILD)
    assert found is not None
    assert (found["kind"], found["apiVersion"]) == ("Deployment", "apps/v1")


async def test_a_service_exists_only_as_the_very_one(world: World) -> None:
    assert not await world.writer.service_exists(KEY, "u1")
    live = world.server.put(SERVICES, KEY.name, KEY.namespace)
    uid = live["metadata"]["uid"]
    assert await world.writer.service_exists(KEY, uid)
    assert not await world.writer.service_exists(KEY, "an earlier one")
    live["metadata"]["deletionTimestamp"] = NOW
    assert not await world.writer.service_exists(KEY, uid)


# --- status and events ----------------------------------------------------------------------------


async def test_a_status_is_about_the_very_object(world: World) -> None:
    await world.writer.status(KEY, UID, {"replicas": 1})
    [seen] = world.server.seen
    assert seen.path == f"{SERVICES}/{KEY.name}/status"
    assert seen.query["fieldManager"] == names.MANAGER_STATUS
    assert seen.json["metadata"]["uid"] == UID
    world.server.answer("PATCH", status(404))
    with pytest.raises(NotFound):
        await world.writer.status(KEY, UID, {})


async def test_the_same_transition_is_told_once(world: World) -> None:
    await world.tell("2026")
    await world.tell("2026", message="other words for it")
    first, second = (event["metadata"]["name"] for event in world.events())
    assert first == second
    assert world.server.find(f"{EVENTS}/{first}")["message"] == "on l4"  # type: ignore[index]


async def test_other_transitions_are_other_events(world: World) -> None:
    await world.tell("2026")
    await world.tell("2027")
    await world.tell("2026", uid="a namesake")
    assert len({event["metadata"]["name"] for event in world.events()}) == 3


async def test_an_event_stays_within_its_bounds(world: World) -> None:
    await world.tell(message="x" * 5000)
    [event] = world.events()
    assert len(event["message"]) == 1000
    assert event["involvedObject"]["uid"] == UID


# --- the Lease and the rate -----------------------------------------------------------------------

WRITES: dict[str, Callable[[World], Awaitable[object]]] = {
    "apply": lambda w: w.writer.apply(CHILD, "", create=True),
    "scale": lambda w: w.writer.scale(KEY, 1),
    "delete": lambda w: w.writer.delete(CHILD),
    "status": lambda w: w.writer.status(KEY, UID, {}),
    "event": lambda w: w.tell(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_nothing_is_written_without_the_lease(
    world: World, write: Callable[[World], Awaitable[object]]
) -> None:
    world.leads = False
    with pytest.raises(LeaseLost):
        await write(world)
    assert world.server.seen == []


async def test_the_lease_is_asked_for_after_the_wait(world: World) -> None:
    class Wait(RateLimit):
        async def take(self) -> None:
            world.leads = False

    world.writer._limit = Wait(1, 1)
    with pytest.raises(LeaseLost):
        await world.writer.scale(KEY, 1)
    assert world.server.seen == []


async def test_a_burst_passes_and_then_the_rate_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    waited_s: list[float] = []

    async def sleep(seconds: float) -> None:
        waited_s.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 100.0)
    limit = RateLimit(per_s=10, burst=3)
    for _ in range(5):
        await limit.take()
    assert waited_s == pytest.approx([0.1, 0.2])
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 10_000.0)
    for _ in range(3):
        await limit.take()
    assert len(waited_s) == 2, "it fills up to the burst, and no further"
    await limit.take()
    assert waited_s[2:] == pytest.approx([0.1])
