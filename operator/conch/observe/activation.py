"""What the operator knows of the activators: which listen for a service, who waits there.

Also the ports that services have on them. In memory; what must survive (the ports) is read back
from the EndpointSlices. Pure but for being mutable.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from conch.api import names
from conch.kube.views import Object
from conch.observe.types import Key

# One for HTTP and one for gRPC.
PORTS_PER_SERVICE: Final = 2
# How long an activator holds a connection: in steps, since a number that follows each start would
# be written again and again. Not below two minutes: starts are measured on nodes that may have the
# image and the model already, and the next one may have to fetch them.
_HOLD_STEPS_S: Final = (120, 300, 600, 1200, 1800, 3600)
_HOLD_UNKNOWN_S: Final = 600


@dataclass(frozen=True, slots=True)
class Listening:
    """One service at one activator."""

    ports: tuple[int, ...]
    held: int


@dataclass(frozen=True, slots=True)
class Activation:
    """What activators can do for one service.

    ``addresses`` are those of activators that listen for it; ``family`` is of any activator's
    address, "" when there is none; ``known``: every activator there is has told.
    """

    port: int
    addresses: tuple[str, ...]
    family: str
    known: bool
    held: int


@dataclass(frozen=True, slots=True)
class _Activator:
    address: str
    leaving: bool
    services: Mapping[str, Listening] | None  # None: it has not told


class ActivationBook:
    """The activators, and who has which port."""

    def __init__(self, ports: range | None = None) -> None:
        self.ports = ports if ports is not None else range(20000, 22000)
        self.looked = False
        """Whether there has been time to find the activators; before, none does not mean none."""
        self._activators: dict[str, _Activator] = {}
        self._ports: dict[Key, int] = {}
        self._owners: dict[int, Key] = {}

    # --- activators -------------------------------------------------------------------------------

    def seen(self, uid: str, address: str, *, leaving: bool) -> None:
        """An activator's pod is there."""
        known = self._activators.get(uid)
        services = known.services if known and known.address == address else None
        self._activators[uid] = _Activator(address, leaving, services)

    def gone(self, uid: str) -> None:
        """An activator's pod is gone."""
        self._activators.pop(uid, None)

    def told(self, uid: str, services: Mapping[str, Listening]) -> None:
        """An activator has told what it listens for; nothing at all when it does not answer."""
        known = self._activators.get(uid)
        if known is not None:
            self._activators[uid] = _Activator(known.address, known.leaving, services)

    # --- services ---------------------------------------------------------------------------------

    def learn(self, key: Key, raw: Object) -> None:
        """Take in an EndpointSlice of a service: one of ours tells the ports it was given."""
        labels = raw["metadata"].get("labels", {})
        if labels.get(names.LABEL_SLICE_MANAGER) == names.SLICE_MANAGER:
            ports = [p.get("port") for p in raw.get("ports") or () if p.get("name") == "http"]
            if ports and self._usable(ports[0]):
                self._give(key, ports[0])

    def _give(self, key: Key, port: int) -> None:
        """Of two services with the same port (somebody wrote a slice by hand) the first by name
        has it; the other one gets another."""
        owner = self._owners.get(port)
        if owner is not None and owner < key:
            return
        if owner is not None:
            self._ports.pop(owner, None)
        self.forget(key)
        self._owners[port] = key
        self._ports[key] = port

    def forget(self, key: Key) -> None:
        """The service is gone; its ports are free."""
        port = self._ports.pop(key, None)
        if port is not None:
            del self._owners[port]

    def of(self, key: Key) -> Activation | None:
        """What there is for the service; None when no ports are left for it."""
        port = self._port(key)
        if port is None:
            return None
        wanted = {port, port + 1}
        told = [a for a in self._activators.values() if a.services is not None]
        here = [(a, a.services.get(str(key))) for a in told if a.services is not None]
        addresses = sorted(
            a.address
            for a, listening in here
            if listening and wanted <= set(listening.ports) and not a.leaving and a.address
        )
        everywhere = sorted(a.address for a in self._activators.values() if a.address)
        family = "" if not everywhere else "IPv6" if ":" in everywhere[0] else "IPv4"
        return Activation(
            port=port,
            addresses=tuple(a for a in addresses if (":" in a) == (family == "IPv6")),
            family=family,
            known=self.looked and len(told) == len(self._activators),
            held=sum(listening.held for _, listening in here if listening),
        )

    def _port(self, key: Key) -> int | None:
        """The service's first port: kept once given, and nearly always the same if given anew."""
        known = self._ports.get(key)
        if known is not None:
            return known
        slots = len(self.ports) // PORTS_PER_SERVICE
        start = zlib.crc32(str(key).encode())
        for step in range(slots):
            port = self.ports[PORTS_PER_SERVICE * ((start + step) % slots)]
            if port not in self._owners:
                self._give(key, port)
                return port
        return None

    def _usable(self, port: object) -> bool:
        first = self.ports[0]
        return (
            isinstance(port, int)
            and port in self.ports
            and port + 1 in self.ports
            and (port - first) % PORTS_PER_SERVICE == 0
        )


def hold_s(cold_starts_s: Collection[float], before: str) -> int:
    """For how long to hold: twice the longest start known, in steps; ``before`` when none is."""
    if not cold_starts_s:
        return int(before) if before.isdecimal() else _HOLD_UNKNOWN_S
    least = 2 * max(cold_starts_s)
    return next((step for step in _HOLD_STEPS_S if step >= least), _HOLD_STEPS_S[-1])
