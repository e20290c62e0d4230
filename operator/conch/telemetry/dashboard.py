"""The Grafana dashboard: what of the metrics belongs side by side; the chart's file is generated.

Decides what is shown and in which words, on Conch's own metrics alone (a test looks). How Grafana
wants it written down stands at the end. Grafana's JSON model:
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_WIDTH: Final = 24  # of Grafana's grid
_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_OF: Final = 'namespace=~"$namespace", service=~"$service"'
_BY: Final = "namespace, service"
_NAME: Final = "{{namespace}}/{{service}}"
_EACH: Final = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel, and what its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """``unit`` in Grafana's words; a table shows what there is now, the others its course."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    table: bool = False


def _gauge(name: str, legend: str = _NAME, more: str = "") -> Query:
    return Query(f"max by ({_BY}) (conch_service_{name}{{{_OF}{more}}})", legend)


def _rate(name: str, by: str = _BY, more: str = _OF) -> str:
    return f"sum by ({by}) (rate({name}{{{more}}}{_EACH}))"


def _p99(histogram: str) -> str:
    return f"histogram_quantile(0.99, sum by (le) (rate({histogram}_bucket{_EACH})))"


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "The promise": (
        Panel(
            "Requests within the objective, last hour",
            "percentunit",
            (
                _gauge("attained_ratio", more=', window="1h"'),
                _gauge("objective_ratio", f"{_NAME} promised"),
            ),
        ),
        Panel(
            "Error budget left, 30 days",
            "percentunit",
            (_gauge("error_budget_left_ratio", more=', window="30d"'),),
        ),
        Panel(
            "Late requests",
            "percentunit",
            (
                Query(
                    f"{_rate('conch_service_late_requests_total')}"
                    f" / {_rate('conch_service_requests_total')}",
                    _NAME,
                ),
            ),
        ),
        Panel(
            "Latency at the objective's percentile, and its target",
            "s",
            (
                _gauge("latency_seconds"),
                _gauge("latency_target_seconds", f"{_NAME} target"),
            ),
            width=12,
        ),
        Panel(
            "Conditions that are not met",
            "short",
            (
                Query(
                    f"count by ({_BY}, condition, reason) (conch_service_condition"
                    f'{{{_OF}, condition=~"Ready|Placed|Scaling|Serving", status!="True"}})',
                    "",
                ),
            ),
            width=12,
            table=True,
        ),
    ),
    "Scaling": (
        Panel(
            "Demand, what to be ready for, and capacity",
            "reqps",
            (
                _gauge("demand_requests_per_second", f"{_NAME} demand"),
                _gauge("demand_bound_requests_per_second", f"{_NAME} to be ready for"),
                Query(
                    f"max by ({_BY}) (conch_service_replica_capacity_requests_per_second{{{_OF}}})"
                    f" * max by ({_BY}) (conch_service_replicas_ready{{{_OF}}})",
                    f"{_NAME} capacity",
                ),
            ),
        ),
        Panel(
            "Replicas",
            "short",
            (
                _gauge("replicas_wanted", f"{_NAME} wanted"),
                _gauge("replicas_ready", f"{_NAME} ready"),
            ),
        ),
        Panel(
            "Connections that wait for a first replica, and refused ones per second",
            "short",
            (
                Query(
                    f"sum by ({_BY}) (conch_activator_held_connections{{{_OF}}})",
                    f"{_NAME} waiting",
                ),
                Query(
                    _rate(
                        "conch_activator_connections_total", more=f'{_OF}, result=~"expired|full"'
                    ),
                    f"{_NAME} refused",
                ),
            ),
        ),
    ),
    "Cost, energy and carbon": (
        Panel(
            "Dollars per hour",
            "currencyUSD",
            (
                Query(
                    f"sum by ({_BY}, class) (conch_service_cost_dollars_per_hour{{{_OF}}})",
                    f"{_NAME} on {{{{class}}}}",
                ),
            ),
        ),
        Panel(
            "Power",
            "watt",
            (
                Query(
                    f"sum by ({_BY}, class) (conch_service_power_watts{{{_OF}}})",
                    f"{_NAME} on {{{{class}}}}",
                ),
            ),
        ),
        Panel(
            "Joules per inference",
            "joule",
            (
                Query(
                    f"{_rate('conch_service_energy_joules_total')}"
                    f" / {_rate('conch_service_inferences_total')}",
                    _NAME,
                ),
            ),
        ),
        Panel(
            "Grams of CO2e per hour",
            "massg",
            (
                Query(
                    f"3600 * {_rate('conch_service_carbon_grams_total', f'{_BY}, kind')}",
                    f"{_NAME} {{{{kind}}}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Grid intensity, grams of CO2e per kWh",
            "massg",
            (
                Query(
                    "max by (zone, kind) (conch_grid_intensity_grams_per_kwh)", "{{zone}} {{kind}}"
                ),
            ),
            width=12,
        ),
    ),
    "The operator": (
        Panel(
            "Leaders, and resources that wait",
            "short",
            (
                Query("sum by (namespace) (conch_leader)", "leaders in {{namespace}}"),
                Query("max by (namespace) (conch_queue_depth)", "waiting in {{namespace}}"),
            ),
        ),
        Panel(
            "99th percentile of a reconcile, a wait for one, a plan and a scaling round",
            "s",
            (
                Query(_p99("conch_reconcile_duration_seconds"), "reconcile"),
                Query(_p99("conch_queue_wait_seconds"), "wait"),
                Query(_p99("conch_placement_duration_seconds"), "placement plan"),
                Query(_p99("conch_scaling_round_duration_seconds"), "scaling round"),
            ),
        ),
        Panel(
            "Writes to the API server per second, by code",
            "short",
            (Query(f"sum by (code) (rate(conch_api_writes_total{_EACH}))", "{{code}}"),),
        ),
        Panel(
            "Reconciles per second, by result",
            "short",
            (Query(f"sum by (result) (rate(conch_reconciles_total{_EACH}))", "{{result}}"),),
        ),
        Panel(
            "Looks at pods per second, by result",
            "short",
            (Query(f"sum by (result) (rate(conch_scrapes_total{_EACH}))", "{{result}}"),),
        ),
        Panel(
            "Scaling decisions per second, by reason",
            "short",
            (Query(f"sum by (reason) (rate(conch_scaling_decisions_total{_EACH}))", "{{reason}}"),),
        ),
    ),
}


def model() -> str:
    """The dashboard, as Grafana imports it."""
    body = {
        "uid": "conch",
        "title": "Conch",
        "tags": ["conch", "triton", "inference"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": _variables()},
        "panels": list(_panels()),
    }
    return json.dumps(body, indent=1) + "\n"


# --- as Grafana wants it --------------------------------------------------------------------------


def _variables() -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource"}
    series = "conch_service_replicas_wanted"
    return [
        {**source, "query": "prometheus"},
        _variable("namespace", f"label_values({series}, namespace)"),
        _variable("service", f'label_values({series}{{namespace=~"$namespace"}}, service)'),
    ]


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, panels in ROWS.items():
        number += 1
        place = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
        yield {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}
        top, left = top + 1, 0
        for panel in panels:
            if left + panel.width > _WIDTH:
                top, left = top + _HEIGHT, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": _HEIGHT}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left += panel.width
        top += _HEIGHT


def _panel(panel: Panel) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": "timeseries"}
    if panel.table:
        hidden = {"id": "organize", "options": {"excludeByName": {"Time": True, "Value": True}}}
        kind = {"type": "table", "transformations": [hidden]}
    return {
        **kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [_target(panel, query, i) for i, query in enumerate(panel.queries)],
    }


def _target(panel: Panel, query: Query, number: int) -> dict[str, Any]:
    more = {"instant": True, "format": "table"} if panel.table else {"legendFormat": query.legend}
    return {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": query.expr, **more}
