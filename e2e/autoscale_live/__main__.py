"""`python -m e2e.autoscale_live from_zero`: measure on the test bed, print, write a JSON file.

Exit codes: 0 met; 1 missed or not measured; 2 called wrongly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from e2e.autoscale_live import breach, from_zero, scrape
from e2e.bench.run import FOLDER, run

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
    wanted = [FIGURES[name] for name in dict.fromkeys(chosen.figures)]
    return run(wanted, FOLDER / "bench-autoscale-live.json")


if __name__ == "__main__":
    sys.exit(main())
