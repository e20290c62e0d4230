"""explain_right: whether the planner names first what a person would."""

from __future__ import annotations

from e2e.bench.figure import Context, Figure, Result
from e2e.placement.unplaced import CASES


def _measure(ctx: Context) -> Result:
    wrong = [case.name for case in CASES if not case.right()]
    return Result(
        len(CASES) - len(wrong),
        f"of {len(CASES)} hand-made cases in which a service is not placed (JSON of nodes and pods "
        "through the operator's readers), those whose message begins with the cause written down "
        f"before; wrong: {', '.join(wrong) or 'none'}",
    )


RIGHT = Figure(
    "explain_right",
    "",
    len(CASES),
    "higher",
    "cases whose right cause comes first",
    _measure,
)
