from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from conch.kube.reflector import Change, Reflector
from conch.kube.transport import Api
from conch.kube.views import Pod, decoder, whole
from tests.kube.fake_api import FakeApi, status, until

PODS = "/api/v1/pods"
Objects = Reflector[dict[str, Any]]


class Mirror:
    """A running reflector of dicts and what it told."""

    def __init__(self, api: Api, **options: Any) -> None:
        self.told: list[tuple[str, str]] = []
        self.changes: list[Change[dict[str, Any]]] = []
        options = {"backoff_first_s": 0.01, "backoff_max_s": 0.05, **options}
        decode: Callable[[bytes], dict[str, Any]] = options.pop("decode", json.loads)
        self.reflector: Objects = Reflector(api, PODS, decode, self.on_change, **options)

    def on_change(self, change: Change[dict[str, Any]]) -> None:
        self.told.append((change.kind, change.name))
        self.changes.append(change)

    @property
    def names(self) -> list[str]:
        return sorted(name for _, name in self.reflector.store)

    def value(self, name: str) -> Any:
        return self.reflector.store["ns", name].get("value")


@contextlib.asynccontextmanager
async def mirror(api: Api, **options: Any) -> AsyncIterator[Mirror]:
    running = Mirror(api, **options)
    task = asyncio.create_task(running.reflector.run())
    try:
        async with asyncio.timeout(5):
            await running.reflector.synced.wait()
        yield running
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
def world(server: FakeApi) -> FakeApi:
    for name in ("a", "b", "c"):
        server.put(PODS, name, value=1)
    return server


async def test_it_lists_then_follows(world: FakeApi, api: Api) -> None:
    async with mirror(api, label_selector="x=y", field_selector="spec.z=1") as pods:
        assert pods.told == [("added", "a"), ("added", "b"), ("added", "c")]
        await until(lambda: world.streams)
        world.put(PODS, "d", value=1)
        world.put(PODS, "a", value=2)
        world.remove(PODS, "b")
        await until(lambda: len(pods.told) == 6)
        assert pods.told[3:] == [("added", "d"), ("modified", "a"), ("deleted", "b")]
        assert pods.names == ["a", "c", "d"]
        old, new = pods.changes[4].old, pods.changes[4].new
        assert old is not None
        assert new is not None
        assert (old["value"], new["value"]) == (1, 2)
        assert pods.changes[5].new is None
    assert {request.query["labelSelector"] for request in world.seen} == {"x=y"}
    assert {request.query["fieldSelector"] for request in world.seen} == {"spec.z=1"}
    assert world.seen[1].query["allowWatchBookmarks"] == "true"
    assert (world.count("GET"), world.count("WATCH")) == (1, 1)


async def test_a_kind_the_server_lacks_may_come_later(server: FakeApi, api: Api) -> None:
    async with mirror(api, optional=True, absent_s=0.01) as pods:
        assert pods.names == []
        server.put(PODS, "a", value=1)
        await until(lambda: pods.told == [("added", "a")])


async def test_an_optional_kind_that_may_not_be_listed_is_none(
    server: FakeApi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    server.put(PODS, "a", value=1)
    server.answer("GET", status(403, "Forbidden", "no list for you"))
    async with mirror(api, optional=True, absent_s=0.01) as pods:
        assert "taken for none" in caplog.text
        await until(lambda: pods.told == [("added", "a")])


async def test_without_being_optional_it_is_waited_for(server: FakeApi, api: Api) -> None:
    told: list[Change[Pod]] = []
    waiting: Reflector[Pod] = Reflector(
        api, PODS, decoder(Pod), told.append, backoff_first_s=0.01, backoff_max_s=0.01
    )
    task = asyncio.create_task(waiting.run())
    await until(lambda: waiting.restarts > 2)
    assert not waiting.synced.is_set()
    server.put(PODS, "a")
    await until(waiting.synced.is_set)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_store_cannot_be_written(world: FakeApi, api: Api) -> None:
    async with mirror(api) as pods:
        with pytest.raises(TypeError):
            pods.reflector.store["ns", "a"] = {}  # type: ignore[index]


async def test_views_and_whole_objects(server: FakeApi, api: Api) -> None:
    server.put(PODS, "a", status={"podIP": "10.0.0.1"})
    told: list[Change[Pod]] = []
    reflector: Reflector[Pod] = Reflector(api, PODS, decoder(Pod), told.append)
    task = asyncio.create_task(reflector.run())
    await until(lambda: told)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told[0].new is not None
    assert told[0].new.status.pod_ip == "10.0.0.1"
    raw = b'{"metadata": {"name": "a", "managedFields": [{}]}, "spec": {"x": [1]}}'
    assert whole("v1", "Pod")(raw) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"x": [1]},
    }


async def test_a_long_list_comes_in_chunks(server: FakeApi, api: Api) -> None:
    for number in range(25):
        server.put(PODS, f"p{number}")
    async with mirror(api, chunk=10) as pods:
        assert len(pods.names) == 25
        assert server.count("GET") == 3


async def test_a_page_is_read_before_the_next_is_asked_for(server: FakeApi, api: Api) -> None:
    for number in range(25):
        server.put(PODS, f"p{number:02}")
    asked: list[int] = []

    def decode(raw: bytes) -> dict[str, Any]:
        asked.append(server.count("GET"))
        return dict(json.loads(raw))

    async with mirror(api, chunk=10, decode=decode) as pods:
        assert len(pods.names) == 25
    assert asked == [1] * 10 + [2] * 10 + [3] * 5


async def test_a_stream_that_ends_is_resumed_without_a_list(world: FakeApi, api: Api) -> None:
    async with mirror(api) as pods:
        for value in (2, 3, 4):
            await until(lambda: world.streams)
            world.cut()
            world.put(PODS, "a", value=value)  # while nobody watches, or in the ending stream
            await until(lambda value=value: pods.value("a") == value)  # type: ignore[misc]
        assert world.count("GET") == 1
        assert pods.told.count(("modified", "a")) == 3
        assert pods.reflector.restarts >= 2


async def test_bookmarks_move_the_place_to_resume_at(world: FakeApi, api: Api) -> None:
    async with mirror(api):
        await until(lambda: world.streams)
        world.bookmark(PODS)
        listed = world.seen[1].query["resourceVersion"]
        world.cut()
        await until(lambda: world.count("WATCH") == 2)
        assert int(world.seen[2].query["resourceVersion"]) == int(listed) + 1


async def test_what_vanished_during_an_outage_is_told(world: FakeApi, api: Api) -> None:
    """kopf's index keeps such objects for ever."""
    async with mirror(api) as pods:
        await until(lambda: world.streams)
        world.mute = True
        world.remove(PODS, "a")
        world.put(PODS, "b", value=2)
        world.remove(PODS, "c")
        world.put(PODS, "c", value=3)  # another object of the same name
        world.put(PODS, "d", value=4)
        world.compact()
        world.mute = False
        world.cut()  # the next watch is answered 410
        await until(lambda: pods.names == ["b", "c", "d"])
        assert pods.told[3:] == [
            ("deleted", "a"),
            ("modified", "b"),
            ("deleted", "c"),
            ("added", "c"),
            ("added", "d"),
        ]


async def test_gone_in_the_stream(world: FakeApi, api: Api) -> None:
    async with mirror(api) as pods:
        await until(lambda: world.streams)
        world.mute = True
        world.remove(PODS, "a")
        world.mute = False
        world.error(410, "Expired")
        await until(lambda: ("deleted", "a") in pods.told)
        assert world.count("GET") == 2


async def test_a_relist_that_finds_nothing_new_tells_nothing(world: FakeApi, api: Api) -> None:
    async with mirror(api) as pods:
        await until(lambda: world.streams)
        world.error(410, "Expired")
        await until(lambda: world.count("WATCH") == 2)
        assert len(pods.told) == 3


async def test_gone_on_list_and_on_a_continue_token(world: FakeApi, api: Api) -> None:
    ok = world._get  # the first page is real, so that there is a token to refuse
    world.answer(
        "GET",
        status(410, "Expired"),
        lambda request: ok(request, world.seen[-1]),
        status(410, "Expired"),
    )
    async with mirror(api, chunk=2) as pods:
        assert pods.names == ["a", "b", "c"]
    asked = [(r.query.get("limit"), "continue" in r.query) for r in world.seen if r.verb == "GET"]
    assert asked == [("2", False), ("2", False), ("2", True), (None, False)]


@pytest.mark.parametrize("verb", ["GET", "WATCH"])
@pytest.mark.parametrize("code", [401, 403, 404, 429, 500, 503])
async def test_refusals_are_survived(world: FakeApi, api: Api, verb: str, code: int) -> None:
    world.answer(verb, *[status(code, "Why")] * 3)
    async with mirror(api) as pods:
        await until(lambda: world.streams)
        world.put(PODS, "a", value=9)
        await until(lambda: pods.value("a") == 9)


@pytest.mark.slow
async def test_retry_after_is_obeyed(world: FakeApi, api: Api) -> None:
    world.answer("WATCH", status(429, "TooManyRequests", retry_after="1"))
    async with mirror(api):
        began = asyncio.get_running_loop().time()
        await until(lambda: world.streams)
        assert asyncio.get_running_loop().time() - began >= 0.9


async def test_an_error_in_the_stream_is_survived(world: FakeApi, api: Api) -> None:
    """kopf ends the whole process on this."""
    async with mirror(api) as pods:
        await until(lambda: world.streams)
        world.error(500, "InternalError")
        world.put(PODS, "a", value=9)
        await until(lambda: pods.value("a") == 9)
        assert world.count("GET") == 1


async def test_a_version_that_never_works_again_is_dropped(world: FakeApi, api: Api) -> None:
    async with mirror(api) as pods:
        await until(lambda: world.streams)
        world.answer("WATCH", *[status(500, "PrevKvIsNil")] * 5)
        world.cut()
        world.put(PODS, "a", value=9)
        await until(lambda: pods.value("a") == 9 and world.streams)
        assert world.count("GET") == 2


@pytest.mark.parametrize(
    "garbage",
    [
        b'{"type": "MODIFIED", "object": {"metadata": {"name": "a", "namesp\n',
        b"\n\n\xff\xfe\n",
        b'{"type": "MODIFIED", "object": []}\n',
        b'{"type": "MODIFIED"}\n',
        b"[]\n",
    ],
)
async def test_garbage_in_the_stream(world: FakeApi, api: Api, garbage: bytes) -> None:
    async with mirror(api) as pods:
        await until(lambda: world.streams)
        world.send(garbage)
        world.put(PODS, "a", value=9)
        world.remove(PODS, "b")
        await until(lambda: pods.value("a") == 9 and pods.names == ["a", "c"])
        assert pods.told[3:] == [("modified", "a"), ("deleted", "b")]


async def test_a_line_cut_off_in_the_middle(world: FakeApi, api: Api) -> None:
    async with mirror(api) as pods:
        await until(lambda: world.streams)
        world.send(b'{"type": "DELETED", "object": {"metadata": {"name": "a", "namespace": "ns"')
        world.cut()
        world.put(PODS, "b", value=9)
        await until(lambda: pods.value("b") == 9)
        assert pods.names == ["a", "b", "c"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"metadata": {}, "items": 3}'])
async def test_a_list_that_is_none(world: FakeApi, api: Api, body: bytes) -> None:
    world.answer("GET", lambda _: web.Response(body=body))
    async with mirror(api) as pods:
        assert pods.names == ["a", "b", "c"]


async def test_a_silent_stream_is_left(world: FakeApi, api: Api) -> None:
    async with mirror(api, inactivity_s=0.1) as pods:
        await until(lambda: world.streams)
        world.mute = True  # the connection stays open, nothing comes any more
        world.put(PODS, "a", value=9)
        world.mute = False
        await until(lambda: pods.value("a") == 9)
        assert world.count("GET") == 1


async def test_one_unreadable_object_is_said_once_and_skipped(
    world: FakeApi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    def decode(raw: bytes) -> dict[str, Any]:
        obj: dict[str, Any] = json.loads(raw)
        if obj["value"] == "bad":
            raise ValueError("bad value")
        return obj

    world.put(PODS, "b", value="bad")
    async with mirror(api, decode=decode) as pods:
        assert pods.names == ["a", "c"]
        await until(lambda: world.streams)
        world.put(PODS, "b", value="bad", again=True)
        world.put(PODS, "a", value="bad")  # was readable: its last good form stays
        world.put(PODS, "c", value=2)
        await until(lambda: pods.value("c") == 2)
        assert pods.value("a") == 1
        world.put(PODS, "b", value=3)
        world.remove(PODS, "a")
        await until(lambda: pods.names == ["b", "c"])
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == [
        "pods ns/b is skipped, it cannot be read: bad value",
        "pods ns/a is skipped, it cannot be read: bad value",
    ]


async def test_a_listener_that_fails_misses_only_its_own(
    world: FakeApi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def on_change(change: Change[dict[str, Any]]) -> None:
        if change.name == "b":
            raise RuntimeError("a defect")
        told.append(change.name)

    reflector: Objects = Reflector(api, PODS, json.loads, on_change)
    task = asyncio.create_task(reflector.run())
    await until(lambda: reflector.synced.is_set())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told == ["a", "c"]
    assert [record.message for record in caplog.records if record.exc_info] == [
        "pods ns/b: the listener failed"
    ]


async def test_a_server_that_is_down_is_waited_for(world: FakeApi, api: Api) -> None:
    """Answers nothing, then refuses, then comes back with another world."""
    async with mirror(api) as pods:
        await until(lambda: world.streams)
        before = pods.reflector.last_contact_s

        def drop(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.close()
            return web.Response()

        world.answer("WATCH", *[drop] * 4, *[status(503)] * 4)
        world.answer("GET", *[drop] * 2)
        world.mute = True
        world.remove(PODS, "a")
        world.mute = False
        world.cut()
        await until(lambda: pods.names == ["b", "c"])
        assert pods.reflector.synced.is_set()
        assert pods.reflector.last_contact_s > before


@pytest.mark.slow
async def test_a_server_that_ends_every_stream_is_not_hammered(world: FakeApi, api: Api) -> None:
    world.answer("WATCH", *[lambda _: web.Response(body=b"")] * 1000)
    async with mirror(api, backoff_first_s=0.02, backoff_max_s=0.2):
        await asyncio.sleep(0.5)
        assert 2 <= world.count("WATCH") <= 20


async def test_waiting_doubles_up_to_a_bound(api: Api) -> None:
    reflector = Mirror(api, backoff_first_s=1.0, backoff_max_s=10.0).reflector
    bounds = []
    for failures in range(8):
        reflector._failures = failures
        pauses = [reflector._pause_s(None) for _ in range(200)]
        bounds.append((min(pauses), max(pauses)))
    assert max(bounds[0]) == 0
    for (low, high), most in zip(bounds[1:], [1, 2, 4, 8, 10, 10, 10], strict=True):
        assert most / 2 <= low < high <= most
    assert reflector._pause_s(25.0) == 25.0


async def test_the_same_complaint_is_a_warning_once(
    world: FakeApi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    world.answer("GET", *[status(403, "Forbidden", "no list for you")] * 4)
    async with mirror(api):
        await until(lambda: world.streams)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == ["pods: no list for you (attempt 1)"]
