"""`python -m e2e.autoscale`: run what is missing, print the table, write rows and plot.

Exit codes: 0 all measured figures met; 1 one was missed; 2 called wrongly; 3 out of time, call
again to go on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from conch.errors import ConchError
from e2e.autoscale import figures, plot
from e2e.autoscale.cases import CURVES, Case, cases
from e2e.autoscale.runner import PARTS, OutOfTime, Plan, Results, Runner
from e2e.autoscale.store import Store
from e2e.autoscale.unseen import unseen
from e2e.bench.figure import Row
from e2e.testbed.layout import REPOSITORY

FOLDER = REPOSITORY / "build" / "bench"
FULL_SEEDS = 10
QUICK_SEEDS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    chosen = parser.parse_args(arguments)
    parts = chosen.parts.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]}: there are {', '.join(PARTS)}")
    # SIGTERM as Ctrl-C: the workers go either way.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if chosen.unseen is None:
            wanted = [case for case in cases(_folder(chosen.traces)) if _chosen(case, chosen)]
        else:
            wanted = [case for case in unseen(chosen.unseen) if _named(case, chosen)]
    except ConchError as error:
        print(f"bench-autoscale: {error}", file=sys.stderr)
        return 2
    if not wanted:
        parser.error("no case matches")
    few = chosen.quick or chosen.unseen is not None
    seeds = chosen.seeds or (QUICK_SEEDS if few else FULL_SEEDS)
    deadline_s = None if chosen.budget_s is None else time.monotonic() + chosen.budget_s
    try:
        results = Runner(Store(), deadline_s).run(Plan(wanted, seeds, parts))
    except OutOfTime as error:
        print(f"out of time: {error}; call again to go on", file=sys.stderr)
        return 3
    rows = figures.rows(results)
    if chosen.verbose:
        print(_details(results, wanted))
    print(table(rows))
    name = "bench-autoscale"
    if chosen.unseen is not None:
        name += "-unseen"
    elif chosen.quick:
        name += "-quick"
    FOLDER.mkdir(parents=True, exist_ok=True)
    _write(FOLDER / f"{name}.json", json.dumps({"rows": list(map(dataclasses.asdict, rows))}))
    _write(FOLDER / f"{name}.html", plot.page(results, rows))
    return 0 if all(row.met for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.autoscale", description=__doc__)
    parser.add_argument("--traces", type=Path, help="folder of traces")
    parser.add_argument("--quick", action="store_true", help="two seeds, 40 s, curves a and c")
    parser.add_argument(
        "--unseen",
        type=_seed,
        metavar="N",
        help="instead: cases that nobody tuned on, drawn by the number N; two seeds",
    )
    parser.add_argument("--seeds", type=int, help=f"default {FULL_SEEDS}")
    parser.add_argument("--curves", help="such as a,c")
    parser.add_argument("--cold-starts", help="seconds, such as 10,40")
    parser.add_argument("--only", help="traces, such as flash,noise")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--budget-s", type=float, help="stop after this time; results are kept")
    parser.add_argument("--verbose", action="store_true", help="a line per case as well")
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number from 0, not {text}")
    return int(text)


def _folder(given: Path | None) -> Path | None:
    """The traces' folder: as asked for, beside the checkout, or the samples; None without any."""
    if given is not None:
        return given
    for folder in (REPOSITORY.parent / "shared" / "traces", REPOSITORY / "examples" / "traces"):
        if folder.is_dir():
            return folder
    return None


def _chosen(case: Case, chosen: argparse.Namespace) -> bool:
    curves = chosen.curves or ("a,c" if chosen.quick else ",".join(c.name for c in CURVES))
    starts = chosen.cold_starts or ("40" if chosen.quick else "10,40,120")
    return (
        case.curve.name in curves.split(",")
        and f"{case.cold_start_s:g}" in starts.split(",")
        and _named(case, chosen)
    )


def _named(case: Case, chosen: argparse.Namespace) -> bool:
    return not chosen.only or case.trace.name in chosen.only.split(",")


def table(rows: Sequence[Row]) -> str:
    """Name, value, target and verdict; how it came about below each."""
    lines = []
    for row in rows:
        sign = "≤" if row.name in figures.LOWER else "≥"
        verdict = "met" if row.met else "MISSED"
        value = f"{row.value:g} {row.unit}".rstrip()
        lines.append(f"{row.name:18}{value:12}{sign} {row.target:<8g}{verdict}\n    {row.how}")
    return "\n".join(lines)


def _details(results: Results, wanted: Sequence[Case]) -> str:
    book = figures.Book(results)
    lines = [f"{'case':28}{'class':8}{'late %':>8}{'worst':>7}{'R':>7}{'floor %':>9}{'min ok':>8}"]
    for case in wanted:
        name = case.name
        runs = book.conch(name)
        if not runs:
            continue
        known = results.reference[name]
        lines.append(
            f"{name:28}{'tract' if known['tractable'] else 'SURGE':8}"
            f"{100 * book.late(name):8.2f}{100 * max(r['late'] for r in runs):7.2f}"
            f"{book.ratio(name):7.3f}{100 * known['floor']['late']:9.2f}"
            f"{min(r['minutes_ok'] for r in runs):8.3f}"
        )
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(text + "\n")
    partial.replace(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
