"""Every fake pod that was ever asked or told something, by its address."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from e2e.fleet.counters import Counters
from e2e.fleet.load import Load

DEFAULT = "*"


@dataclass(slots=True)
class Pod:
    """One address: what it is told to show, and its counters up to `at_s`."""

    load: Load
    at_s: float
    counters: dict[str, Counters] = field(default_factory=dict)
    frozen: dict[str, Counters] = field(default_factory=dict)
    """As they were when the pod was told to show these for ever."""

    def advance(self, now_s: float, wall_ms: int) -> dict[str, Counters]:
        """Its counters at `now_s`, of the models it has now."""
        for model in self.load.models:
            counters = self.counters.setdefault(model, Counters())
            counters.advance(self.load, now_s - self.at_s, wall_ms)
        self.at_s = now_s
        return {model: self.counters[model] for model in self.load.models}


class Pods:
    """The fleet; the clocks are given: `clock` in seconds, `wall` in Unix seconds."""

    def __init__(
        self, default: Load, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._default, self._clock, self._wall = default, clock, wall
        self._pods: dict[str, Pod] = {}

    def __getitem__(self, address: str) -> Pod:
        """Who answers at that address."""
        pod = self._at(address)
        return self._at(pod.load.answers_as) if pod.load.answers_as else pod

    def _at(self, address: str) -> Pod:
        """The pod of that address; one that nobody spoke of shows the default from now on."""
        pod = self._pods.get(address)
        if pod is None:
            pod = self._pods[address] = Pod(self._default, self._clock())
        return pod

    def counters(self, address: str) -> dict[str, Counters]:
        """The pod's counters by model, as of now."""
        return self[address].advance(self._clock(), self.wall_ms())

    def wall_ms(self) -> int:
        return int(self._wall() * 1e3)

    def change(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Change loads by address; "*" is every pod, also of the future. Raises ValueError.

        All or nothing. `{"counters": "reset"}` beside the fields starts the pod's counters again.
        """
        everyone, reset_all = _wanted(self._default, changes.get(DEFAULT, {}))
        planned: dict[str, tuple[Load, bool]] = {}
        for address, pod in self._pods.items():
            planned[address] = _wanted(pod.load, changes.get(DEFAULT, {}))
        for address, fields in changes.items():
            if address != DEFAULT:
                load, reset = planned.get(address, (everyone, reset_all))
                load, also_reset = _wanted(load, fields)
                planned[address] = load, reset or also_reset
        now_s, wall_ms = self._clock(), self.wall_ms()
        self._default = everyone
        for address, (load, reset) in planned.items():
            pod = self._at(address)
            pod.advance(now_s, wall_ms)
            pod.load = load
            pod.frozen = {model: c.times(1.0) for model, c in pod.counters.items()}
            if reset:
                pod.counters.clear()

    def forget(self, address: str) -> None:
        """As if the pod had never been: its next answer starts from the default."""
        self._pods.pop(address, None)

    def report(self) -> dict[str, Any]:
        """Every known pod with its load and how many requests each model served."""
        return {
            address: {
                **dataclasses.asdict(pod.load),
                "served": {m: int(c.succeeded) for m, c in self.counters(address).items()},
            }
            for address, pod in self._pods.items()
        }


def _wanted(load: Load, fields: Mapping[str, Any]) -> tuple[Load, bool]:
    rest = dict(fields)
    reset = rest.pop("counters", None)
    if reset not in (None, "reset"):
        raise ValueError('counters can only be "reset"')
    return load.changed(rest), reset is not None
