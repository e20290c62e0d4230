"""From figures to rows on the screen and in a file: what every command that measures ends with.

A figure that fails costs the others nothing; what was measured is kept at once, so that an
interrupted run loses only the figure in progress.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

from e2e.bench import report
from e2e.bench.figure import Context, Figure, Row
from e2e.testbed import Progress
from e2e.testbed.layout import REPOSITORY

FOLDER = REPOSITORY / "build" / "bench"


def command(
    module: str, figures: Sequence[Figure], file: str, arguments: Sequence[str] | None = None
) -> int:
    """What `python -m MODULE` does: the figures named, or all of them."""
    known = {figure.name: figure for figure in figures}
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=f"Measure figures; they go into build/bench/{file}.",
        epilog="Figures: " + "; ".join(f"{f.name}: {f.what}" for f in figures),
    )
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help="default: all of them")
    parser.add_argument("--only", action="append", default=[], metavar="FIGURE", help="the same")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        print("\n".join(known))
        return 0
    names = [*chosen.figures, *chosen.only]
    for name in names:
        if name not in known:
            parser.error(f"unknown figure {name}: there are {', '.join(known)}")
    return run([f for f in figures if not names or f.name in names], FOLDER / file)


def run(figures: Sequence[Figure], path: Path) -> int:
    """Measure, write ``path``, print the table.

    Exit codes: 0 all met; 1 one missed its target or could not be measured; 130 interrupted.
    """
    # SIGTERM as Ctrl-C: the clusters go down either way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rows = _measure(figures, path)
    except KeyboardInterrupt:
        return 130
    print(report.table(rows, figures))
    return 0 if all(row.met for row in rows) else 1


def _measure(figures: Sequence[Figure], path: Path) -> list[Row]:
    rows = []
    with contextlib.closing(Context(Progress(), path.parent)) as ctx:
        for figure in figures:
            ctx.progress(f"== {figure.name}: {figure.what}")
            try:
                row = report.row(figure, figure.measure(ctx))
            except Exception as error:
                row = report.row(figure, error)
            ctx.progress(f"{row.name}: {row.value} {row.unit}: {row.how}")
            report.merge(path, [row])
            rows.append(row)
    return rows
