"""To zero and back on real parts: the chart, kube-proxy, Triton. The figure, cut to one round."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest

from e2e.autoscale_live import from_zero
from e2e.bench.figure import Context
from e2e.testbed import Progress

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]


def test_no_request_is_lost_on_the_way_to_zero_and_back(tmp_path: Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the test bed's node needs root on Linux")
    with contextlib.closing(Context(Progress(quiet=True), tmp_path)) as ctx:
        result = from_zero.measure(ctx, [(from_zero.NAME, from_zero.CALM)])
    assert result.value == 0, result.how
    logs = (tmp_path / "from-zero-activator.log").read_text()
    assert "in the path" in logs
    assert "out of the path" in logs
    for component in ("activator", "operator"):
        log = (tmp_path / f"from-zero-{component}.log").read_text()
        assert "Traceback" not in log, log
