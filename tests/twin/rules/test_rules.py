"""What holds for every rule of the catalogue."""

from dataclasses import replace
from itertools import pairwise

import pytest

from conch.twin.rules import RULES
from conch.twin.rules.setting import Rule, Setting, decision, rates
from conch.twin.service import ServiceModel
from conch.twin.world import Scenario

from .sights import SETTING, counters, sight


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_limits_hold_with_any_load_and_with_no_data(rule: Rule) -> None:
    for build in (rule.untouched, *(lambda s, v=v: rule.tuned(s, v) for v in rule.row(SETTING))):
        controller = build(SETTING)
        replicas = 3
        for tick in range(80):
            rough = tick % 20 < 10
            pods = [counters(1e4 * tick, queue_s=9e3 * tick, request_s=1e4 * tick, pending=400)]
            seen = sight(
                controller.interval_s * tick,
                pods * replicas if rough else [],
                replicas=replicas,
                in_flight=[500.0] * replicas if rough else [],
                busy=[1.0] * replicas if rough else [],
                latencies_s=[9.0] if rough else [],
            )
            replicas = controller.decide(seen).replicas
            assert 1 <= replicas <= SETTING.max_replicas


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_row_has_several_settings_with_names_of_their_own(rule: Rule) -> None:
    names = [rule.tuned(SETTING, value).name for value in rule.row(SETTING)]
    assert len(set(names)) == len(names) >= 3
    assert RULES[rule.name] is rule


def test_a_rule_is_built_untouched_or_at_a_setting_and_given_late_reject_or_not() -> None:
    rule = RULES["keda"]
    assert rule.controller(SETTING, None, False).name == rule.untouched(SETTING).name
    assert rule.controller(SETTING, 12.0, False).name == rule.tuned(SETTING, 12.0).name
    given = rule.controller(SETTING, 12.0, True)
    assert given.name == rule.tuned(SETTING, 12.0).name + " + reject"
    wait_s = given.decide(sight(0.0, [])).reject_after_s
    assert wait_s == pytest.approx(0.5 - 1.2 * 0.2)


def test_a_scenario_tells_what_is_known_beforehand() -> None:
    scenario = Scenario(
        service=ServiceModel.linear(0.040, 0.020, 8),
        cold_start_s=SETTING.cold_start_s,
        target_s=SETTING.target_s,
        max_replicas=SETTING.max_replicas,
    )
    assert Setting.of(scenario, 30.0) == SETTING
    service = replace(scenario.service, max_queue_delay_s=0.1, max_queue_size=5)
    told = replace(SETTING, queue_delay_s=0.1, queue_policy=True)
    assert Setting.of(replace(scenario, service=service), 30.0) == told


def test_rates_worth_trying_reach_from_all_of_a_replica_to_a_third_of_a_load_test() -> None:
    found = rates(SETTING)
    assert found[0] == pytest.approx(40.0)  # 8 in 0.2 s
    assert 0.95 * 9.0 <= found[-1] <= 9.0
    assert all(a / b == pytest.approx(1.05) for a, b in pairwise(found))


def test_a_decision_says_which_limit_binds() -> None:
    assert decision(3, 99, SETTING, "x").reason == "AtMaximum"
    assert decision(3, 4, SETTING, "x").reason == "ScaleUp"
    assert decision(3, 0, SETTING, "x").replicas == 1
