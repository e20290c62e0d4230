"""How `conch place` looks, and the line of each class that `conch why` shows too."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conch.cli.capacity_screen import dollars
from conch.cli.place import Answer, ClassAnswer
from conch.placement.fit import Fit


def text(found: Answer) -> RenderableType:
    """The answer first, then each class, then what would help."""
    parts: list[RenderableType] = [_headline(found)]
    if found.memory:
        parts.append(Text(f"  a replica takes of each unit {found.memory}"))
    if found.classes:
        parts.append(Padding(class_table(found.classes), (0, 0, 0, 2), expand=False))
    elif not found.class_name:
        parts.append(Text(f"  {found.message}"))
    if found.additions:
        parts.append(Text("\nWhat would help", style="bold"))
        parts += [Text(f"  {addition.message}") for addition in found.additions]
    if found.others:
        parts.append(Text("\nWhat it would do to others", style="bold"))
        parts += [Text(f"  {other}") for other in found.others]
    return Group(*parts)


def _headline(found: Answer) -> Text:
    line = Text()
    line.append(f"{found.namespace}/{found.name}", style="bold")
    count = f"{found.replicas} {'replica' if found.replicas == 1 else 'replicas'}"
    if not found.class_name:
        find = "finds" if found.replicas == 1 else "find"
        return line.append(
            f" would go nowhere ({found.reason}): {count} {find} no room", style="red"
        )
    line.append(f" {_verb(found)} {found.class_name}: {count}")
    if found.cost_per_h is not None:
        for_whom = " for those with room" if found.missing else ""
        line.append(f", ${dollars(found.cost_per_h)} an hour{for_whom}")
    if found.shares:
        line.append(f" ({', '.join(found.shares)})")
    if found.zones:
        line.append(f"; runs {', '.join(found.zones)}")
    if found.missing:
        line.append(f"; {found.missing} of them find no room", style="red")
    return line


def _verb(found: Answer) -> str:
    if not found.current:
        return "would go to"
    same = found.current == found.class_name
    return "stays on" if same else f"would move from {found.current} to"


def _carried(answer: ClassAnswer) -> str:
    if answer.capacity_rps is None:
        return "-"
    rate = answer.capacity_rps
    text = f"{rate:.0f}/s" if rate >= 100 else f"{rate:.3g}/s"
    return f"{text} {'estimated' if answer.capacity_estimated else 'learned'}"


def class_table(classes: Sequence[ClassAnswer]) -> Table:
    """One line per class."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("CLASS", no_wrap=True)
    table.add_column("$/H", justify="right", no_wrap=True)
    table.add_column("SPOT", justify="right", no_wrap=True)
    measured = any(c.capacity_rps is not None for c in classes)
    if measured:
        table.add_column("A REPLICA CARRIES", no_wrap=True)
    table.add_column("WHY", overflow="fold")
    for c in classes:
        prices = ["-" if p is None else dollars(p) for p in (c.price_per_h, c.spot_price_per_h)]
        chosen = c.verdict == Fit.CHOSEN
        why = Text(f"{c.verdict}: {c.message}", style="green" if chosen else "")
        table.add_row(c.name, *prices, *([_carried(c)] if measured else []), why)
    return table
