"""Run part of this process inside a cluster's network namespace.

Without it every request would pass the host's forwarder, a Python program that costs a tenth of
the machine at bench loads.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from e2e.testbed import Cluster
from e2e.testbed.forwarder import enter

T = TypeVar("T")


@contextmanager
def inside(cluster: Cluster) -> Iterator[None]:
    """The calling thread is in the cluster's network until the end of the block."""
    # Not /proc/self: that is the main thread's, and this one may be another.
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        enter(cluster.place.namespace_file)
        try:
            yield
        finally:
            enter(Path(f"/proc/self/fd/{home}"))
    finally:
        os.close(home)


def run(cluster: Cluster, work: Coroutine[Any, Any, T], limit_s: float) -> T:
    """asyncio.run inside the cluster's network. Raises TimeoutError after `limit_s`."""

    async def bounded() -> T:
        async with asyncio.timeout(limit_s):
            return await work

    with inside(cluster):
        return asyncio.run(bounded())
