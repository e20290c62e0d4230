"""A service in the choice, and what is reserved for it while the choice goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from conch.observe.types import PlacementRequest
from conch.placement.candidates import SPOT
from conch.placement.ledger import UNLIMITED, Grants, Ledger
from conch.placement.options import RANK, Option

GOOD = 1e-9  # what counts as no difference
# Being left out: bounds prices when not all can be served.
OUTSIDE = 100 * RANK

# Option, grants, spot left, value.
Held = tuple[Option | None, Grants, int, float]


@dataclass(slots=True, eq=False)
class Seat:
    """A service and what is reserved for it."""

    request: PlacementRequest
    options: Sequence[Option]
    option: Option | None = None
    grants: Grants = field(default_factory=list)
    spot_left: int = UNLIMITED
    value: float = OUTSIDE  # of what is reserved
    kept: bool = False  # it is on its class already
    # On classes beside the option's: replicas that run there and stay, by class, and room for more.
    stays: Mapping[str, int] = field(default_factory=dict)
    parts: list[tuple[Option, Grants]] = field(default_factory=list)
    relocates: bool = False  # to better areas of the class it is on

    @property
    def placed(self) -> int:
        """Replicas that have room."""
        return sum(replicas for _, replicas in self.grants)

    @property
    def runs(self) -> bool:
        """Whether something of it runs, which needs no place."""
        return self.kept and bool(self.request.bound or self.stays)

    @property
    def beside(self) -> dict[str, int]:
        """Replicas on classes of their own, by class."""
        if not self.parts and not self.stays:
            return {}
        found = dict(self.stays)
        for option, grants in self.parts:
            name = option.kind.name
            found[name] = found.get(name, 0) + sum(replicas for _, replicas in grants)
        return found

    @property
    def missing(self) -> int:
        """Replicas that have no room anywhere."""
        if self.option is None:
            return 0
        return self.option.replicas - self.placed - self.promised

    @property
    def promised(self) -> int:
        """Replicas that have room on other classes, without those that run there."""
        return sum(n for _, grants in self.parts for _, n in grants) if self.parts else 0

    def choose(self, option: Option) -> None:
        """Have that option, with nothing reserved yet."""
        self.option, self.grants, self.spot_left = option, [], option.spot_limit
        self.value = option.fixed()

    def take(self, ledger: Ledger, option: Option, most: int) -> int:
        """Reserve up to so many more replicas there; how many found room."""
        if self.option is not option:
            self.choose(option)
        return self._hold(
            ledger, option, ledger.reserve(option.candidates, option.shape, most, self.spot_left)
        )

    def take_on(self, ledger: Ledger, option: Option, index: int, replicas: int) -> int:
        """Reserve up to so many more replicas on one node; how many found room."""
        if self.option is not option:
            self.choose(option)
        return self._hold(ledger, option, ledger.reserve_on(index, option.shape, replicas))

    def _hold(self, ledger: Ledger, option: Option, grants: Grants) -> int:
        found = 0
        for index, replicas in grants:
            lot = option.candidates.filter_.lot(ledger.node(index))
            if lot[0] == SPOT:
                self.spot_left -= replicas
            self.value += replicas * option.worth.by_lot[lot]
            self.grants.append((index, replicas))
            found += replicas
        return found

    def leave(self, ledger: Ledger) -> None:
        """Give everything back."""
        if self.option is not None:
            ledger.release(self.grants, self.option.shape)
        for option, grants in self.parts:
            ledger.release(grants, option.shape)
        self.parts = []
        self.option, self.grants, self.value = None, [], OUTSIDE

    def take_all(self, ledger: Ledger, option: Option) -> bool:
        """Reserve all replicas there, or none."""
        if not ledger.may_hold(option.candidates, option.shape, option.replicas, option.spot_limit):
            return False
        if self.take(ledger, option, option.replicas) == option.replicas:
            return True
        self.leave(ledger)
        return False

    def held(self) -> Held:
        """What it has, for ``put_back``."""
        return self.option, self.grants, self.spot_left, self.value

    def put_back(self, ledger: Ledger, held: Held) -> None:
        """Have again what it had; the room must be free."""
        self.option, self.grants, self.spot_left, self.value = held
        if self.option is not None:
            ledger.release([(index, -n) for index, n in self.grants], self.option.shape)


def total(seats: Sequence[Seat]) -> float:
    """The sum of the seats' values."""
    return sum(seat.value for seat in seats)
