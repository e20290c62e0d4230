"""`python -m e2e.twin [figure …]`: measure, print a table, write build/bench/bench-twin.json.

Exit codes: 0 all met; 1 a figure missed its target or could not be measured; 2 called wrongly.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence

from e2e.bench import report
from e2e.bench.figure import Context
from e2e.testbed import Progress
from e2e.testbed.layout import REPOSITORY
from e2e.twin import speed, validate

FOLDER = REPOSITORY / "build" / "bench"
GROUPS = {"speed": speed.FIGURES, "validate": validate.FIGURES}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.twin", description="Measure the twin.")
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], metavar="|".join(GROUPS))
    chosen = parser.parse_args(arguments)
    # SIGTERM as Ctrl-C: the cluster goes down either way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    figures = [f for name in chosen.groups or GROUPS for f in GROUPS[name]]
    rows = []
    with contextlib.closing(Context(Progress(), FOLDER)) as ctx:
        for figure in figures:
            ctx.progress(f"== {figure.name}: {figure.what}")
            try:
                row = report.row(figure, figure.measure(ctx))
            except Exception as error:  # one figure's failure must not cost the others theirs
                row = report.row(figure, error)
            report.merge(FOLDER / "bench-twin.json", [row])
            rows.append(row)
    print(report.table(rows, figures))
    return 0 if all(one.met for one in rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
