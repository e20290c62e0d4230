"""The operator as a process of its own, on a real API server that tests share."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from conch.kube.transport import Api, path

if TYPE_CHECKING:
    from e2e.testbed import Cluster

OPERATOR = Path(__file__).parents[1] / "operator"
_RUN = "import sys; from conch.cli import main; sys.exit(main())"


@asynccontextmanager
async def connected(cluster: Cluster, namespace: str) -> AsyncIterator[Api]:
    """The API server, with a namespace of that name."""
    async with await Api.connect(cluster.kubeconfig) as client:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await client.apply(path("v1", "namespaces", name=namespace), body, "test")
        yield client


@asynccontextmanager
async def operating(
    cluster: Cluster, namespace: str, **settings: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """An operator for that namespace; killed at the end, unless it has ended by then."""
    environment = {
        "PYTHONPATH": str(OPERATOR),
        "KUBECONFIG": str(cluster.kubeconfig),
        "CONCH_NAMESPACES": namespace,
        "CONCH_OPERATOR_NAMESPACE": namespace,
        "CONCH_PROBE_PORT": "0",
        "CONCH_METRICS_PORT": "0",
        "CONCH_BIND_ADDRESS": "127.0.0.1",
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _RUN, "run", env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
