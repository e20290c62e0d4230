"""What a figure is, and what it gets to measure with. It decides nothing about the figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from e2e.testbed import Cluster, ClusterSpec, Progress

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result:
    """A measured value in the figure's unit, and one sentence on how it came about."""

    value: float
    how: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    unit: str
    target: float
    better: Literal["lower", "higher"]
    what: str
    measure: Callable[[Context], Result]
    """Bounded in time; raises TestbedError, TimeoutError or OSError when it cannot measure."""

    def met(self, value: float) -> bool:
        """Whether a value is on the right side of the target, or on it."""
        return value <= self.target if self.better == "lower" else value >= self.target


@dataclass(frozen=True, slots=True)
class Row:
    """What bench.json holds of one figure."""

    name: str
    value: float | None
    unit: str
    target: float
    met: bool
    how: str


class Context:
    """What figures share within one run: clusters, and measurements that give several figures."""

    def __init__(self, progress: Progress, folder: Path) -> None:
        self.progress = progress
        self.folder = folder
        """For logs and details; kept after the run."""
        self._up: dict[str, Cluster] = {}
        self._stack = ExitStack()
        self._known: dict[str, Any] = {}

    def cluster(self, spec: ClusterSpec) -> Cluster:
        """That cluster, up; kept up for the figures that follow. One of another name goes down."""
        running = self._up.get(spec.name)
        if running is not None and running.spec == spec:
            return running
        self.close()
        cluster = Cluster(spec, self.progress)
        self._stack.enter_context(cluster)
        self._up[spec.name] = cluster
        return cluster

    def once(self, key: str, make: Callable[[], T]) -> T:
        """`make()` the first time, the same answer for the figures that ask again."""
        if key not in self._known:
            self._known[key] = make()
        value: T = self._known[key]
        return value

    def close(self) -> None:
        """Take down every cluster of this run."""
        self._up.clear()
        self._stack.close()
