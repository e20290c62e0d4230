"""Shared by all tests: one real control plane per session, and only for tests that ask for it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from aiohttp.web_runner import BaseRunner
from hypothesis import settings

if TYPE_CHECKING:
    from e2e.testbed import Cluster

REPOSITORY = Path(__file__).parents[1]

# The same examples in every run, and no limit on the time of one: what fails here fails for all.
# To look for more: pytest --hypothesis-profile=default.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real API server, controller manager and scheduler with our CRDs; no nodes.

    Reach it through `cluster.kubeconfig`. Shared: make a namespace of your own.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the test bed's control plane needs root on Linux")
    from e2e.testbed import Cluster, ClusterSpec, Progress

    name, lock = _own_name()
    with lock, Cluster(ClusterSpec(name=name, real_node=False), Progress(quiet=True)) as running:
        crds = sorted((REPOSITORY / "crds").glob("*.yaml"))
        if crds:
            files = [part for crd in crds for part in ("-f", str(crd))]
            running.kubectl("apply", "--server-side", *files)
            running.kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)
        yield running


@pytest.fixture(scope="session", autouse=True)
def _no_connection_outlives_its_server() -> Iterator[None]:
    """A server that is closed while asyncio accepts a connection drops it unclosed (gh-109564).

    That would be a ResourceWarning in whatever test runs when it is collected.
    """
    cleanup = BaseRunner.cleanup

    async def settled(runner: BaseRunner) -> None:
        loop = asyncio.get_running_loop()
        for site in runner.sites:
            server: asyncio.Server | None = getattr(site, "_server", None)
            for listener in server.sockets if server else ():
                loop.remove_reader(listener)
        await asyncio.sleep(0)  # what was accepted gets its transport
        await cleanup(runner)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseRunner, "cleanup", settled)
        yield


def _own_name() -> tuple[str, IO[str]]:
    """`test`, or `test-2`, … while another session on this machine holds the name."""
    folder = REPOSITORY / "build"
    folder.mkdir(exist_ok=True)
    for number in range(1, 100):
        name = "test" if number == 1 else f"test-{number}"
        lock = (folder / f"{name}.session").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return name, lock
    raise RuntimeError("a hundred test sessions at once?")
