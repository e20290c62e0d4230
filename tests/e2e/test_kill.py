"""The operator dies and comes back under load; nobody but the operator notices."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest

from e2e.bench.figure import Context
from e2e.bench.real_kill import killed
from e2e.testbed import Progress

CLUSTER = os.environ.get("CONCH_E2E_CLUSTER", "e2e") + "-kill"


@pytest.mark.node
@pytest.mark.timeout(900)
def test_kills_cost_no_request_and_no_pod(tmp_path: Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the test bed's node needs root on Linux")
    with contextlib.closing(Context(Progress(quiet=True), tmp_path)) as ctx:
        got = killed(ctx, kills=5, name=CLUSTER)
    assert got.told.summary["sent"] > 0
    assert max(got.asked) > 1, "the load was to make it scale"
    assert list(got.problems) == []
