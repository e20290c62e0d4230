"""Late share against cost for every case with a tuned baseline: one self-contained page.

Plain SVG and CSS: no script, nothing from outside. Values only; it measures nothing.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from e2e.autoscale.figures import Book
from e2e.autoscale.jobs import Value
from e2e.autoscale.runner import DEFAULTS, Results
from e2e.bench.figure import Row

_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 26, 34
_LOWEST, _HIGHEST = 1e-4, 1.0  # late share
_CHEAPEST, _DEAREST = 0.7, 4.0  # times the oracle's cost
_COLOURS: Final = {
    "oracle": "#111111",
    "floor": "#8a8a8a",
    "conch": "#0b7a3b",
    "conch, no reject": "#7bbf8f",
    "keda": "#1f5fbf",
    "keda + reject": "#7fb0ef",
    "others": "#c9772b",
    "nvidia": "#b3261e",
}


@dataclass(frozen=True, slots=True)
class Dot:
    """One run, or a mean of some: cost over the oracle's, late share."""

    kind: str
    label: str
    ratio: float
    late: float


def page(results: Results, rows: Sequence[Row]) -> str:
    """The whole page."""
    book = Book(results)
    charts = [
        _chart(name, "surge" if name in book.surges else "tractable", dots(book, name))
        for name in (*book.tractable, *book.surges)
    ]
    figures = "".join(
        f"<tr><td>{row.name}<td class=n>{row.value:g}<td class=n>{row.target:g}"
        f"<td class={'ok' if row.met else 'no'}>{'met' if row.met else 'missed'}"
        f"<td class=how>{html.escape(row.how)}"
        for row in rows
    )
    legend = " ".join(
        f"<span><i style=background:{colour}></i>{kind}</span>" for kind, colour in _COLOURS.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>bench-autoscale</title><style>{_STYLE}</style>"
        "<h1>Late share against cost</h1><p>Each chart is one case: trace / service curve / cold"
        " start in s. Across: replica-hours over the clairvoyant's. Up: share of late requests."
        " Lower left is better; the line is the error budget.</p>"
        f"<p class=legend>{legend}</p><div class=table><table><tr><th>figure<th>value<th>target"
        f"<th><th>how{figures}</table></div><div class=grid>{''.join(charts)}</div></html>"
    )


def dots(book: Book, case: str) -> list[Dot]:
    """Everything known of a case."""
    results = book.results
    known = results.reference[case]
    oracle = known["oracle"]["hours"]
    found = [
        Dot("oracle", "oracle", 1.0, known["oracle"]["late"]),
        Dot("floor", "causal", known["floor"]["hours"] / oracle, known["floor"]["late"]),
    ]

    def add(kind: str, label: str, run: Value) -> None:
        found.append(Dot(kind, label, run["hours"] / oracle, run["late"]))

    for point in results.swept.get(case, {"points": []})["points"]:
        add("keda", f"keda {point['value']:.3g} rps", point)
    for (name, rule, rejecting), tuned in results.tuned.items():
        if name == case:
            kind = "keda" if rule == "keda" else "others"
            kind = "keda + reject" if rejecting else kind
            for point in tuned["points"]:
                add(kind, f"{rule} {point['value']:.3g}", point)
    for (name, rule), run in results.default.items():
        if name == case:
            add("nvidia" if rule in DEFAULTS else "others", f"{rule}, untouched", run)
    for variant, kind in (("plain", "conch, no reject"), ("reject", "conch")):
        for seed, run in enumerate(book.conch(case, variant)):
            add(kind, f"{kind}, seed {seed}", run)
    return found


def _chart(name: str, kind: str, found: Sequence[Dot]) -> str:
    def x(ratio: float) -> float:
        place = math.log(min(max(ratio, _CHEAPEST), _DEAREST) / _CHEAPEST)
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * place / math.log(_DEAREST / _CHEAPEST)

    def y(late: float) -> float:
        place = math.log(min(max(late, _LOWEST), _HIGHEST) / _LOWEST)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * place / math.log(_HIGHEST / _LOWEST)

    parts = [
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role=img aria-label='{html.escape(name)}'>",
        f"<text x={_LEFT} y=16 class=t>{html.escape(name)} ({kind})</text>",
    ]
    for late, label in ((1e-4, "≤.01 %"), (1e-3, ".1 %"), (0.01, "1 %"), (0.1, "10 %"), (1, "all")):
        line = "b" if late == 0.01 else "g"
        parts.append(
            f"<path d='M{_LEFT} {y(late):.1f}H{_WIDTH - _RIGHT}' class={line} />"
            f"<text x={_LEFT - 4} y={y(late) + 3:.1f} class=y>{label}</text>"
        )
    for ratio in (0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 4.0):
        parts.append(
            f"<path d='M{x(ratio):.1f} {_TOP}V{_HEIGHT - _BOTTOM}' class=g />"
            f"<text x={x(ratio):.1f} y={_HEIGHT - _BOTTOM + 14} class=x>{ratio:g}</text>"
        )
    for dot in found:
        title = f"{dot.label}: {100 * dot.late:.2f} % late at {dot.ratio:.2f}"
        parts.append(
            f"<circle cx={x(dot.ratio):.1f} cy={y(dot.late):.1f} r=3.2 fill='{_COLOURS[dot.kind]}'>"
            f"<title>{html.escape(title)}</title></circle>"
        )
    return "".join(parts) + "</svg>"


_STYLE: Final = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:1rem auto;max-width:1180px;padding:0 .8rem;"
    "color:#1b1b1b;background:#fff}h1{font-size:1.3rem}"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:.6rem}"
    "svg{width:100%;height:auto;border:1px solid #e3e3e3;border-radius:6px}"
    ".t{font-size:12px;font-weight:600}.x{font-size:10px;text-anchor:middle;fill:#555}"
    ".y{font-size:10px;text-anchor:end;fill:#555}.g{stroke:#ececec}.b{stroke:#b3261e;opacity:.6}"
    ".legend span{margin-right:.9rem;white-space:nowrap}.legend i{display:inline-block;width:.7rem;"
    "height:.7rem;border-radius:50%;margin-right:.3rem}.table{overflow-x:auto;margin-bottom:1rem}"
    "table{border-collapse:collapse}td,th{padding:.25rem .6rem;text-align:left;vertical-align:top;"
    "border-bottom:1px solid #eee}.n{text-align:right}.ok{color:#0b7a3b}.no{color:#b3261e}"
    ".how{font-size:12px;color:#555;min-width:20rem}"
)
