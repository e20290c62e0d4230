"""`python -m e2e.twin [figure …]`: measure, print a table, write build/bench/bench-twin.json.

Exit codes: 0 all met; 1 a figure missed its target or could not be measured; 2 called wrongly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from e2e.bench.run import FOLDER, run
from e2e.twin import speed, validate

GROUPS = {"speed": speed.FIGURES, "validate": validate.FIGURES}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.twin", description="Measure the twin.")
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], metavar="|".join(GROUPS))
    chosen = parser.parse_args(arguments)
    figures = [figure for name in chosen.groups or GROUPS for figure in GROUPS[name]]
    return run(figures, FOLDER / "bench-twin.json")


if __name__ == "__main__":
    sys.exit(main())
