from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conch.kube.credentials import Credentials
from conch.kube.lease import Elector
from conch.kube.transport import Api
from tests.kube.fake_api import FakeApi, status, until

LEASES = "/apis/coordination.k8s.io/v1/namespaces/conch-system/leases"
LEASE = f"{LEASES}/conch"


class Clock:
    """A monotonic clock that can also jump, as it does for a paused process."""

    def __init__(self) -> None:
        self.jumped_s = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.jumped_s


def elector(api: Api, identity: str, **options: Any) -> Elector:
    times = {"duration_s": 1.0, "renew_deadline_s": 0.6, "retry_s": 0.05, **options}
    return Elector(api, "conch-system", "conch", identity, **times)


@contextlib.asynccontextmanager
async def running(candidate: Elector) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(candidate.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def spec(server: FakeApi) -> dict[str, Any]:
    lease = server.find(LEASE)
    assert lease is not None
    held: dict[str, Any] = lease["spec"]
    return held


def foreign(server: FakeApi, holder: str = "other", seconds: int = 1) -> None:
    server.put(
        LEASES,
        "conch",
        "conch-system",
        spec={"holderIdentity": holder, "leaseDurationSeconds": seconds, "leaseTransitions": 4},
    )


async def test_it_makes_the_lease_and_keeps_it(server: FakeApi, api: Api) -> None:
    one = elector(api, "one")
    assert not one.still_leader()
    async with running(one):
        await until(one.is_leader.is_set)
        first = spec(server)
        await until(lambda: server.count("PUT") >= 3)
        assert one.still_leader()
        assert not one.lost.is_set()
    held = spec(server)
    assert first["holderIdentity"] == "one"
    assert first["leaseTransitions"] == 0
    assert first["leaseDurationSeconds"] == 1
    for name in ("renewTime", "acquireTime"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first[name])
    assert held["renewTime"] > first["renewTime"]
    assert held["acquireTime"] == first["acquireTime"]


async def test_on_shutdown_the_next_one_need_not_wait(server: FakeApi, api: Api) -> None:
    one, two = elector(api, "one"), elector(api, "two", duration_s=60.0, renew_deadline_s=40.0)
    async with running(one):
        await until(one.is_leader.is_set)
        async with running(two):
            await until(lambda: two.holder == "one")
            assert not two.is_leader.is_set()
    async with running(two):
        await until(two.is_leader.is_set, within_s=0.5)
        assert spec(server)["leaseTransitions"] == 1
    assert one.lost.is_set()
    assert not one.still_leader()
    assert spec(server)["holderIdentity"] == ""


@pytest.mark.slow
async def test_a_lease_that_changes_is_respected_and_a_still_one_is_taken(
    server: FakeApi, api: Api
) -> None:
    foreign(server)
    one = elector(api, "one")
    async with running(one):
        for _ in range(12):  # renewed for longer than its duration
            await asyncio.sleep(0.1)
            foreign(server)
            assert not one.is_leader.is_set()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await until(one.is_leader.is_set)
        assert loop.time() - began >= 0.9
        assert spec(server)["leaseTransitions"] == 5
        assert "acquireTime" in spec(server)


async def test_clocks_of_hosts_are_never_compared(server: FakeApi, api: Api) -> None:
    """A holder whose clock is an hour behind looks long expired, and is not."""
    foreign(server, seconds=30)
    lease = server.find(LEASE)
    assert lease is not None
    lease["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"
    one = elector(api, "one")
    async with running(one):
        await until(lambda: server.count("GET") >= 4)
        assert not one.is_leader.is_set()


async def test_a_released_lease_is_taken_at_once(server: FakeApi, api: Api) -> None:
    foreign(server, holder="", seconds=3600)
    one = elector(api, "one")
    async with running(one):
        await until(one.is_leader.is_set, within_s=0.5)


async def test_a_restarted_container_goes_on_with_its_own_lease(server: FakeApi, api: Api) -> None:
    foreign(server, holder="one", seconds=3600)
    one = elector(api, "one")
    async with running(one):
        await until(one.is_leader.is_set, within_s=0.5)
        assert spec(server)["leaseTransitions"] == 4


@pytest.mark.slow
async def test_a_leader_cut_off_says_so_before_anybody_can_take_over(
    server: FakeApi, api: Api
) -> None:
    async with Api(Credentials.anonymous(server.url)) as mine:
        times = {"duration_s": 3.0, "renew_deadline_s": 1.0}
        one, two = elector(mine, "one", **times), elector(api, "two", **times)
        async with running(one) as task:
            await until(one.is_leader.is_set)
            loop = asyncio.get_running_loop()
            async with running(two):
                await until(lambda: two.holder == "one")
                began = loop.time()
                await mine.close()
                mine._credentials.host = "http://127.0.0.1:1"
                await until(one.lost.is_set)
                assert loop.time() - began < 2.5, "before anybody may take over"
                assert not one.is_leader.is_set()
                assert not two.is_leader.is_set()
                await until(two.is_leader.is_set)
            await task  # run() has returned by itself


@pytest.mark.slow
async def test_a_request_that_hangs_does_not_hide_the_deadline(server: FakeApi, api: Api) -> None:
    one = elector(api, "one", duration_s=3.0, renew_deadline_s=1.0)
    async with running(one):
        await until(one.is_leader.is_set)
        gate = server.hold("PUT")
        began = asyncio.get_running_loop().time()
        await until(one.lost.is_set)
        assert asyncio.get_running_loop().time() - began < 2.5, "before anybody may take over"
        assert not one.still_leader()
        gate.set()


async def test_a_short_outage_costs_nothing(server: FakeApi, api: Api) -> None:
    one = elector(api, "one")
    async with running(one):
        await until(one.is_leader.is_set)
        server.answer("PUT", status(503), status(500), status(429))
        puts = server.count("PUT")
        await until(lambda: server.count("PUT") >= puts + 5)
        assert one.still_leader()


async def test_a_write_whose_answer_got_lost_is_recognised_as_ours(
    server: FakeApi, api: Api
) -> None:
    one = elector(api, "one")
    async with running(one):
        await until(one.is_leader.is_set)
        # The server stores it and then fails to say so: our next PUT meets a newer version.
        put = server.put_then(status(504))
        server.answer("PUT", put)
        puts = server.count("PUT")
        await until(lambda: server.count("PUT") >= puts + 4)
        assert one.still_leader()


async def test_a_lease_that_was_taken_ends_leadership_at_once(server: FakeApi, api: Api) -> None:
    one = elector(api, "one")
    async with running(one) as task:
        await until(one.is_leader.is_set)
        foreign(server)
        await until(one.lost.is_set, within_s=0.4)
        await task
    assert one.holder == "other"
    assert spec(server)["holderIdentity"] == "other"  # and is not given away by us


async def test_another_process_of_our_name_ends_leadership(server: FakeApi, api: Api) -> None:
    one = elector(api, "one")
    async with running(one):
        await until(one.is_leader.is_set)
        foreign(server, holder="one")
        await until(one.lost.is_set, within_s=0.4)
    assert one.holder == "another process that calls itself one"


async def test_a_deleted_lease_is_made_again(server: FakeApi, api: Api) -> None:
    one = elector(api, "one")
    async with running(one):
        await until(one.is_leader.is_set)
        server.remove(LEASES, "conch", "conch-system")
        await until(lambda: server.find(LEASE))
        assert one.still_leader()


async def test_a_paused_process_knows_before_it_writes(server: FakeApi, api: Api) -> None:
    """SIGSTOP, a frozen VM: nothing of ours ran when the deadline passed."""
    clock = Clock()
    one = elector(api, "one", clock=clock)
    async with running(one) as task:
        await until(one.is_leader.is_set)
        puts = server.count("PUT")
        clock.jumped_s = 0.7
        assert one.is_leader.is_set()  # run() has not had a turn yet …
        assert not one.still_leader()  # … but the writer is told
        foreign(server)
        await task
        assert one.lost.is_set()
        assert server.count("PUT") <= puts + 1  # at most the try to give it back, refused
        assert spec(server)["holderIdentity"] == "other"


async def test_only_one_of_many_leads(server: FakeApi, api: Api) -> None:
    candidates = [elector(api, f"c{number}") for number in range(8)]
    async with contextlib.AsyncExitStack() as stack:
        for candidate in candidates:
            await stack.enter_async_context(running(candidate))
        await until(lambda: any(c.is_leader.is_set() for c in candidates))
        await until(lambda: server.count("PUT") >= 5)
        assert sum(c.is_leader.is_set() for c in candidates) == 1


async def test_a_refused_lease_is_retried_and_said(
    server: FakeApi, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer("GET", status(403, "Forbidden", "no leases for you"))
    one = elector(api, "one")
    async with running(one):
        await until(one.is_leader.is_set)
    assert "no leases for you" in caplog.text


def test_absurd_times_are_refused() -> None:
    api = Api(Credentials.anonymous("http://127.0.0.1:1"))
    with pytest.raises(ValueError, match="renew_deadline_s < duration_s"):
        elector(api, "one", renew_deadline_s=1.0)
