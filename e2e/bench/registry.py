"""All figures, in the order they are measured: neighbours share a cluster."""

from __future__ import annotations

from e2e.bench.figure import Figure

FIGURES: tuple[Figure, ...] = ()
