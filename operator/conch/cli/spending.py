"""What services spent lately, read from the cluster and added up by namespace, label or class.

History is in the leader's memory and asked for through the API server; where that may not be, what
the services' status says of now is all there is. Never writes to a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from conch.cli import cluster
from conch.cli.from_cluster import RawReader, proxy
from conch.cli.trace import leader
from conch.errors import ApiError, ApiUnreachable, ConchError
from conch.settings import Settings

Row = tuple[float, float, float, float | None, float | None, float | None]
"""Start (seconds since 1970), seconds, inferences, dollars, joules, grams; None: not known."""

UNLABELLED: Final = "(none)"


class _Service(msgspec.Struct, frozen=True):
    namespace: str
    name: str
    parts: list[Row]


class _Answer(msgspec.Struct, frozen=True):
    part_s: float
    carbon_kind: str
    services: list[_Service]


@dataclass(frozen=True, slots=True)
class Service:
    """One service: what it spends now, by its status, and what it spent."""

    namespace: str
    name: str
    accelerator: str
    labels: dict[str, str]
    dollars_per_h: float | None
    watts: float | None
    grams_per_h: float | None
    estimated: bool
    parts: tuple[Row, ...] = ()

    def group(self, by: str) -> str:
        """The value it is added up under."""
        own = {"namespace": self.namespace, "class": self.accelerator or UNLABELLED}
        if by == "service":
            return f"{self.namespace}/{self.name}"
        return own.get(by) or self.labels.get(by) or UNLABELLED


@dataclass(frozen=True, slots=True)
class Found:
    """All services, and how to read their history. ``note``: why there is none, in words."""

    services: tuple[Service, ...]
    carbon_kind: str = ""
    part_s: float = 900.0
    note: str = ""


@dataclass(slots=True)
class Sum:
    """What was spent, as far as that is known, and for how many inferences. None: not known."""

    spent: float | None = None
    inferences: float = 0.0

    def add(self, spent: float | None, inferences: float) -> None:
        """A part in which so much was spent; unknown ones are not in the figure per inference."""
        if spent is not None:
            self.spent = (self.spent or 0.0) + spent
            self.inferences += inferences

    def per(self, inferences: float) -> float | None:
        """For so many inferences."""
        known = self.spent is not None and self.inferences > 0
        return (self.spent or 0.0) * inferences / self.inferences if known else None


@dataclass(slots=True)
class Group:
    """Sums over services, of what is known; None: of none of them is it known."""

    name: str
    services: int = 0
    dollars_per_h: float | None = None
    watts: float | None = None
    grams_per_h: float | None = None
    estimated: bool = False
    inferences: float = 0.0
    dollars: Sum = field(default_factory=Sum)
    joules: Sum = field(default_factory=Sum)
    grams: Sum = field(default_factory=Sum)
    parts: dict[float, list[float]] = field(default_factory=dict)
    """By start: seconds, dollars, joules, grams."""

    def add(self, service: Service, since_s: float) -> None:
        """Another service, with its history from ``since_s`` on."""
        self.services += 1
        self.estimated |= service.estimated
        self.dollars_per_h = _plus(self.dollars_per_h, service.dollars_per_h)
        self.watts = _plus(self.watts, service.watts)
        self.grams_per_h = _plus(self.grams_per_h, service.grams_per_h)
        for start_s, seconds, inferences, *spent in service.parts:
            if start_s < since_s:
                continue
            self.inferences += inferences
            sums = self.parts.setdefault(start_s, [0.0, 0.0, 0.0, 0.0])
            sums[0] = max(sums[0], seconds)
            measures = (self.dollars, self.joules, self.grams)
            for i, (measure, amount) in enumerate(zip(measures, spent, strict=True), 1):
                measure.add(amount, inferences)
                sums[i] += amount or 0.0


def _plus(total: float | None, more: float | None) -> float | None:
    return total if more is None else (total or 0.0) + more


def groups(found: Found, by: str, hours: float) -> list[Group]:
    """One per value of ``by``, the dearest first, with the last ``hours`` of what history has."""
    made: dict[str, Group] = {}
    for service in found.services:
        name = service.group(by)
        made.setdefault(name, Group(name)).add(service, _since_s(found, hours))
    return sorted(
        made.values(), key=lambda g: (-(g.dollars.spent or 0), -(g.dollars_per_h or 0), g.name)
    )


def total(found: Found, hours: float) -> Group:
    """All services in one."""
    every = Group("all")
    for service in found.services:
        every.add(service, _since_s(found, hours))
    return every


def _since_s(found: Found, hours: float) -> float:
    newest_s = max((row[0] for service in found.services for row in service.parts), default=0.0)
    return newest_s + found.part_s - hours * 3600


def without(services: Iterable[Service]) -> list[str]:
    """Services without a price: neither now, nor in what they spent lately."""
    return [
        f"{s.namespace}/{s.name}"
        for s in services
        if s.dollars_per_h is None and all(dollars is None for *_, dollars, _, _ in s.parts)
    ]


async def gather(api: RawReader, namespace: str | None, operator_namespace: str) -> Found:
    """The services of one namespace, or of all. Raises ConchError in words."""
    services = [_read(raw) for raw in await cluster.services(api, namespace)]
    try:
        answer = await _ask(api, operator_namespace)
    except ConchError as error:
        note = f"Only what the status says of now: {str(error).rstrip('.')}."
        return Found(tuple(services), note=note)
    history = {(s.namespace, s.name): tuple(s.parts) for s in answer.services}
    with_history = tuple(
        replace(service, parts=history.get((service.namespace, service.name), ()))
        for service in services
    )
    return Found(with_history, answer.carbon_kind, answer.part_s)


async def _ask(api: RawReader, operator_namespace: str) -> _Answer:
    name = await leader(api, operator_namespace)
    where = proxy(operator_namespace, name, Settings().metrics_port, "/debug/spending")
    try:
        return msgspec.json.decode(await api.get_raw(where), type=_Answer)
    except (ApiError, ApiUnreachable) as error:
        raise ConchError(f"the operator ({name}) can't be asked: {error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConchError(f"the operator ({name}) answers nonsense: is it older?") from error


def _read(raw: cluster.Object) -> Service:
    meta, status = raw["metadata"], raw.get("status") or {}
    cost = status.get("cost") or {}
    return Service(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        accelerator=str(status.get("accelerator") or ""),
        labels={str(k): str(v) for k, v in (meta.get("labels") or {}).items()},
        dollars_per_h=_number(cost.get("perHour"), "$", ""),
        watts=_number(cost.get("power"), "", "W"),
        grams_per_h=_number(cost.get("carbonPerHour"), "", "g"),
        estimated=bool(cost.get("estimated")),
    )


def _number(text: Any, sign: str, unit: str) -> float | None:
    try:
        return float(str(text).removeprefix(sign).removesuffix(unit))
    except ValueError:
        return None
