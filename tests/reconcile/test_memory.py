"""The memory that survives a restart: what shares it, what is written when, and hostile content."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest

from conch.api import names
from conch.autoscale import ScalerState
from conch.autoscale.curve import Curve
from conch.autoscale.season import Season
from conch.autoscale.state import ModelState, Speed
from conch.errors import ApiUnreachable, Forbidden, LeaseLost, NotFound
from conch.observe.state import ClusterState
from conch.reconcile import memory
from conch.reconcile.memory import Memory
from conch.triton.sample import BatchStat
from tests.reconcile.builders import KEY, UID, build, raw, state

SPEC = {"models": [{"name": "m", "source": {"uri": "s3://models/m"}, "config": {"instances": 2}}]}


def curve(ms: float = 50) -> Curve:
    return Curve().learned({1: BatchStat(100, ms / 10)}, 0.0)


def known(ms: float = 50) -> ModelState:
    """What a scaler knows of a model on the class that the service asks for."""
    return ModelState({"l4": Speed(curve(ms))})


def world(spec: dict[str, Any] | None = None) -> tuple[ClusterState, dict[str, ScalerState]]:
    cluster = state(raw(spec or SPEC))
    build(cluster)
    return cluster, {UID: ScalerState(models={"m": known()})}


def told() -> dict[str, str]:
    """What the operator before wrote."""
    made = Memory(*world())
    assert made.learn(1000.0)
    return made.data()


def begun(data: dict[str, Any], spec: dict[str, Any] | None = None) -> ScalerState:
    cluster, _ = world(spec)
    fresh = Memory(cluster, {})
    fresh.load(data)
    return fresh.begin(KEY, cluster.services[KEY])


def test_a_restart_remembers() -> None:
    found = begun(told()).models["m"].speeds["l4"].curve
    assert found.service_s(4) == pytest.approx(curve().service_s(4), rel=0.05)


@pytest.mark.parametrize(
    "change",
    [
        {"source": {"uri": "s3://models/m2"}},
        {"source": {"uri": "s3://models/m", "digest": "sha256:" + "0" * 64}},
        {"config": {"instances": 1}},
    ],
)
def test_another_model_is_another(change: dict[str, Any]) -> None:
    spec = {"models": [{**SPEC["models"][0], **change}]}
    assert begun(told(), spec).models == {}


def test_a_name_or_a_batch_limit_is_no_other_model() -> None:
    config = {"instances": 2, "maxBatchSize": 8}
    spec = {"models": [{**SPEC["models"][0], "name": "renamed", "config": config}]}
    assert set(begun(told(), spec).models) == {"renamed"}


@pytest.mark.parametrize("what", ["another class", "devices claimed otherwise"])
def test_another_kind_of_server_is_another(what: str) -> None:
    cluster, _ = world()
    live = cluster.child(KEY, "Deployment", KEY.name)
    assert live is not None
    template = copy.deepcopy(live["spec"]["template"])
    if what == "another class":
        template["metadata"]["labels"][names.LABEL_ACCELERATOR] = "t4"
    else:
        template["spec"]["resourceClaims"] = [{"resourceClaimTemplateName": "of-two"}]
    cluster.set_child({**live, "spec": {**live["spec"], "template": template}})
    fresh = Memory(cluster, {})
    fresh.load(told())
    assert fresh.begin(KEY, cluster.services[KEY]).models == {}


def test_without_a_deployment_nothing_is_known_of_a_service() -> None:
    cluster = state(raw(SPEC))
    fresh = Memory(cluster, {UID: ScalerState(models={"m": known()})})
    assert fresh.begin(KEY, cluster.services[KEY]).models == {}
    assert not fresh.learn(0.0)


def test_news_is_told_once() -> None:
    cluster, scalers = world()
    made = Memory(cluster, scalers)
    assert made.learn(1000.0)
    assert not made.learn(1060.0)
    scalers[UID] = ScalerState(models={"m": known(53)})
    assert not made.learn(1120.0)
    scalers[UID] = ScalerState(models={"m": known(80)})
    assert made.learn(1180.0)


def test_a_doubted_memory_is_neither_used_nor_renewed() -> None:
    cluster, scalers = world()
    made = Memory(cluster, scalers)
    made.load(told())
    record = cluster.services[KEY]
    made.doubt(KEY, record)
    assert made.begin(KEY, record) == ScalerState()
    scalers[UID] = ScalerState(models={"m": known(80)})
    assert not made.learn(2000.0)


def test_the_days_of_a_service_are_remembered_whatever_serves_it() -> None:
    cluster, scalers = world()
    made = Memory(cluster, scalers)
    season = Season()
    for at_s in range(0, 6 * 3600, 60):
        season = season.after(at_s, 5.0 if at_s > 3 * 3600 else 1.0, 45.0)
    scalers[UID] = ScalerState(season=season)
    assert not made.learn(0.0)
    assert made.learn(3600.0)
    assert not made.learn(7200.0)
    other = {"models": [{**SPEC["models"][0], "source": {"uri": "s3://models/m2"}}]}
    found = begun(made.data(), other).season
    assert found.today == season.today
    made.doubt(KEY, cluster.services[KEY])
    assert made.begin(KEY, cluster.services[KEY]) == ScalerState()


def test_it_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = next(iter(told().values()))
    many = {f"e{n:04}": entry.replace("1000", str(n)) for n in range(2500)}
    made = Memory(*world())
    made.load(many)
    assert len(made.data()) == 2000
    monkeypatch.setattr(memory, "_MOST_BYTES", 500)
    made.learn(9000.0)
    kept = made.data()
    assert 0 < len(kept) < 10
    assert sum(len(k) + len(v) for k, v in kept.items()) <= 500
    assert any('"at":9000' in text for text in kept.values())


def test_what_cannot_be_read_is_ignored_and_told(caplog: pytest.LogCaptureFixture) -> None:
    hostile = {"a": "x", "b": 7, "c": json.dumps({"model": "m", "at": 1, "sizes": [[1, 2]]})}
    cluster, _ = world()
    made = Memory(cluster, {})
    made.load(hostile | told())
    assert len(caplog.records) == 1
    assert "3 entries cannot be read" in caplog.text
    assert set(made.begin(KEY, cluster.services[KEY]).models) == {"m"}


class Server:
    """The API server, or a writer, that answers as the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.writes: list[dict[str, str]] = []

    async def get(self, _: str) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def remember(self, _: str, name: str, data: dict[str, str]) -> None:
        assert name == memory.CONFIG_MAP
        self.writes.append(data)
        if isinstance(self.answer, Exception):
            raise self.answer


@pytest.mark.parametrize(
    "answer",
    [NotFound(404, message="x"), Forbidden(403, message="x"), ApiUnreachable("x"), {}, {"data": 7}],
)
async def test_no_memory_is_no_trouble(answer: Any) -> None:
    made = Memory(*world())
    await made.recall(Server(answer), "ns")  # type: ignore[arg-type]
    assert made.data() == {}


async def test_what_was_written_is_read() -> None:
    cluster, _ = world()
    made = Memory(cluster, {})
    await made.recall(Server({"data": told()}), "ns")  # type: ignore[arg-type]
    assert set(made.begin(KEY, cluster.services[KEY]).models) == {"m"}


async def _kept(server: Server, rounds: int, monkeypatch: pytest.MonkeyPatch, ms: Any) -> Memory:
    """``keep`` for so many minutes; the curve's s(1) is ``ms(minute)`` milliseconds."""
    cluster, scalers = world()
    made = Memory(cluster, scalers)
    minute = 0

    async def pause(_: float) -> None:
        nonlocal minute
        minute += 1
        scalers[UID] = ScalerState(models={"m": known(ms(minute))})
        if minute > rounds:
            raise asyncio.CancelledError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(memory.asyncio, "sleep", pause)
    monkeypatch.setattr(loop, "time", lambda: 60.0 * minute)
    with pytest.raises(asyncio.CancelledError):
        await made.keep(server, "ns")  # type: ignore[arg-type]
    monkeypatch.undo()
    return made


async def test_it_is_written_when_it_is_news_and_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(None)
    await _kept(server, 100, monkeypatch, lambda minute: 50)
    assert len(server.writes) == 1


async def test_news_waits_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(None)
    await _kept(server, 40, monkeypatch, lambda minute: 50 * 1.2**minute)
    assert len(server.writes) == 4


async def test_a_write_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(Forbidden(403, message="no"))
    await _kept(server, 25, monkeypatch, lambda minute: 50)
    assert len(server.writes) == 3


async def test_without_the_lease_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LeaseLost):
        await _kept(Server(LeaseLost("gone")), 3, monkeypatch, lambda minute: 50)
