"""A new revision under load costs no client that follows docs/clients.md a request."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.bench.figure import Context
from e2e.bench.real_rollout import rolled
from e2e.testbed import Progress

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]


CLUSTER = os.environ.get("CONCH_E2E_CLUSTER", "e2e") + "-rollout"


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the test bed's node needs root on Linux")
    folder: Path = tmp_path_factory.mktemp("rollout")
    with contextlib.closing(Context(Progress(quiet=True), folder)) as ctx:
        yield ctx


@pytest.mark.parametrize("free", [True, False], ids=["surge", "in place"])
def test_a_rollout_fails_no_request(ctx: Context, free: bool) -> None:
    rollout = rolled(ctx, free=free, name=CLUSTER)
    assert all(told.summary["sent"] > 0 for told in rollout.told.values())
    assert rollout.failed == 0, str(rollout)
