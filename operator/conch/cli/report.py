"""`conch report`: cost, energy and carbon of services, as a table, CSV, JSON or one HTML page.

What it takes and what it writes; `spending` reads and adds up, `report_page` draws.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from conch.cli.options import (
    OPERATOR_NAMESPACE,
    AllNamespaces,
    Context,
    Kubeconfig,
    Namespace,
    OperatorNamespace,
)
from conch.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from conch.cli.spending import Found, Group

_SUFFIXES: Final = (".html", ".csv", ".json")
LONGEST_H: Final = 24.0
_COLUMNS: Final = (
    "SERVICES", "$/H", "POWER", "CO2E/H", "COST", "ENERGY", "CO2E", "INFERENCES", "$/M", "J/INF",
    "G/M",
)  # fmt: skip


def report(
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHAT",
            help="namespace, service, class, or a label of the services: team.",
        ),
    ] = "namespace",
    hours: Annotated[
        float,
        typer.Option("--hours", metavar="N", help="The last so many, at most 24."),
    ] = 24,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="File to write: .html, .csv or .json."),
    ] = None,
    operator_namespace: OperatorNamespace = OPERATOR_NAMESPACE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """What services cost, draw and emit: now, and over the last hours, by namespace or label."""
    if not 0 < hours <= LONGEST_H:
        raise UsageError(f"--hours {hours:g}: give more than 0, at most {LONGEST_H:g}")
    if output is not None and output.suffix not in _SUFFIXES:
        raise UsageError(f"-o {output}: give a file whose name ends in {', '.join(_SUFFIXES)}")
    if not by.strip():
        raise UsageError("--by: give namespace, service, class, or the key of a label")
    if all_namespaces and namespace:
        raise UsageError("-A is every namespace: leave out -n, or leave out -A")
    from conch.cli import screen, spending
    from conch.cli.context import check, default_namespace
    from conch.cli.output import Report
    from conch.kube.transport import Api

    check(kubeconfig, context)
    chosen = None if all_namespaces else namespace or default_namespace(kubeconfig, context)

    async def read() -> Found:
        async with await Api.connect(kubeconfig, context) as api:
            return await spending.gather(api, chosen, operator_namespace)

    with Report(output) as file:
        found = asyncio.run(read())
        groups, every = spending.groups(found, by, hours), spending.total(found, hours)
        if file is None:
            if found.services:
                screen.show(table(groups, every, by), unwrapped=True)
        elif output is not None and output.suffix == ".csv":
            file.write(as_csv(found, by))
        elif output is not None and output.suffix == ".json":
            file.write(as_json(found, groups, by))
        else:
            from conch.cli import report_page

            where = f"namespace {chosen}" if chosen else "all namespaces"
            file.write(report_page.page(found, groups, every, by, where, datetime.now(UTC)))
    for note in notes(found, chosen):
        print(note, file=sys.stderr)


def notes(found: Found, namespace: str | None) -> list[str]:
    """What the numbers leave out."""
    from conch.cli import spending

    if not found.services:
        where = f"in namespace {namespace}" if namespace else "in any namespace"
        return [f"No InferenceServices {where}."]
    told = [found.note] if found.note else []
    unknown = spending.without(found.services)
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        told.append(
            f"Not in the sums, for no price is known (yet): {', '.join(unknown[:3])}{more}. "
            "An AcceleratorClass with pricePerHour tells it."
        )
    if any(s.estimated for s in found.services):
        told.append("Power is modelled for services without a power meter: docs/energy.md.")
    return told


def table(groups: Sequence[Group], every: Group, by: str) -> Table:
    """One line per group, and one of all."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(by.upper(), no_wrap=True)
    for column in _COLUMNS:
        made.add_column(column, no_wrap=True, justify="right")
    for group in (*groups, every) if len(groups) > 1 else groups:
        made.add_row(group.name, *cells(group))
    return made


def cells(group: Group) -> list[str]:
    """The table's columns, as people read them."""
    dollars, joules, grams = group.dollars, group.joules, group.grams
    kwh = None if joules.spent is None else joules.spent / 3.6e6
    return [
        str(group.services),
        amount(group.dollars_per_h, "$"),
        amount(group.watts, "", " W"),
        amount(group.grams_per_h, "", " g"),
        amount(dollars.spent, "$"),
        amount(kwh, "", " kWh"),
        amount(None if grams.spent is None else grams.spent / 1000, "", " kg"),
        count(group.inferences) if group.parts else "-",
        amount(dollars.per(1e6), "$"),
        amount(joules.per(1.0)),
        amount(grams.per(1e6)),
    ]


def amount(value: float | None, sign: str = "", unit: str = "") -> str:
    """Three digits, never an exponent; "-": not known."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{sign}{value:,.0f}{unit}"
    if value < 0.0005:
        return f"{sign}0{unit}" if value <= 0 else f"<{sign}0.001{unit}"
    return f"{sign}{float(f'{value:.3g}'):g}{unit}"


def count(value: float) -> str:
    """Short enough for a column, whatever a fleet answers in a day."""
    return f"{amount(value / 1e6)}M" if value >= 1e6 else amount(value)


def as_csv(found: Found, by: str) -> str:
    """One line per service and quarter of an hour; what is not known is empty."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(
        ("start", "namespace", "service", "class", "group", "seconds",
         "inferences", "dollars", "joules", "grams_co2e", "carbon_kind")
    )  # fmt: skip
    for service in found.services:
        for start_s, seconds, inferences, dollars, joules, grams in service.parts:
            start = datetime.fromtimestamp(start_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            spent = ("" if v is None else f"{v:.6g}" for v in (dollars, joules, grams))
            lines.writerow(
                (start, service.namespace, service.name, service.accelerator,
                 service.group(by), f"{seconds:.0f}", f"{inferences:.0f}", *spent,
                 found.carbon_kind if grams is not None else "")
            )  # fmt: skip
    return text.getvalue()


def as_json(found: Found, groups: Sequence[Group], by: str) -> str:
    """The groups, for programs; null: not known."""
    rows: list[dict[str, Any]] = [
        {
            "group": group.name,
            "services": group.services,
            "dollars_per_h": group.dollars_per_h,
            "watts": group.watts,
            "grams_per_h": group.grams_per_h,
            "dollars": group.dollars.spent,
            "joules": group.joules.spent,
            "grams": group.grams.spent,
            "inferences": group.inferences,
            "estimated": group.estimated,
        }
        for group in groups
    ]
    body = {"by": by, "carbon_kind": found.carbon_kind or None, "groups": rows}
    return json.dumps(body, indent=2) + "\n"
