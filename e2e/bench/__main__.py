"""`python -m e2e.bench [figure …]`: measure, print a table, write build/bench/bench.json.

Exit codes: 0 all met; 1 a figure missed its target or could not be measured; 2 called wrongly.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence

from e2e.bench import report
from e2e.bench.figure import Context, Figure, Row
from e2e.bench.registry import FIGURES
from e2e.testbed import Progress
from e2e.testbed.layout import REPOSITORY

FOLDER = REPOSITORY / "build" / "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    known = {figure.name: figure for figure in FIGURES}
    parser = argparse.ArgumentParser(
        prog="python -m e2e.bench",
        description="Measure figures.",
        epilog="Figures: " + "; ".join(f"{f.name}: {f.what}" for f in FIGURES),
    )
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help="default: all of them")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        print("\n".join(known))
        return 0
    unknown = [name for name in chosen.figures if name not in known]
    if unknown:
        parser.error(f"unknown figure {unknown[0]}: there are {', '.join(known)}")
    # SIGTERM as Ctrl-C: the clusters go down either way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    wanted = [f for f in FIGURES if not chosen.figures or f.name in chosen.figures]
    rows = _measure(wanted, Progress())
    print(report.table(rows, FIGURES))
    return 0 if all(one.met for one in rows) else 1


def _measure(wanted: Sequence[Figure], progress: Progress) -> list[Row]:
    rows = []
    ctx = Context(progress, FOLDER)
    with contextlib.closing(ctx):
        for figure in wanted:
            progress(f"== {figure.name}: {figure.what}")
            try:
                row = report.row(figure, figure.measure(ctx))
            except Exception as error:  # one figure's failure must not cost the others theirs
                row = report.row(figure, error)
            progress(f"{row.name}: {row.value} {row.unit}: {row.how}")
            report.merge(FOLDER / "bench.json", [row])
            rows.append(row)
    return rows


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
