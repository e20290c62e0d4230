"""What one fake pod is asked to show; the control port's JSON is read and refused here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, cast

FAULTS = (
    "none",
    "nan",  # every value of the inference metrics is Nan
    "infinite",  # the same with +Inf
    "negative",  # counters below zero
    "frozen",  # counters stand still from now on
    "missing",  # the inference metrics are not there
    "empty",  # 200 without a body
    "truncated",  # half of the answer
    "lies",  # counters ten times too high
    "error",  # 500
    "disconnect",  # the connection is reset instead of an answer
    "hang",  # no answer at all
)
ENDPOINTS = ("health", "infer", "metrics", "stats")


@dataclass(frozen=True, slots=True)
class Load:
    """One pod's models, their load and speed, and how its answers are spoiled.

    A batch of b takes base_ms + b * per_item_ms. `batch` is the size of every batch; None lets it
    follow the load: the smallest that carries it, at most max_batch.
    """

    models: tuple[str, ...] = ("resnet",)
    rate_per_s: float = 0.0
    batch: int | None = None
    max_batch: int = 4
    instances: int = 1
    base_ms: float = 40.0
    per_item_ms: float = 10.0
    failure_share: float = 0.0
    """Of the requests: fail with reason REJECTED instead of being served."""
    answers_as: str = ""
    """The address of another pod whose answers are given instead, as if that one had come to it."""
    fault: str = "none"
    fault_on: tuple[str, ...] = field(default=("metrics", "stats"))

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"fault {self.fault!r} is none of {', '.join(FAULTS)}")
        if unknown := set(self.fault_on) - set(ENDPOINTS):
            raise ValueError(f"fault_on: {', '.join(unknown)} is none of {', '.join(ENDPOINTS)}")
        if not self.models:
            raise ValueError("models is empty")
        for name in ("rate_per_s", "base_ms", "per_item_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is negative")
        if min(self.max_batch, self.instances, self.batch or 1) < 1:
            raise ValueError("batch, max_batch and instances are at least 1")
        if not 0 <= self.failure_share <= 1:
            raise ValueError("failure_share is not within 0..1")

    def changed(self, wanted: dict[str, Any]) -> Load:
        """This load with the given fields replaced; ValueError names a field that is wrong."""
        known = {f.name for f in dataclasses.fields(self)}
        if unknown := set(wanted) - known:
            raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
        fields = {k: tuple(v) if k in ("models", "fault_on") else v for k, v in wanted.items()}
        try:
            return dataclasses.replace(self, **cast(dict[str, Any], fields))
        except TypeError as error:
            raise ValueError(str(error)) from error

    def service_ms(self, batch: int) -> float:
        """How long a batch of that size takes."""
        return self.base_ms + self.per_item_ms * batch

    def capacity_per_s(self, batch: int) -> float:
        """Requests per second that batches of that size carry."""
        return self.instances * batch * 1e3 / max(self.service_ms(batch), 1e-6)

    def chosen_batch(self) -> int:
        """The batch size that the load leads to."""
        if self.batch is not None:
            return self.batch
        sizes = range(1, self.max_batch + 1)
        return next((b for b in sizes if self.capacity_per_s(b) >= self.rate_per_s), sizes[-1])
