"""The activator's series: there while the service may go to zero, and no longer."""

from __future__ import annotations

from conch.activator.telemetry import Telemetry
from conch.observe.types import Key

ONE, OTHER = Key("team", "one"), Key("team", "other")


def test_a_service_that_is_gone_leaves_no_series() -> None:
    telemetry = Telemetry()
    for key in (ONE, OTHER):
        telemetry.held(key, 2, 1)
        telemetry.ended(key, "left")
        telemetry.passed(key, 1.5)
    telemetry.forget(ONE)
    text = telemetry.exposition().decode()
    assert 'service="one"' not in text
    assert 'conch_activator_connections_total{namespace="team",result="left",service="other"}' in (
        text
    )
    telemetry.forget(ONE)  # again, or never seen: fine


def test_refusals_count_from_zero() -> None:
    telemetry = Telemetry()
    telemetry.held(ONE, 0, 0)
    text = telemetry.exposition().decode()
    for result in ("expired", "full"):
        assert f'{{namespace="team",result="{result}",service="one"}} 0.0' in text
