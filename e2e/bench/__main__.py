"""`python -m e2e.bench [FIGURE …]`: measure, print a table, write build/bench/bench.json.

Exit codes: 0 all met; 1 a figure missed its target or could not be measured; 2 called wrongly.
"""

from __future__ import annotations

import sys

from e2e.bench.registry import FIGURES
from e2e.bench.run import command

if __name__ == "__main__":
    sys.exit(command("e2e.bench", FIGURES, "bench.json"))
