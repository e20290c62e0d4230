"""Runs `e2e.load` beside a measurement and reads what it tells. Decides nothing about figures."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from e2e.bench import real_world
from e2e.load.arrivals import arrivals, parse
from e2e.testbed import Cluster, TestbedError
from e2e.testbed.layout import REPOSITORY


@dataclass(frozen=True, slots=True)
class Told:
    """What one load sent and got."""

    phases_asked: str
    seed: int
    started_s: float
    """Seconds since the epoch."""
    summary: dict[str, Any]
    phases: list[dict[str, Any]]
    errors: dict[str, int]
    lines: Sequence[str]
    """As they were told, second by second."""

    def phase_began_s(self, phase: int) -> float:
        """When the first request of a phase was due, in seconds since the epoch.

        Arrivals follow from the seed. Raises TestbedError for a phase without a request.
        """
        for due_s, index in arrivals(parse(self.phases_asked), self.seed):
            if index == phase:
                return self.started_s + due_s
        raise TestbedError(f"phase {phase} of {self.phases_asked} has no request")

    @property
    def failed(self) -> int:
        """Requests that were not answered well."""
        return int(self.summary["failed"])

    @property
    def why(self) -> str:
        """What failed requests got, most frequent first; "" when none failed."""
        return "; ".join(f"{count} x {error}" for error, count in self.errors.items())


def read(lines: Sequence[str], phases: str, seed: int) -> Told:
    """From the lines a load printed. Raises TestbedError when the last one is no summary."""
    told = [json.loads(line) for line in lines]
    if len(told) < 2 or "summary" not in told[-1]:
        raise TestbedError(f"the load ended without a summary after {len(told)} lines")
    *intervals, last = told
    return Told(
        phases_asked=phases,
        seed=seed,
        # Both are taken one after the other; an interruption between them makes it later.
        started_s=min(line["wall_s"] - line["at_s"] for line in intervals),
        summary=last["summary"],
        phases=last["phases"],
        errors=last["errors"],
        lines=lines,
    )


async def load(
    cluster: Cluster,
    address: str,
    phases: str,
    *,
    protocol: str = "http",
    options: Sequence[str] = (),
    seed: int = 1,
) -> Told:
    """Send a load to the model at `address` and wait for its end; cancelled, it ends at once."""
    where = {"http": f"http://{address}:8000", "grpc": f"{address}:8001"}[protocol]
    process = await asyncio.create_subprocess_exec(
        *cluster.command([sys.executable, "-m", "e2e.load", f"--{protocol}", where]),
        *("--model", real_world.MODEL, "--phases", phases, "--seed", str(seed)),
        *("--target-ms", str(real_world.TARGET_S * 1000), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
        env=cluster.environment(),
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise TestbedError(f"the load failed: {errors.decode(errors='replace')[-600:]}")
    return read(output.decode().splitlines(), phases, seed)
