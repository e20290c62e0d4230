"""Every alert Conch offers, in one catalogue; the chart's rules and ``docs/reference/alerts.md``
are generated from it.

Decides what is worth a person's attention, on Conch's own metrics alone: an alert says that a
promise is broken or about to be, and what to do; causes that mend themselves are conditions, not
alerts. It must not name what the catalogue of metrics does not have (a test looks).

The objective's alerts burn over several windows: "The Site Reliability Workbook", chapter 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml

from conch.api.conditions import ConditionType, Reason

_SERVICE: Final = "namespace, service"
# Of one installation: the chart's PodMonitor gives all its pods one job.
_OPERATOR: Final = "namespace, job"
# A share that may be late by tenths cannot be overspent fourteenfold: then nearly all are late.
_MOST_LATE: Final = 0.9
# Fewer late requests than this in the longer window are luck, whatever share they are.
_FEWEST_LATE: Final = 10


class Severity(StrEnum):
    """How soon somebody should look; the value of the label ``severity``."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


SEVERITIES: Final[Mapping[Severity, str]] = {
    Severity.CRITICAL: "Requests are late or fail, or nobody is there to prevent it: look now.",
    Severity.WARNING: "A promise will be broken if this goes on: look today.",
    Severity.INFO: "Worth knowing.",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule. ``lasts``: how long ``expr`` must hold, as Prometheus writes durations.

    ``summary`` is a sentence with Prometheus' templates; ``action`` what a person does next.
    """

    name: str
    severity: Severity
    lasts: str
    summary: str
    action: str
    expr: str


def _condition(matchers: str) -> str:
    """Services of which a condition says so, whatever its reason was a moment ago."""
    return f"max by ({_SERVICE}) (conch_service_condition{{{matchers}}})"


def _late(window: str) -> str:
    late, ended = (
        f"sum by ({_SERVICE}) (rate(conch_service_{name}_total[{window}]))"
        for name in ("late_requests", "requests")
    )
    return f"{late}\n    / {ended}"


def _burns(factor: float, long: str, short: str) -> str:
    """The budget of 30 days goes so many times too fast: in the long window, and still."""
    allowed = f"1 - max by ({_SERVICE}) (conch_service_objective_ratio)"
    limit = f"clamp_max({factor:g} * ({allowed}), {_MOST_LATE})"
    lately = f"sum by ({_SERVICE}) (increase(conch_service_late_requests_total[{long}]))"
    return (
        f"(\n  {_late(long)}\n    > {limit}\n  and\n  {_late(short)}\n    > {limit}\n"
        f"  and\n  {lately} > {_FEWEST_LATE}\n)"
    )


_THIS: Final = "{{ $labels.namespace }}/{{ $labels.service }}"
_WHY: Final = "`kubectl conch why SERVICE -n NAMESPACE`"

OF_SERVICES: Final = (
    Alert(
        "ConchErrorBudgetBurnsFast",
        Severity.CRITICAL,
        "2m",
        f"{_THIS} misses its latency objective: the error budget of 30 days is gone in days.",
        f"{_WHY} shows what holds it back. Usually the maximum or a lack of accelerators (then "
        "another alert says so), servers that became slower (the service time there), or clients "
        "that stay with few of the replicas.",
        f"{_burns(14.4, '1h', '5m')}\nor\n{_burns(6, '6h', '30m')}",
    ),
    Alert(
        "ConchErrorBudgetBurns",
        Severity.WARNING,
        "15m",
        f"{_THIS} will have spent its error budget before 30 days are over.",
        f"{_WHY} shows the decisions and their numbers. If the objective is tighter than the "
        "service needs, change it; if bursts are shorter than a replica takes to start, raise "
        "scaling.minReplicas or use rejectLate.",
        f"{_burns(3, '1d', '2h')}\nor\n{_burns(1, '3d', '6h')}",
    ),
    Alert(
        "ConchServiceDown",
        Severity.CRITICAL,
        "15m",
        f"{_THIS} has no ready replica.",
        f"{_WHY} has the reason and the next step: no accelerator, an image or a model that cannot "
        "be had, a model that Triton cannot load. Models that take longer than this to start from "
        "zero need a minimum of one replica. At sites that are cut off (status.sites) it may well "
        "serve there.",
        f"max by ({_SERVICE}) (conch_service_replicas_wanted) > 0\n"
        f"and\nmax by ({_SERVICE}) (conch_service_replicas_ready) == 0",
    ),
    Alert(
        "ConchServiceNotServing",
        Severity.CRITICAL,
        "5m",
        f"{_THIS} gets requests, and its model servers do not answer them or fail.",
        "Read the logs of its pods. If it began with a new model, go back to the one before.",
        _condition(f'condition="{ConditionType.SERVING}", status="False"'),
    ),
    Alert(
        "ConchServiceNotReady",
        Severity.WARNING,
        "30m",
        f"{_THIS} is not ready.",
        f"{_WHY}, and the reason in [Troubleshooting](../troubleshooting.md).",
        _condition(
            f'condition="{ConditionType.READY}", status!="True", reason!="{Reason.SCALED_TO_ZERO}"'
        ),
    ),
    Alert(
        "ConchNoRoom",
        Severity.WARNING,
        "15m",
        f"{_THIS} needs more replicas, and no accelerator is free for them.",
        "`conch capacity` shows what is free, and where; `conch place` what would have to be "
        "added. Allow another class in placement.accelerators.classes, or add a node.",
        _condition(f'reason=~"{Reason.NO_ROOM}|{Reason.NO_CAPACITY}"'),
    ),
    Alert(
        "ConchAtMaximum",
        Severity.WARNING,
        "15m",
        f"{_THIS} needs more replicas than scaling.maxReplicas allows.",
        f"{_WHY} says how many it would take. Raise the maximum, or expect late requests.",
        _condition(f'condition="{ConditionType.SCALING}", reason="{Reason.AT_MAXIMUM}"'),
    ),
    Alert(
        "ConchNoMetrics",
        Severity.WARNING,
        "10m",
        f"{_THIS} cannot be measured: its replicas are held as they are.",
        "The operator must reach ports 8000 and 8002 of the pods: look for a NetworkPolicy or a "
        "mesh in between ([Prometheus](../prometheus.md) can stand in), and for servers that hang.",
        _condition(f'condition="{ConditionType.SCALING}", reason="{Reason.NO_METRICS}"'),
    ),
    Alert(
        "ConchActivatorRefuses",
        Severity.WARNING,
        "0m",
        f"Connections to {_THIS}, which was at zero replicas, were refused.",
        "`expired`: the first replica was not ready in time; is there an accelerator for it? "
        "`full`: raise activator.connections, or keep one replica.",
        f"sum by ({_SERVICE})\n"
        '  (increase(conch_activator_connections_total{result=~"expired|full"}[10m])) > 0',
    ),
    Alert(
        "ConchCostJump",
        Severity.INFO,
        "30m",
        "Services in {{ $labels.namespace }} cost ${{ $value | humanize }} an hour, half as much "
        "again as at any time in the week until yesterday.",
        "`conch report -n NAMESPACE --by service` shows which. A maximum bounds what a service "
        "may cost.",
        "sum by (namespace) (conch_service_cost_dollars_per_hour)\n"
        "  > 1 + 1.5 * max_over_time(\n"
        "    sum by (namespace) (conch_service_cost_dollars_per_hour)[1w:15m] offset 1d\n"
        "  )",
    ),
)

OF_THE_OPERATOR: Final = (
    Alert(
        "ConchNoLeader",
        Severity.CRITICAL,
        "5m",
        "No replica of the Conch operator leads: services go on as they are, nothing is scaled.",
        "`kubectl -n conch-system get pods,lease`, and the pods' logs. If pods run and lead, "
        "Prometheus does not reach port 9090: networkPolicy.metricsFrom.",
        f"sum by ({_OPERATOR}) (conch_leader) == 0\nor\nabsent(conch_leader)",
    ),
    Alert(
        "ConchQueueBehind",
        Severity.WARNING,
        "5m",
        "Resources have waited for the Conch operator without a break for 15 minutes.",
        "Does it have the CPU it needs, and does the API server answer it? "
        "conch_reconcile_duration_seconds and conch_api_writes_total tell.",
        f"max by ({_OPERATOR}) (min_over_time(conch_queue_depth[15m])) > 0",
    ),
    Alert(
        "ConchReconcileFails",
        Severity.WARNING,
        "5m",
        "The Conch operator fails on a resource for reasons of its own.",
        "A defect of Conch: its log has the traceback, please report it. The resource has an "
        "event InternalError; others are not affected.",
        f'sum by ({_OPERATOR}) (increase(conch_reconciles_total{{result="error"}}[15m])) > 0',
    ),
    Alert(
        "ConchWritesFail",
        Severity.WARNING,
        "15m",
        "More than a tenth of the Conch operator's writes to the API server fail.",
        "By code: 0 no answer, 401 and 403 missing rights (are the chart's roles of this "
        "version?), 429 and above an API server in distress.",
        f'sum by ({_OPERATOR}) (rate(conch_api_writes_total{{code=~"0|401|403|429|5.."}}[10m]))\n'
        f"  > 0.1 * sum by ({_OPERATOR}) (rate(conch_api_writes_total[10m]))",
    ),
)

ALERTS: Final = (*OF_SERVICES, *OF_THE_OPERATOR)


def rules() -> str:
    """Prometheus' rule groups, as YAML."""
    groups = (("conch-services", OF_SERVICES), ("conch-operator", OF_THE_OPERATOR))
    body = {"groups": [{"name": name, "rules": _rules(alerts)} for name, alerts in groups]}
    return yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=1000)


def _rules(alerts: Iterable[Alert]) -> list[dict[str, Any]]:
    return [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.lasts,
            "labels": {"severity": alert.severity.value},
            "annotations": {"summary": alert.summary},
        }
        for alert in alerts
    ]


class _Dumper(yaml.SafeDumper):
    """Lines of an expression stay lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
