"""`python -m e2e.bench [figure …]`: measure, print a table, write build/bench/bench.json.

Exit codes: 0 all met; 1 a figure missed its target or could not be measured; 2 called wrongly.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from e2e.bench.registry import FIGURES
from e2e.bench.run import FOLDER, run


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
    wanted = [f for f in FIGURES if not chosen.figures or f.name in chosen.figures]
    return run(wanted, FOLDER / "bench.json")


if __name__ == "__main__":
    sys.exit(main())
