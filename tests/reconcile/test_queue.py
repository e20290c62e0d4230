"""The queue's contract: once each, never two at a time, urgent first, bounded back-off."""

import asyncio
import random

from conch.observe.types import Key
from conch.reconcile.queue import Priority, WorkQueue

A, B, C = (Key("default", name) for name in "abc")


async def test_urgent_first_and_each_once() -> None:
    queue = WorkQueue()
    queue.add(A, Priority.RESYNC)
    queue.add(B, Priority.CHILD)
    queue.add(C, Priority.CHILD)
    queue.add(A, Priority.USER)
    queue.add(B, Priority.RESYNC)
    assert len(queue) == 3
    assert [await queue.get() for _ in range(3)] == [A, B, C]
    assert len(queue) == 0


async def test_added_while_working_comes_again_after_done() -> None:
    queue = WorkQueue()
    queue.add(A)
    assert await queue.get() == A
    queue.add(A)
    queue.add(A)
    assert len(queue) == 0, "a key is never worked on twice at the same time"
    queue.done(A)
    assert len(queue) == 1
    assert await queue.get() == A
    queue.done(A)
    assert len(queue) == 0


async def test_get_waits_for_work() -> None:
    queue = WorkQueue()
    getter = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    assert not getter.done()
    queue.add(B)
    assert await asyncio.wait_for(getter, 1) == B


async def test_backoff_grows_is_bounded_and_is_reset() -> None:
    queue = WorkQueue(first_backoff_s=0.1, max_backoff_s=5.0, rng=random.Random(1))
    delays = [queue.retry(A) for _ in range(12)]
    assert 0.05 <= delays[0] <= 0.1
    assert max(delays) <= 5.0
    assert delays[-1] >= 2.5
    queue.succeeded(A)
    assert queue.retry(A) <= 0.1
    queue.close()


async def test_the_earlier_appointment_stands() -> None:
    queue = WorkQueue()
    queue.add_after(A, 0.01)
    queue.add_after(A, 60)
    assert await asyncio.wait_for(queue.get(), 1) == A
    queue.done(A)
    queue.add_after(A, 60)
    queue.add_after(A, 0.01)
    assert await asyncio.wait_for(queue.get(), 1) == A
    queue.close()


async def test_forget_drops_appointments() -> None:
    queue = WorkQueue()
    queue.add_after(A, 0.0)
    queue.forget(A)
    await asyncio.sleep(0.01)
    assert len(queue) == 0


async def test_it_presses_while_somebody_waits_for_what_he_asked() -> None:
    queue = WorkQueue()
    assert not queue.pressing
    queue.add(Key("a", "child"), Priority.CHILD)
    assert not queue.pressing
    queue.add(Key("a", "user"), Priority.USER)
    assert queue.pressing
    await queue.get()
    assert not queue.pressing
