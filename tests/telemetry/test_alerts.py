"""The alerts: made of metrics that exist, and fired by Prometheus' own evaluation when they should.

Every alert has a world in which it fires and one, as close as it gets, in which it does not.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from conch.activator.telemetry import Telemetry
from conch.telemetry import alerts
from conch.telemetry.alerts import ALERTS, Severity
from conch.telemetry.catalog import Metrics
from tests.telemetry.names import names_what_there_is

SERVICE = 'namespace="team",service="resnet"'
POD = 'namespace="conch-system",job="conch-system/conch"'
OF_SERVICE = {"namespace": "team", "service": "resnet"}
OF_OPERATOR = {"namespace": "conch-system", "job": "conch-system/conch"}


@dataclass(frozen=True)
class Case:
    """``series`` in promtool's notation, a sample per minute; ``labels`` None: it stays quiet."""

    alert: str
    at: str
    series: dict[str, str]
    labels: dict[str, str] | None = None


def traffic(late: str, ended: str = "0+6000x600", objective: float = 0.99) -> dict[str, str]:
    return {
        f"conch_service_requests_total{{{SERVICE}}}": ended,
        f"conch_service_late_requests_total{{{SERVICE}}}": late,
        f"conch_service_objective_ratio{{{SERVICE}}}": f"{objective}x600",
    }


def condition(kind: str, status: str, reason: str, values: str = "1x60") -> dict[str, str]:
    labels = f'{SERVICE},condition="{kind}",status="{status}",reason="{reason}"'
    return {f"conch_service_condition{{{labels}}}": values}


def replicas(wanted: str, ready: str) -> dict[str, str]:
    return {
        f"conch_service_replicas_wanted{{{SERVICE}}}": wanted,
        f"conch_service_replicas_ready{{{SERVICE}}}": ready,
    }


def refused(result: str, values: str) -> dict[str, str]:
    return {f'conch_activator_connections_total{{{SERVICE},result="{result}"}}': values}


def cost(values: str) -> dict[str, str]:
    return {f'conch_service_cost_dollars_per_hour{{{SERVICE},class="l4"}}': values}


def leader(first: str, second: str) -> dict[str, str]:
    return {
        f'conch_leader{{{POD},pod="a"}}': first,
        f'conch_leader{{{POD},pod="b"}}': second,
    }


def reconciles(result: str, values: str) -> dict[str, str]:
    return {f'conch_reconciles_total{{{POD},result="{result}"}}': values}


def writes(failed: str, code: str = "500") -> dict[str, str]:
    more = f'{POD},verb="patch",resource="deployments"'
    return {
        f'conch_api_writes_total{{{more},code="200"}}': "0+80x60",
        f'conch_api_writes_total{{{more},code="{code}"}}': failed,
    }


FAST, SLOW = "ConchErrorBudgetBurnsFast", "ConchErrorBudgetBurns"
CASES = [
    Case(FAST, "65m", traffic("0+900x600"), OF_SERVICE),  # 15 %, of 1 % allowed
    Case(FAST, "65m", traffic("0+300x600")),
    Case(FAST, "10h", traffic("0+420x600"), OF_SERVICE),  # 7 %, for hours
    # It is over: the last minutes were fine.
    Case(FAST, "100m", traffic("0+900x60 54000x600")),
    Case(FAST, "65m", traffic("0+0.1x600", "0+0.2x600")),  # half of them, but six an hour
    # All are late where half may be: fourteen times that does not exist.
    Case(FAST, "65m", traffic("0+6000x600", objective=0.5), OF_SERVICE),
    Case(FAST, "65m", {}),
    Case(SLOW, "10h", traffic("0+90x600"), OF_SERVICE),  # 1.5 %
    Case(SLOW, "10h", traffic("0+54x600")),  # 0.9 %
    Case(SLOW, "10h", traffic("0x600", "0x600")),
    Case("ConchServiceDown", "20m", replicas("2x60", "0x60"), OF_SERVICE),
    Case("ConchServiceDown", "20m", replicas("0x60", "0x60")),
    Case("ConchServiceDown", "20m", replicas("2x60", "0x10 1x60")),
    Case(
        "ConchServiceNotServing", "10m", condition("Serving", "False", "NotAnswering"), OF_SERVICE
    ),
    Case("ConchServiceNotServing", "10m", condition("Serving", "Unknown", "Idle")),
    # That the reason changes meanwhile does not begin the time anew.
    Case(
        "ConchServiceNotReady",
        "40m",
        condition("Ready", "False", "PodsStarting", "1x20 stale")
        | condition("Ready", "False", "Unschedulable", "_x20 1x60"),
        OF_SERVICE,
    ),
    Case("ConchServiceNotReady", "40m", condition("Ready", "False", "ScaledToZero")),
    Case("ConchServiceNotReady", "40m", condition("Ready", "True", "Ready")),
    Case("ConchNoRoom", "20m", condition("Scaling", "False", "NoRoom"), OF_SERVICE),
    Case("ConchNoRoom", "20m", condition("Placed", "False", "NoCapacity"), OF_SERVICE),
    Case("ConchNoRoom", "20m", condition("Scaling", "True", "ScaleUp")),
    Case("ConchAtMaximum", "20m", condition("Scaling", "False", "AtMaximum"), OF_SERVICE),
    Case("ConchAtMaximum", "20m", condition("Scaling", "True", "AtMinimum")),
    Case("ConchNoMetrics", "15m", condition("Scaling", "False", "NoMetrics"), OF_SERVICE),
    Case("ConchNoMetrics", "15m", condition("Scaling", "False", "NoMetrics", "1x3 stale")),
    Case("ConchActivatorRefuses", "15m", refused("full", "0x10 1x60"), OF_SERVICE),
    Case("ConchActivatorRefuses", "15m", refused("left", "0x10 1x60")),
    Case("ConchActivatorRefuses", "40m", refused("expired", "0x10 1x60")),
    Case("ConchCostJump", "26h", cost("10x1500 20x600"), {"namespace": "team"}),
    Case("ConchCostJump", "26h", cost("10x1500 14x600")),
    Case("ConchCostJump", "26h", cost("0.1x1500 0.9x600")),  # much more of next to nothing
    Case("ConchNoLeader", "10m", leader("0x60", "0x60"), OF_OPERATOR),
    Case("ConchNoLeader", "10m", {}, {}),  # nobody is seen at all
    Case("ConchNoLeader", "10m", leader("0x60", "1x60")),
    Case("ConchQueueBehind", "25m", {f"conch_queue_depth{{{POD}}}": "7x60"}, OF_OPERATOR),
    Case("ConchQueueBehind", "25m", {f"conch_queue_depth{{{POD}}}": "7x15 0x3 9x60"}),
    Case("ConchReconcileFails", "20m", reconciles("error", "0x5 1x60"), OF_OPERATOR),
    Case("ConchReconcileFails", "20m", reconciles("retry", "0+1x60")),
    Case("ConchWritesFail", "40m", writes("0+20x60"), OF_OPERATOR),
    Case("ConchWritesFail", "40m", writes("0+20x60", "409")),  # somebody was faster
    Case("ConchWritesFail", "40m", writes("0+2x60")),
]  # fmt: skip


def test_every_alert_is_seen_to_fire_and_to_stay_quiet() -> None:
    fired = {case.alert for case in CASES if case.labels is not None}
    quiet = {case.alert for case in CASES if case.labels is None}
    assert fired == quiet == {alert.name for alert in ALERTS}


@pytest.mark.slow
def test_prometheus_fires_them_when_it_should(promtool: Path, tmp_path: Path) -> None:
    files = []
    for group in yaml.safe_load(alerts.rules())["groups"]:
        for rule in group["rules"]:  # each alone: a test evaluates every rule of its file
            name = rule["alert"]
            rules = {"groups": [{"name": name, "rules": [rule]}]}
            (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(rules))
            tests = [_as_test(case) for case in CASES if case.alert == name]
            wanted = {"rule_files": [f"{name}.yaml"], "evaluation_interval": "5m", "tests": tests}
            files.append(f"{name}.test.yaml")
            (tmp_path / files[-1]).write_text(yaml.safe_dump(wanted))
    command = [str(promtool), "test", "rules", *files]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("SUCCESS") == len(ALERTS)


def _as_test(case: Case) -> dict[str, Any]:
    (alert,) = (a for a in ALERTS if a.name == case.alert)
    fired = []
    if case.labels is not None:
        summary = alert.summary.replace("{{ $value | humanize }}", "20")
        for label in ("namespace", "service"):
            summary = summary.replace(f"{{{{ $labels.{label} }}}}", case.labels.get(label, ""))
        labels = case.labels | {"severity": alert.severity.value}
        fired = [{"exp_labels": labels, "exp_annotations": {"summary": summary}}]
    return {
        "name": f"{case.alert} {case.series}",
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": fired}],
    }


def test_a_metric_that_was_read_has_no_faults(promtool: Path) -> None:
    for catalogue in (Metrics(), Telemetry()):
        result = subprocess.run(
            [str(promtool), "check", "metrics"],
            input=catalogue.exposition(),
            capture_output=True,
        )
        assert result.returncode == 0, result.stderr.decode()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_names_what_there_is(alert: alerts.Alert) -> None:
    grouped = names_what_there_is(alert.expr)
    of_services = alert in alerts.OF_SERVICES
    assert grouped <= ({"namespace", "service"} if of_services else {"namespace", "job"})


def test_alerts_are_written_for_people() -> None:
    names = [alert.name for alert in ALERTS]
    assert len(set(names)) == len(names)
    for alert in ALERTS:
        assert re.fullmatch(r"Conch([A-Z][a-z]+)+", alert.name)
        assert alert.summary.endswith(".")
        assert alert.action.endswith(".")
        assert set(re.findall(r"\$labels\.(\w+)", alert.summary)) <= {"namespace", "service"}
    assert {alert.severity for alert in ALERTS} == set(alerts.SEVERITIES) == set(Severity)
