from typing import Any

import pytest

from e2e.fleet.load import Load
from e2e.fleet.pods import Pods


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pods(clock: Clock) -> Pods:
    return Pods(Load(rate_per_s=10), clock, clock)


def served(pods: Pods, address: str) -> float:
    return pods.counters(address)["resnet"].succeeded


def test_a_pod_counts_from_its_first_question(pods: Pods, clock: Clock) -> None:
    assert served(pods, "10.128.0.1") == 0
    clock.now_s += 5
    assert served(pods, "10.128.0.1") == pytest.approx(50)
    assert served(pods, "10.128.0.2") == 0


def test_a_change_counts_from_now_on(pods: Pods, clock: Clock) -> None:
    served(pods, "a")
    clock.now_s += 5
    pods.change({"a": {"rate_per_s": 20}})
    clock.now_s += 5
    assert served(pods, "a") == pytest.approx(150)


def test_everybody_is_known_pods_and_future_ones(pods: Pods, clock: Clock) -> None:
    served(pods, "a")
    pods.change({"b": {"base_ms": 1}, "*": {"rate_per_s": 1}})
    served(pods, "c")
    clock.now_s += 10
    assert [served(pods, name) for name in "abc"] == [pytest.approx(10)] * 3


def test_counters_can_start_again(pods: Pods, clock: Clock) -> None:
    served(pods, "a")
    clock.now_s += 5
    pods.change({"a": {"counters": "reset"}})
    assert served(pods, "a") == 0


def test_a_forgotten_pod_is_new(pods: Pods, clock: Clock) -> None:
    pods.change({"a": {"rate_per_s": 99}})
    pods.forget("a")
    assert pods["a"].load == Load(rate_per_s=10)


@pytest.mark.parametrize("wrong", [{"fault": "fire"}, {"counters": "halve"}, {"colour": 1}])
def test_a_wrong_change_changes_nothing(pods: Pods, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"fire|reset|colour"):
        pods.change({"a": {"rate_per_s": 99}, "*": {"rate_per_s": 5}, "b": wrong})
    assert pods["a"].load == Load(rate_per_s=10)
    assert pods["new"].load == Load(rate_per_s=10)


def test_an_address_can_answer_as_another_pod(pods: Pods, clock: Clock) -> None:
    served(pods, "a")
    pods.change({"b": {"rate_per_s": 20}, "a": {"answers_as": "b"}})
    clock.now_s += 5
    assert served(pods, "a") == served(pods, "b") == pytest.approx(100)
    pods.change({"a": {"answers_as": ""}})
    assert served(pods, "a") == pytest.approx(50)


def test_two_addresses_can_answer_for_each_other(pods: Pods, clock: Clock) -> None:
    pods.change({"a": {"answers_as": "b"}, "b": {"rate_per_s": 20, "answers_as": "a"}})
    clock.now_s += 5
    assert (served(pods, "a"), served(pods, "b")) == (pytest.approx(100), pytest.approx(50))
