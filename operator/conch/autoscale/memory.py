"""What of a model's learned curve outlives the operator: its form as text, and when it is news.

Decides what is worth keeping, what counts as a change, and which text is believed. A remembered
curve counts as few executions, so that what is seen now soon outweighs it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec

# The parts a curve is made of: kept and rebuilt here, used by nobody else.
from conch.autoscale.curve import Curve, _Size
from conch.autoscale.state import Speed

FEWEST: Final = 20.0  # executions a size must rest on to be kept
BELIEVED: Final = 20.0  # executions a remembered size counts as, at most
_MOVED: Final = 0.1  # a number that moved by a larger share is news
_MOVED_S: Final = 1.0  # and a cold start by more than this
_SIZES: Final = 64
_STARTS: Final = 5

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86400)]
_Number = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    """The form: sizes are [batch, executions, mean in seconds, scatter, looks]."""

    model: Annotated[str, msgspec.Meta(max_length=512)]
    at: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    sizes: Annotated[
        list[
            tuple[Annotated[int, msgspec.Meta(ge=1, le=4096)], _Number, _Seconds, _Number, _Number]
        ],
        msgspec.Meta(max_length=_SIZES),
    ]
    # Kubernetes' times are whole seconds: a start may take none.
    starts: Annotated[
        list[Annotated[float, msgspec.Meta(ge=0, le=86400)]], msgspec.Meta(max_length=_STARTS)
    ] = []


_DECODER: Final = msgspec.json.Decoder(_Text)


@dataclass(frozen=True, slots=True)
class Learned:
    """One model on one kind of server. ``model`` is for people; ``at`` is seconds since the epoch.

    ``starts_s``: times from a pod's creation to Ready, newest last.
    """

    model: str
    at: int
    curve: Curve = field(default_factory=Curve)
    starts_s: tuple[float, ...] = ()

    def text(self) -> str:
        """One line; ``read`` gives the same back, rounded."""
        sizes = [
            (k, _rounded(s.weight), _rounded(s.mean_s), _rounded(s.scatter), _rounded(s.looks))
            for k, s in sorted(self.curve.sizes.items())
        ]
        starts = [_rounded(s) for s in self.starts_s]
        return msgspec.json.encode(_Text(self.model, self.at, sizes, starts)).decode()

    def begin(self) -> Speed:
        """Where a scaler starts that has seen nothing itself."""
        sizes = {
            k: _Size(min(s.weight, BELIEVED), s.mean_s, s.scatter, s.looks)
            for k, s in self.curve.sizes.items()
        }
        return Speed(curve=Curve(sizes))


def read(text: str) -> Learned:
    """What ``Learned.text`` wrote. Raises ValueError for anything else."""
    try:
        found = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(str(error)) from None
    sizes = {
        k: _Size(weight, mean_s, min(scatter, 1.0), min(looks, 100.0))
        for k, weight, mean_s, scatter, looks in found.sizes
    }
    return Learned(found.model, found.at, Curve(sizes), tuple(found.starts))


def after(
    before: Learned | None, model: str, curve: Curve, starts_s: tuple[float, ...], at: int
) -> Learned | None:
    """What to remember from now on; None: it is about what is remembered already.

    Sizes that were not seen lately stay as they were: a quiet night is no reason to forget.
    """
    sure = {k: size for k, size in curve.sizes.items() if size.weight >= FEWEST}
    known: Mapping[int, _Size] = before.curve.sizes if before is not None else {}
    sizes = {**known, **sure}
    heaviest = sorted(sizes, key=lambda k: -sizes[k].weight)[:_SIZES]
    kept = Curve({k: sizes[k] for k in heaviest})
    starts = starts_s[-_STARTS:] or (before.starts_s if before is not None else ())
    if not kept.sizes:
        return None  # a service that nobody has asked anything taught nothing
    old_starts = before.starts_s if before is not None else ()
    news = (
        kept.sizes.keys() != known.keys()
        or any(_far(known[k].mean_s, kept.sizes[k].mean_s) for k in kept.sizes)
        or bool(old_starts) != bool(starts)
        or (bool(starts) and _far(_median(old_starts), _median(starts), _MOVED_S))
    )
    return Learned(model, at, kept, starts) if news else None


def _far(one: float, other: float, least: float = 0.0) -> bool:
    return abs(one - other) > max(_MOVED * one, least)


def _median(values: tuple[float, ...]) -> float:
    return sorted(values)[len(values) // 2]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
