"""What tests of the operator on a real API server share: a client and an operator of one namespace.

The module says which: ``NAMESPACE``, and ``SETTINGS`` where the operator needs some.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from conch.kube.transport import Api
from tests.running import connected, operating

if TYPE_CHECKING:
    from e2e.testbed import Cluster


@pytest.fixture
async def api(cluster: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    async with connected(cluster, request.module.NAMESPACE) as client:
        yield client


@pytest.fixture
async def operator(
    cluster: Cluster, api: Api, request: pytest.FixtureRequest
) -> AsyncIterator[None]:
    settings: dict[str, str] = getattr(request.module, "SETTINGS", {})
    async with operating(cluster, request.module.NAMESPACE, **settings) as process:
        yield
        assert process.returncode is None, "the operator ended by itself"
