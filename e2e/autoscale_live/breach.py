"""breach_to_patch_s: how soon the replicas follow once the promise breaks, on real servers.

Counted from the step of the load, which is earlier than the first late answer by the target and
more: what is printed is an upper bound.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from e2e.bench.real_step import LOAD_STEP

FIGURE: Final = replace(
    LOAD_STEP,
    name="breach_to_patch_s",
    target=3.0,
    what="breach of the objective (counted from the step that causes it) → replica patch, live",
)
