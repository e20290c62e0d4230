"""The live table and the verdict. Decides only how things look; the numbers are given."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any, TextIO

WARM_UP_S = 30.0
HEADER = f"{'time':>6} {'req/s':>6} {'ready':>6} {'p50':>7} {'p99':>8}  target  decision"


@dataclass(slots=True)
class Row:
    """One line of the live table."""

    at_s: float
    rate_per_s: float
    wanted: int
    ready: int
    p50_ms: float | None
    p99_ms: float | None
    decision: str


@dataclass(slots=True)
class Verdict:
    """What the demo found, gathered as it goes."""

    target_ms: float
    first_answer_s: float | None = None
    rows: list[Row] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    phases: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    warm_from_s: float | None = None
    warm_within: int = 0
    warm_total: int = 0

    def add(self, row: Row, within: int, total: int) -> None:
        """Take in one interval and how many of its requests were within the target.

        Warm is everything from ``WARM_UP_S`` after the replicas for the first higher load were
        ready: what had queued up until then is answered in the meantime.
        """
        self.rows.append(row)
        raised = row.rate_per_s > self.rows[0].rate_per_s
        if self.warm_from_s is None and raised and 1 < row.wanted <= row.ready:
            self.warm_from_s = row.at_s + WARM_UP_S
        if self.warm_from_s is not None and row.at_s > self.warm_from_s:
            self.warm_within += within
            self.warm_total += total

    @property
    def replica_hours(self) -> float:
        """Area under the replicas that exist, from the rows' own times."""
        area = 0.0
        for before, after in zip(self.rows, self.rows[1:], strict=False):
            area += max(before.wanted, before.ready) * (after.at_s - before.at_s)
        return area / 3600

    def lines(self) -> list[str]:
        """The verdict as a person reads it."""
        most = max((r.ready for r in self.rows), default=0)
        last = self.rows[-1].ready if self.rows else 0
        share = self.summary.get("share")
        lines = ["", "Verdict"]
        if self.first_answer_s is not None:
            lines.append(f"  kubectl apply to the first answer   {self.first_answer_s:.1f} s")
        if share is not None:
            lines.append(
                f"  within {self.target_ms:g} ms, all requests       "
                f"{share:.2%} of {self.summary['sent']} ({self.summary['failed']} failed)"
            )
        if self.warm_total:
            warm = self.warm_within / self.warm_total
            lines.append(
                f"  within {self.target_ms:g} ms, after warm-up     {warm:.2%} of {self.warm_total}"
                f"  (from {WARM_UP_S:g} s after the replicas for the load were ready)"
            )
        lines.append(
            f"  replicas                            1 → {most} → {last}, "
            f"{self.replica_hours:.3f} replica-hours"
        )
        lines += [f"  error: {text} (x{count})" for text, count in self.errors.items()]
        return lines


class Table:
    """Prints rows, cut to the terminal's width."""

    def __init__(self, target_ms: float, stream: TextIO | None = None, width: int = 100) -> None:
        self._target_ms = target_ms
        self._stream = stream if stream is not None else sys.stdout
        self._width = width

    def header(self) -> None:
        """The names of the columns."""
        self._print(HEADER)

    def row(self, row: Row) -> None:
        """One line."""
        self._print(
            f"{row.at_s:5.0f}s {row.rate_per_s:6.0f} {f'{row.ready}/{row.wanted}':>6} "
            f"{_ms(row.p50_ms):>7} {_ms(row.p99_ms):>8}  {self._target_ms:g}ms   {row.decision}"
        )

    def _print(self, line: str) -> None:
        print(line[: self._width], file=self._stream, flush=True)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}ms"
