"""`python -m e2e.autoscale_live from_zero`: measure on the test bed, print, write a JSON file.

Exit codes: 0 met; 1 missed or not measured; 2 called wrongly.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Sequence

from e2e.autoscale_live import breach, from_zero, scrape
from e2e.bench import report
from e2e.bench.figure import Context, Row
from e2e.testbed import Progress
from e2e.testbed.layout import REPOSITORY

FOLDER = REPOSITORY / "build" / "bench"
FIGURES = {
    "breach": breach.FIGURE,
    "from_zero": from_zero.FIGURE,
    "scrape": scrape.FIGURE,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.autoscale_live", description="Measure figures on real servers."
    )
    parser.add_argument("figures", nargs="+", choices=FIGURES, help="what to measure")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows: list[Row] = []
    wanted = [FIGURES[name] for name in dict.fromkeys(chosen.figures)]
    with contextlib.closing(Context(Progress(), FOLDER)) as ctx:
        for figure in wanted:
            try:
                row = report.row(figure, figure.measure(ctx))
            except Exception as error:  # one figure's failure must not cost the others theirs
                row = report.row(figure, error)
            report.merge(FOLDER / "bench-autoscale-live.json", [row])
            rows.append(row)
    print(report.table(rows, wanted))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
