"""How `conch status` and `conch why` look in a terminal, in a narrow one and in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from conch.api.conditions import ConditionType
from conch.cli.decision import DecisionLine, PastDecision
from conch.cli.explain import NOT_SEEN, ConditionLine, Explanation, Summary
from conch.observe.durations import seconds

_PIPE_WIDTH = 160  # nobody wraps a pipe
_UNWRAPPED = 10_000
_WIDEST = 120  # longer lines are hard to read


def show(content: RenderableType, *, unwrapped: bool = False) -> None:
    """Print it; in a pipe without the spaces that fill columns up to the right."""
    out = console(unwrapped=unwrapped)
    if out.is_terminal:
        out.print(content)
        return
    with out.capture() as text:
        out.print(content)
    for line in text.get().splitlines():
        print(line.rstrip())


def console(*, unwrapped: bool = False) -> Console:
    """Standard output: colours and the real width only where a person looks at it.

    ``unwrapped``: lines as long as they are, for a table that programs cut into fields too.
    """
    if sys.stdout.isatty():
        return Console(highlight=False, width=_UNWRAPPED if unwrapped else _text_width())
    width = _UNWRAPPED if unwrapped else int(os.environ.get("COLUMNS") or 0) or _PIPE_WIDTH
    return Console(highlight=False, width=width, no_color=True, color_system=None)


def _text_width() -> int:
    return min(Console().width, _WIDEST)


def ascii_only() -> bool:
    """Whether the terminal cannot show more than ASCII."""
    return not (sys.stdout.encoding or "").lower().startswith("utf")


def duration(seconds: float | None) -> str:
    """An age as kubectl writes it: 45s, 12m, 3h, 5d."""
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def status_table(summaries: Sequence[Summary], *, namespaces: bool) -> Table:
    """One line per service."""
    table = _table()
    for column in (
        *(("NAMESPACE",) if namespaces else ()), "NAME", "READY", "REASON", "REPLICAS", "LATENCY",
        "TARGET", "ACCELERATOR", "SCALING", "AGE",
    ):  # fmt: skip
        table.add_column(column, no_wrap=True)
    for s in summaries:
        table.add_row(
            *((s.namespace,) if namespaces else ()),
            s.name,
            Text(s.ready, style=_colour(s.ready == "True")),
            s.reason or "-",
            _replicas(s),
            s.latency or "-",
            f"{s.target} p{s.percentile:g}",
            s.accelerator or "-",
            s.decision or "-",
            duration(s.age_s),
        )
    return table


def why(found: Explanation, *, plain: bool) -> RenderableType:
    """The screen: the answer first, then what it rests on, then what to do."""
    parts: list[RenderableType] = [_headline(found.summary), *map(Text, found.notes)]
    for held in found.holding_back:
        parts.append(Text(f"{held.type}: {held.message}", style="red"))
    if not found.holding_back and found.summary.ready == "True":
        parts.append(_well(found.summary))
    if found.next_steps:
        steps = [Text(step) for step in found.next_steps]
        parts += [_title("Next step"), *(_indent(step) for step in steps)]
    if found.decision is not None:
        parts += [_title("Scaling decision"), _indent(_decision(found.decision))]
    if found.past:
        parts += [_title("Last decisions"), _indent(_past(found.past))]
    if found.placement:
        parts += [
            _title("Placement"),
            *(_indent(Text(v)) for v in (*found.placement, *found.sites, *found.zones)),
        ]
        parts.append(_indent(_classes(found)))
    if found.cost:
        parts += [_title("Cost"), _indent(Text(found.cost))]
    if found.conditions:
        parts += [_title("Conditions"), _indent(_conditions(found.conditions, plain=plain))]
    parts += [_title("Pods"), _indent(_pods(found))]
    parts += [_title("Events"), _indent(_events(found))]
    return Group(*parts)


def _headline(s: Summary) -> Text:
    line = Text()
    line.append(f"{s.namespace}/{s.name}", style="bold")
    if s.reason == NOT_SEEN:
        return line.append(" has not been looked at yet", style="red")
    verdict = {"True": "ready", "False": "not ready"}.get(s.ready, "unknown")
    line.append(f" is {verdict}", style=_colour(s.ready == "True"))
    line.append(f" ({s.reason})" if s.reason else "")
    line.append(f": {_replicas(s)} replicas")
    line.append(f" on {s.accelerator}" if s.accelerator else "")
    measured = f"{s.latency} measured, " if s.latency else ""
    line.append(f"; p{s.percentile:g} {measured}{s.target} promised")
    return line


def _well(s: Summary) -> Text:
    """Nothing is wrong: what is still on its way, or over since less than a minute."""
    coming = (s.wanted or 0) - (s.replicas or 0)
    if coming > 0:
        return Text(
            f"Nothing holds it back; {coming} more of {s.wanted} replicas are starting.",
            style="yellow",
        )
    if _seconds(s.latency) > _seconds(s.target) > 0:
        return Text(
            f"Nothing holds it back now; {s.latency} is of the last minute or so.", style="yellow"
        )
    return Text("Nothing holds it back.", style="green")


def _seconds(text: str) -> float:
    """0 for what is no duration: the cluster may hold anything."""
    try:
        return seconds(text)
    except ValueError:
        return 0.0


def _replicas(s: Summary) -> str:
    ready = "-" if s.replicas is None else str(s.replicas)
    return ready if s.wanted is None else f"{ready}/{s.wanted}"


def _decision(decision: DecisionLine) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    rows = [
        ("demand now", decision.demand),
        ("to be ready for", _horizon(decision)),
        ("one replica carries", decision.capacity_per_replica),
        ("replicas needed", decision.formula),
        ("allowed", decision.limits),
        ("schedule", decision.schedule),
        ("rejected", decision.rejecting),
        ("what binds", decision.binding),
    ]
    for name, value in rows:
        if value:
            table.add_row(name, value)
    count = f"{decision.replicas} replica{'' if decision.replicas == 1 else 's'}"
    headline = Text(f"{decision.reason}: {count}. ", style="bold")
    return Group(headline + Text(decision.message, style="not bold"), table)


def _horizon(decision: DecisionLine) -> str:
    if not (decision.bound and decision.horizon):
        return decision.bound
    return f"{decision.bound} within {decision.horizon} (start-up of a replica)"


def _classes(found: Explanation) -> RenderableType:
    """What the planner says of each class now: the condition tells what was, and in few words."""
    if found.classes is None:
        return Text("What each class offers is not shown: that takes listing nodes and all pods.")
    from conch.cli.place_screen import class_table

    return class_table(found.classes)


def _past(decisions: Sequence[PastDecision]) -> Table:
    table = _table(header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for past in decisions:
        repeated = f" (x{past.count})" if past.count > 1 else ""
        table.add_row(duration(past.age_s), past.reason, Text(past.message + repeated))
    return table


def _conditions(conditions: Sequence[ConditionLine], *, plain: bool) -> Table:
    good, bad, busy = ("ok", "NO", "..") if plain else ("✓", "✗", "…")
    table = _table(header=False)
    for _ in range(5):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    told: dict[str, str] = {}  # the same sentence is read once
    for c in conditions:
        mark = Text(good if c.good else bad, style=_colour(c.good))
        if c.type == ConditionType.RECONCILING and not c.good:
            mark = Text(busy, style="yellow")
        first = told.setdefault(c.message, c.type)
        table.add_row(
            mark,
            c.type,
            c.status,
            c.reason,
            duration(c.age_s),
            c.message if first == c.type else f"as {first}",
        )
    return table


def _pods(found: Explanation) -> RenderableType:
    if found.pods is None:
        return Text("You may not list pods here.")
    if not found.pods:
        return Text("None.")
    table = _table()
    for column in ("NAME", "STATE", "RESTARTS", "NODE", "AGE"):
        table.add_column(column, overflow="fold")
    problems: dict[str, str] = {}
    told = {held.message for held in found.holding_back}  # on top already
    for pod in found.pods:
        state = Text(pod.state, style="red" if pod.problem else "")
        table.add_row(pod.name, state, str(pod.restarts), pod.node or "-", duration(pod.age_s))
        if pod.problem and pod.problem not in told:
            problems.setdefault(pod.problem, pod.name)
    return Group(table, *(Text(f"{pod}: {problem}") for problem, pod in problems.items()))


def _events(found: Explanation) -> RenderableType:
    if found.events is None:
        return Text("You may not list events here.")
    if not found.events:
        return Text("None in the last hour.")
    table = _table(header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=40)
    table.add_column(overflow="fold")
    for event in found.events:
        repeated = f" (x{event.count})" if event.count > 1 else ""
        table.add_row(
            duration(event.age_s),
            Text(event.reason, style="yellow" if event.type == "Warning" else ""),
            event.about,
            event.message + repeated,
        )
    return table


def _table(*, header: bool = True) -> Table:
    return Table(box=None, show_header=header, pad_edge=False, padding=(0, 2, 0, 0))


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _indent(content: RenderableType) -> Padding:
    return Padding(content, (0, 0, 0, 2), expand=False)


def _colour(good: bool) -> str:
    return "green" if good else "red"
