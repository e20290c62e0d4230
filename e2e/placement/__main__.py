"""`python -m e2e.placement [--only FIGURE …]`: measure, print, write bench-placement.json.

Exit codes: 0 all met; 1 a figure missed its target or could not be measured; 2 called wrongly.
"""

from __future__ import annotations

import sys

from e2e.bench.run import command
from e2e.placement.registry import FIGURES

if __name__ == "__main__":
    sys.exit(command("e2e.placement", FIGURES, "bench-placement.json"))
