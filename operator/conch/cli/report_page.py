"""The page of `conch report`: cost, power and carbon over time, stacked by group, and the numbers.

Self-contained: no scripts, no fonts, no addresses; the drawings are SVG in the page, drawn at a
phone's width so that text keeps its size there. Values in, text out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from conch.cli.report import amount, cells
from conch.cli.spending import Found, Group, without
from conch.twin.page import document, text

_WIDTH: Final = 400
_LEFT: Final = 52
_RIGHT: Final = 8
_TOP: Final = 10
_HEIGHT: Final = 120
_AXIS: Final = 22
_MOST: Final = 7  # groups with a colour of their own; the others share one
_OTHERS: Final = "others"
# Distinguishable with every kind of colour vision, on light and on dark (Okabe and Ito).
_COLOURS: Final = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a90b", "#8a8f98",
)  # fmt: skip
_HEADS: Final = (
    "services", "cost per hour", "power", "CO₂e per hour", "cost", "energy", "CO₂e", "inferences",
    "cost per million", "J per inference", "g CO₂e per million",
)  # fmt: skip
_MORE: Final = (
    "".join(f".c{i}{{fill:{colour};background:{colour}}}" for i, colour in enumerate(_COLOURS))
    + "svg path.a{stroke:none}.legend i.c{height:.8rem;width:.8rem;border:0}"
    + "".join(f"svg path.c{i}{{fill:{colour}}}" for i, colour in enumerate(_COLOURS))
    # A dozen columns: names and headings may take two lines.
    + "@media(min-width:641px){.result th{white-space:normal;vertical-align:bottom}"
    ".result th,.result td{padding:.45rem}tbody th{min-width:8rem;overflow-wrap:anywhere}}"
)


@dataclass(frozen=True, slots=True)
class _Plot:
    """What a drawing shows of a group's part: a rate, from what was spent in how many seconds."""

    title: str
    unit: str
    column: int  # of Group.parts
    rate: Callable[[float, float], float]


_PLOTS: Final = (
    _Plot("Cost", "$ per hour", 1, lambda spent, s: spent / s * 3600),
    _Plot("Power", "watts", 2, lambda spent, s: spent / s),
    _Plot("Carbon", "g CO₂e per hour", 3, lambda spent, s: spent / s * 3600),
)


def page(
    found: Found, groups: Sequence[Group], every: Group, by: str, where: str, now: datetime
) -> str:
    """The whole page. ``where``: "namespace demo"; ``every``: all groups in one."""
    title = f"Cost, energy and carbon of {where}"
    body = (
        f"<p class=lead>{text(_lead(every))}</p>"
        f"{''.join(f'<p class=note>{text(note)}</p>' for note in _notes(found))}"
        f"<h2>Over time</h2>{_span(every, found.part_s)}{_drawings(groups, found.part_s)}"
        f"<h2>By {text(by)}</h2>{_table(groups, every, by)}{_terms(found)}"
    )
    return document(title, "report", body, style=_MORE, stamp=f", {now:%Y-%m-%d %H:%M} UTC")


def _lead(every: Group) -> str:
    parts = [f"{every.services} {'service' if every.services == 1 else 'services'}"]
    for value, sign, unit in (
        (every.dollars_per_h, "$", " an hour now"),
        (every.watts, "", " W"),
        (every.grams_per_h, "", " g CO₂e an hour"),
    ):
        if value is not None:
            parts.append(amount(value, sign, unit))
    return f"{', '.join(parts)}."


def _span(every: Group, part_s: float) -> str:
    """Which time the drawings and the sums are of."""
    if not every.parts:
        return ""
    ends = (min(every.parts), max(every.parts) + part_s)
    first, last = (datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M") for at_s in ends)
    return f"<p class=what>{first} to {last} UTC; the sums below are of this time.</p>"


def _notes(found: Found) -> list[str]:
    told = [found.note] if found.note else []
    unknown = without(found.services)
    if unknown:
        told.append(
            f"{len(unknown)} of {len(found.services)} services have no known price and are not in "
            "the sums of money."
        )
    return told


def _terms(found: Found) -> str:
    told = [
        "Cost: list price of the accelerators that replicas hold, or what their AcceleratorClass "
        "says. Energy: of those accelerators, idle time included, without what the site adds."
    ]
    if any(service.estimated for service in found.services):
        told.append("Power is modelled from utilisation where no meter tells it.")
    if found.carbon_kind:
        told.append(
            f"Carbon: with what the site adds (PUE), at the {found.carbon_kind.lower()} intensity "
            "of the grid."
        )
    return f"<p class=terms>{text(' '.join(told))}</p>"


def _table(groups: Sequence[Group], every: Group, by: str) -> str:
    rows = [*groups, every] if len(groups) > 1 else groups
    body = []
    for group in rows:
        data = "".join(
            f'<td data-name="{name}">{text("–" if cell == "-" else cell)}</td>'
            for name, cell in zip(_HEADS, cells(group), strict=True)
        )
        body.append(f"<tr><th scope=row>{text(group.name)}</th>{data}</tr>")
    head = "".join(f"<th scope=col>{name}</th>" for name in (text(by), *_HEADS))
    return (
        f"<div class=scroll><table class=result><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


# --- drawings -------------------------------------------------------------------------------------


def _drawings(groups: Sequence[Group], part_s: float) -> str:
    starts = sorted({start for group in groups for start in group.parts})
    if not starts:
        return "<p>There is no history yet.</p>"
    layers = [(group.name, [group]) for group in groups[:_MOST]]
    if len(groups) > _MOST:
        layers.append((_OTHERS, list(groups[_MOST:])))
    shown = "".join(
        f"<span><i class='c c{i}'></i>{text(name)}</span>" for i, (name, _) in enumerate(layers)
    )
    cards = "".join(
        f"<section class=card><h3>{plot.title}</h3><p class=what>{plot.unit}</p>{drawing}</section>"
        for plot in _PLOTS
        if (drawing := _stacked(plot, [members for _, members in layers], starts, part_s))
    )
    return f"<p class=legend>{shown}</p><div class=grid>{cards}</div>"


def _stacked(
    plot: _Plot, layers: Sequence[Sequence[Group]], starts: Sequence[float], part_s: float
) -> str:
    """One SVG; "" when there is nothing to show."""
    first_s, last_s = starts[0], starts[-1] + part_s
    rates = [
        [sum(_rate(plot, group, start) for group in members) for start in starts]
        for members in layers
    ]
    top = max(map(sum, zip(*rates, strict=True)))
    if top <= 0:
        return ""

    def x(at_s: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (at_s - first_s) / (last_s - first_s)

    def y(value: float) -> float:
        return _TOP + _HEIGHT * (1 - value / (1.05 * top))

    parts = []
    below = [0.0] * len(starts)
    for number, values in enumerate(rates):
        above = [b + v for b, v in zip(below, values, strict=True)]
        there = [(x(s), x(s + part_s)) for s in starts]
        up = "".join(f"L{a:.1f} {y(v):.1f}H{b:.1f}" for (a, b), v in zip(there, above, strict=True))
        down = "".join(
            f"L{b:.1f} {y(v):.1f}H{a:.1f}"
            for (a, b), v in reversed(list(zip(there, below, strict=True)))
        )
        parts.append(f'<path class="a c{number}" d="M{up[1:]}{down}Z"/>')
        below = above
    grid = "".join(
        f'<path class=g d="M{_LEFT} {y(value):.1f}H{_WIDTH - _RIGHT}"/>'
        f"<text class=e x={_LEFT - 5} y={y(value) + 4:.1f}>{value:,.6g}</text>"
        for value in _ticks(top)
    )
    zero = y(0)
    times = "".join(
        f'<path class=g d="M{x(at_s):.1f} {zero:.0f}v4"/>'
        f"<text class={'e' if x(at_s) > _WIDTH - 24 else 'm'} x={x(at_s):.1f} "
        f"y={zero + 16:.0f}>{datetime.fromtimestamp(at_s, UTC):%H:%M}</text>"
        for at_s in _hours(first_s, last_s)
    )
    told = text(f"{plot.title}, {plot.unit}, at most {amount(top)}")
    height = _TOP + _HEIGHT + _AXIS
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role=img aria-label="{told}">'
        f"{grid}{''.join(parts)}{times}</svg>"
    )


def _rate(plot: _Plot, group: Group, start_s: float) -> float:
    sums = group.parts.get(start_s)
    return plot.rate(sums[plot.column], sums[0]) if sums is not None and sums[0] > 0 else 0.0


def _ticks(top: float) -> list[float]:
    """Zero and two to four round numbers up to ``top``."""
    unit = 10.0 ** math.floor(math.log10(top))
    step = next(s for s in (0.2 * unit, 0.5 * unit, unit, 2 * unit, 5 * unit) if top / s < 4)
    return [k * step for k in range(int(top / step) + 1)]


def _hours(first_s: float, last_s: float) -> list[float]:
    """Four to eight times on the clock (UTC)."""
    step = next(s for s in (900, 1800, 3600, 7200, 10800, 21600) if (last_s - first_s) / s <= 6)
    at_s = math.ceil(first_s / step) * step
    return [float(t) for t in range(int(at_s), int(last_s) + 1, step)]
