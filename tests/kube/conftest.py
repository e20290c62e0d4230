"""A fake API server and a transport to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from conch.kube.credentials import Credentials
from conch.kube.transport import Api
from tests.kube.fake_api import FakeApi


@pytest.fixture
async def server() -> AsyncIterator[FakeApi]:
    async with FakeApi() as running:
        yield running


@pytest.fixture
async def api(server: FakeApi) -> AsyncIterator[Api]:
    async with Api(Credentials.anonymous(server.url)) as client:
        yield client
