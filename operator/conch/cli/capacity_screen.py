"""How `conch capacity` looks: a line per class, then what needs explaining."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from conch.cli.capacity import SIZES, ClassLine, Fleet
from conch.placement.explain import memory


def table(found: Fleet) -> RenderableType:
    """The fleet."""
    lines = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    lines.add_column("CLASS", no_wrap=True)
    columns = ("MEMORY", "NODES", "UNITS", "FREE", "STRANDED", "FRAGMENTED")
    fits = "FITS x" + "/x".join(map(str, SIZES))
    for column in (*columns, fits, "$/H", "SPOT $/H"):
        lines.add_column(column, justify="right", no_wrap=True)
    for line in found.classes:
        lines.add_row(*_cells(line))
    parts: list[RenderableType] = [lines] if found.classes else [Text("No nodes.")]
    parts += [Text(note) for note in notes(found)]
    return Group(*parts)


def notes(found: Fleet) -> Iterable[str]:
    """What the numbers mean here; nothing where there is nothing to tell."""
    if found.cost_per_h:
        yield (
            f"Accelerators: ${dollars(found.cost_per_h)} an hour, of which "
            f"${dollars(found.free_cost_per_h)} for free ones."
        )
    if found.unpriced_units:
        yield (
            f"{found.unpriced_units} units have no known price and are left out: "
            "AcceleratorClass spec.pricePerHour."
        )
    for line in found.classes:
        if line.why_unusable:
            why = ", ".join(f"{count} {reason}" for reason, count in line.why_unusable.items())
            yield (
                f"{line.name}: {_nodes(line.nodes - line.usable_nodes)} no new pod goes to "
                f"({why}), {line.unusable} units free there."
            )
        if line.addable:
            yield f"{line.name}: up to {_nodes(line.addable)} can be added by a node autoscaler."
        if line.stranded:
            yield (
                f"{line.name}: {line.stranded} free units are stranded, their nodes have no CPU, "
                "memory or place for a replica left."
            )
    if found.unknown_nodes:
        yield (
            f"{_nodes(found.unknown_nodes)} with accelerators of no known class: declare an "
            "AcceleratorClass, or install GPU Feature Discovery."
        )
    for advice in found.advice:
        yield f"Advice: {advice}"


def dollars(amount: float) -> str:
    """With cents, or as many digits as a small amount needs."""
    if amount and abs(amount) < 0.1:
        return f"{amount:.3g}"
    return f"{amount:,.2f}"


def _cells(line: ClassLine) -> tuple[str, ...]:
    units = (str(line.units), str(line.free), str(line.stranded), str(line.fragmented))
    return (
        line.name + (f" (shared by {line.shared_by})" if line.shared_by > 1 else ""),
        memory(line.memory_bytes) if line.memory_bytes else "-",
        str(line.nodes) + (f" ({line.spot_nodes} spot)" if line.spot_nodes else ""),
        *(units if line.counted else ("-",) * len(units)),
        "/".join(str(count) for count in line.fits.values()),
        "-" if line.price_per_h is None else dollars(line.price_per_h),
        "-" if line.spot_price_per_h is None else dollars(line.spot_price_per_h),
    )


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"
