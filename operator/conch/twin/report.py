"""One HTML page about a comparison: numbers first, then how each run went over time.

Self-contained: no scripts, no fonts, no addresses; the drawings are SVG in the page. Drawn at a
phone's width, so that text keeps its size there. Values in, text out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from conch.twin import chart
from conch.twin.compare import ORACLE, Comparison, Outcome, cost
from conch.twin.page import document, text
from conch.twin.scenario import Scenario


@dataclass(frozen=True, slots=True)
class About:
    """What the page says beside the numbers. ``unit`` is the price's; ``command`` how to repeat."""

    service: str
    notes: Sequence[str] = ()
    price_per_hour: float | None = None
    unit: str = ""
    command: str = ""


def page(found: Comparison, about: About) -> str:
    """The whole page."""
    title = f"{about.service} on {found.trace.name}"
    scale = chart.Scale.of([outcome.result for outcome in found.outcomes], found)
    cards = "".join(_card(found, about, outcome, scale) for outcome in found.outcomes)
    body = (
        f"<p class=lead>{text(_lead(found))}</p>"
        f"{''.join(f'<p class=note>{text(note)}</p>' for note in about.notes)}"
        f"<h2>Result</h2>{_table(found, about)}{_terms(found)}"
        f"<h2>Over time</h2>{_legend()}<div class=grid>{cards}</div>"
        f"<h2>What was simulated</h2>{_settings(found, about)}"
    )
    return document(title, "simulate", body)


# --- words ----------------------------------------------------------------------------------------


def number(value: float, digits: int = 3) -> str:
    """About ``digits`` significant digits, never an exponent: 0.0123, 4.56, 789, 12,300."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) < 10 ** -(digits + 2):
        return f"<{10.0 ** -(digits + 2):.{digits + 2}f}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    shown = f"{value:,.{places}f}"
    return shown.rstrip("0").rstrip(".") if places > digits - 1 else shown


def span(time_s: float) -> str:
    """A time in the unit in which people say it."""
    if not math.isfinite(time_s):
        return "–"
    for limit_s, unit_s, unit in ((1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "min")):
        if time_s < limit_s:
            return f"{short(time_s / unit_s)} {unit}"
    return f"{short(time_s / 3600)} h"


def money(amount: float) -> str:
    """With cents where they matter."""
    return f"{amount:,.2f}" if amount < 1000 else f"{amount:,.0f}"


def short(value: float) -> str:
    """Three significant digits, without zeros that say nothing."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share; small ones keep two digits."""
    return f"{number(100 * share, 2 if share < 0.1 else 3)} %"


def _lead(found: Comparison) -> str:
    scenario, first = found.scenario, found.outcomes[0]
    result = first.result
    kept = result.late_share <= 1 - scenario.percentile / 100
    ratio = found.ratio(first)
    beside = f", {ratio:.2f} times the clairvoyant's" if ratio is not None else ""
    return (
        f"{scenario.percentile:g} % of requests within {span(scenario.target_s)}: "
        f"{first.label} {'keeps it' if kept else 'misses it'} with {percent(result.late_share)} of "
        f"{result.requests:,} requests late, for {number(result.replica_hours)} "
        f"replica-hours{beside}."
    )


def _terms(found: Comparison) -> str:
    told = " The clairvoyant knows every request beforehand." if found.oracle_hours else ""
    return (
        "<p class=terms>Late: answered after the target, refused, failed or never answered. "
        "Replica-hours: from the moment a replica is asked for until it has drained, start-up "
        f"included.{told}</p>"
    )


# --- parts ----------------------------------------------------------------------------------------


def _table(found: Comparison, about: About) -> str:
    allowed = 1 - found.scenario.percentile / 100
    dearest = max(outcome.result.replica_hours for outcome in found.outcomes)
    heads = ["scaler", "late", "p99", "minutes kept", "replica-hours"]
    if found.oracle_hours:
        heads.append("over clairvoyant")
    if about.price_per_hour is not None:
        heads += ["cost", "per month"]
    heads += ["most replicas", "changes"]
    rows = []
    for outcome in found.outcomes:
        result = outcome.result
        verdict = "ok" if result.late_share <= allowed else "no"
        bar = 100 * result.replica_hours / dearest if dearest > 0 else 0.0
        cells = [
            (f"<b class={verdict}>{percent(result.late_share)}</b>", ""),
            (span(result.p99_s), ""),
            (percent(result.minutes_ok), ""),
            (number(result.replica_hours), f" style=--bar:{bar:.1f}%"),
        ]
        ratio = found.ratio(outcome)
        if found.oracle_hours:
            cells.append(("–" if ratio is None else f"{ratio:.2f}", ""))
        paid = cost(outcome, about.price_per_hour)
        if paid is not None:
            month = paid / found.trace.length_s * 730 * 3600
            unit = text(f" {about.unit}" if about.unit else "")
            cells += [(money(paid) + unit, ""), (money(month) + unit, "")]
        cells += [(str(result.peak_replicas), ""), (str(result.scale_events), "")]
        named = zip(heads[1:], cells, strict=True)
        data = "".join(
            f'<td data-name="{name}"{style}>{cell}</td>' for name, (cell, style) in named
        )
        rows.append(f"<tr><th scope=row>{text(outcome.label)}</th>{data}</tr>")
    head = "".join(f"<th scope=col>{name}</th>" for name in heads)
    return (
        f"<div class=scroll><table class=result><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _card(found: Comparison, about: About, outcome: Outcome, scale: chart.Scale) -> str:
    result = outcome.result
    facts = [f"{percent(result.late_share)} late", f"{number(result.replica_hours)} replica-hours"]
    paid = cost(outcome, about.price_per_hour)
    if paid is not None:
        facts.append(f"{money(paid)} {about.unit}".strip())
    drawing = chart.drawing(outcome, found, scale)
    return (
        f"<section class=card><h3>{text(outcome.label)}</h3>"
        f"<p class=what>{text(outcome.what)}</p><p class=facts>{_facts(facts)}</p>"
        f"{drawing}</section>"
    )


def _facts(facts: Sequence[str]) -> str:
    """In one line where it fits; a number and its unit are never torn apart."""
    return " · ".join(text(fact).replace(" ", "&nbsp;") for fact in facts)


def _legend() -> str:
    items = (
        ("demand", "arriving"),
        ("capacity", "capacity of ready replicas"),
        ("wanted", "asked for"),
        ("p99", "p99 latency"),
        ("target", "target"),
        ("late", "late"),
    )
    return (
        "<p class=legend>"
        + "".join(f"<span><i class=k-{kind}></i>{name}</span>" for kind, name in items)
        + "</p>"
    )


def _settings(found: Comparison, about: About) -> str:
    scenario, trace = found.scenario, found.trace
    service = scenario.service
    first, last = service.service_s[0], service.service_s[-1]
    batches = span(first) if service.max_batch == 1 else (
        f"{span(first)} for one request, {span(last)} for a batch of {service.max_batch}"
    )  # fmt: skip
    rows = [
        ("trace", f"{trace.name}: {span(trace.length_s)}, {short(trace.mean_rps)} requests/s"),
        ("objective", f"{scenario.percentile:g} % within {span(scenario.target_s)}"),
        ("one execution", batches),
        ("instances per replica", str(service.instances)),
        ("one replica carries", f"{short(found.one_replica_rps)} requests/s within the target"),
        ("cold start", cold_starts(scenario)),
        ("replicas", f"{scenario.min_replicas} to {scenario.max_replicas}, "
                     f"{scenario.initial_replicas} at the start"),
        ("routing", {"least": "to the least busy replica", "random": "at random"}.get(
            scenario.routing, f"over {scenario.channels} long-lived connections")),
        ("metrics", f"{span(scenario.lag_s[0])} to {span(scenario.lag_s[1])} old"),
        ("seed", str(scenario.seed)),
    ]  # fmt: skip
    if any(outcome.label == ORACLE for outcome in found.outcomes):
        rows.append(("oracle", "chosen with hindsight: cheapest plan within the objective"))
    if about.price_per_hour is not None:
        rows.append(("price", f"{about.price_per_hour:g} {about.unit} a replica-hour"))
    if about.command:
        rows.append(("command", about.command))
    return (
        "<dl>" + "".join(f"<dt>{name}</dt><dd>{text(value)}</dd>" for name, value in rows) + "</dl>"
    )


def cold_starts(scenario: Scenario) -> str:
    """How long replicas take to start."""
    if scenario.cold_starts_s:
        least_s, most_s = min(scenario.cold_starts_s), max(scenario.cold_starts_s)
        return f"{span(least_s)} to {span(most_s)}, as {len(scenario.cold_starts_s)} were measured"
    return f"{span(scenario.cold_start_s)}, ± {100 * scenario.cold_start_spread:g} %"
