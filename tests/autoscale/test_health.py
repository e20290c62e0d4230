from dataclasses import replace

from conch.autoscale.health import Health
from conch.autoscale.signals import Interval


def interval(end_s: float, succeeded: float = 0, failed: float = 0) -> Interval:
    return Interval(end_s - 2, end_s, 1, 2, 0, succeeded, failed, pending=3)


def test_a_stuck_pod_is_reported_after_the_patience_and_forgotten_when_it_answers() -> None:
    health = Health()
    for end_s in (2.0, 4.0):
        health = health.after(interval(end_s), {"a"}, {"a", "b"})
    assert not health.not_answering(4, 0.4)
    health = health.after(interval(6.0), {"a"}, {"a", "b"})
    assert health.not_answering(6, 0.4)
    assert not health.not_answering(6, 5)  # three targets of five seconds are not over
    assert not health.after(interval(8.0), set(), {"a", "b"}).not_answering(8, 0.4)


def test_a_pod_that_is_gone_is_not_stuck() -> None:
    health = Health().after(interval(2.0), {"a"}, {"a"}).after(interval(60.0), {"a"}, {"b"})
    assert not health.not_answering(60, 0.4)


def test_a_large_share_of_failures() -> None:
    assert Health().after(interval(2, 8, 3), (), ()).failing() == 3 / 11
    assert Health().after(interval(2, 80, 3), (), ()).failing() is None
    assert Health().after(interval(2, 0, 3), (), ()).failing() is None  # three requests


def test_what_a_queues_policy_rejects_is_no_failure_of_the_model() -> None:
    overloaded = replace(interval(2, 60, 40), rejected=40.0)
    assert Health().after(overloaded, (), ()).failing() is None
    broken = replace(interval(2, 30, 70), rejected=40.0)
    assert Health().after(broken, (), ()).failing() == 30 / 100


def test_failures_are_forgotten() -> None:
    health = Health().after(interval(2, 0, 50), (), ())
    assert health.failing() == 1
    assert health.after(interval(40, 10, 0), (), ()).failing() is None


def test_an_interval_without_news_changes_nothing() -> None:
    health = Health().after(interval(2, 0, 50), {"a"}, {"a"})
    assert health.after(None, (), ()) is health
