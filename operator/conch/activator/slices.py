"""What the EndpointSlices of services that may go to zero say, as one table. Pure.

Two kinds of them belong to such a service: the operator's own one (which ports the activator is to
listen on, which models must be there, how long to hold) and those that Kubernetes keeps (where the
servers are). Whoever may write EndpointSlices into a namespace can write anything: only ports in
the activator's own range are listened on, only servers' ports are connected to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from conch.api import names
from conch.observe.types import Key

Object = dict[str, Any]

HTTP, GRPC = "http", "grpc"
SHORTEST_HOLD_S, LONGEST_HOLD_S = 5.0, 3600.0
_TARGETS = {HTTP: names.PORT_HTTP, GRPC: names.PORT_GRPC}


@dataclass(frozen=True, slots=True)
class Entry:
    """One service: where to listen for it, and where its servers are (ready or starting)."""

    ports: tuple[tuple[int, str], ...]  # own port, name of the Service's port
    models: tuple[str, ...]
    hold_s: float
    in_path: bool
    servers: tuple[str, ...]  # addresses


def target_port(name: str) -> int:
    """The servers' port behind the Service's port of that name."""
    return _TARGETS[name]


def table(slices: Iterable[Object], ports: range) -> dict[Key, Entry]:
    """Every service that has a usable slice of ours; a port goes to the first that has it."""
    own: dict[Key, Object] = {}
    servers: dict[Key, list[str]] = {}
    for piece in slices:
        meta = piece["metadata"]
        labels = meta.get("labels") or {}
        name = labels.get(names.LABEL_SLICE_SERVICE)
        if not name:
            continue
        key = Key(meta.get("namespace", ""), name)
        if labels.get(names.LABEL_SLICE_MANAGER) == names.SLICE_MANAGER:
            if meta["name"] == name:
                own[key] = piece
        else:
            servers.setdefault(key, []).extend(_addresses(piece))
    taken: set[int] = set()
    found: dict[Key, Entry] = {}
    for key in sorted(own, key=lambda k: (own[k]["metadata"].get("creationTimestamp", ""), k)):
        wanted = _ports(own[key], ports)
        if not wanted or taken & {port for port, _ in wanted}:
            continue
        taken |= {port for port, _ in wanted}
        notes = own[key]["metadata"].get("annotations") or {}
        found[key] = Entry(
            ports=wanted,
            models=tuple(m for m in notes.get(names.ANNOTATION_MODELS, "").split(",") if m),
            hold_s=_hold_s(notes.get(names.ANNOTATION_HOLD_S, "")),
            in_path=bool(own[key].get("endpoints")),
            servers=tuple(sorted(set(servers.get(key, ())))),
        )
    return found


def _ports(piece: Object, allowed: range) -> tuple[tuple[int, str], ...]:
    return tuple(
        (port["port"], port["name"])
        for port in piece.get("ports") or ()
        if port.get("name") in _TARGETS and port.get("port") in allowed
    )


def _addresses(piece: Object) -> list[str]:
    """Of pods that are not on their way out; one that is not ready yet may be in a moment."""
    return [
        address
        for endpoint in piece.get("endpoints") or ()
        if not (endpoint.get("conditions") or {}).get("terminating")
        for address in (endpoint.get("addresses") or ())[:1]
    ]


def _hold_s(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return LONGEST_HOLD_S
    return min(max(value, SHORTEST_HOLD_S), LONGEST_HOLD_S) if value == value else LONGEST_HOLD_S
