"""The table and bench.json. Pure but for the one file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from e2e.bench.figure import Figure, Result, Row


def row(figure: Figure, outcome: Result | Exception) -> Row:
    """The row of a figure that was measured, or could not be."""
    if isinstance(outcome, Exception):
        how = f"could not be measured: {type(outcome).__name__}: {outcome}"
        return Row(figure.name, None, figure.unit, figure.target, False, how)
    value = round(outcome.value, 4)
    return Row(
        figure.name, value, figure.unit, figure.target, figure.met(outcome.value), outcome.how
    )


def merge(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows into the file; those of figures not measured now stay as they were."""
    try:
        known = {old["name"]: old for old in json.loads(path.read_text())["rows"]}
    except (OSError, ValueError, KeyError):
        known = {}
    known |= {new.name: dataclasses.asdict(new) for new in rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"rows": list(known.values())}, indent=2) + "\n")
    partial.replace(path)


def table(rows: Sequence[Row], figures: Iterable[Figure]) -> str:
    """Name, value, target and verdict in columns; how it was measured below each."""
    signs = {f.name: "≤" if f.better == "lower" else "≥" for f in figures}
    lines = [("figure", "value", "target", "")]
    for one in rows:
        value = "-" if one.value is None else f"{one.value:g} {one.unit}".rstrip()
        target = f"{signs[one.name]} {one.target:g} {one.unit}".rstrip()
        lines.append((one.name, value, target, "met" if one.met else "MISSED"))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    text = []
    for index, line in enumerate(lines):
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        text.append("  ".join(cells).rstrip())
        if index:
            text.append(f"    {rows[index - 1].how}")
    return "\n".join(text)
