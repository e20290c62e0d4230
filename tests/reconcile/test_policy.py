"""What the scaler is told of a service: its spec first, then what its servers say."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from conch.reconcile.policy import agreed, informed, policy_of
from conch.triton.configuration import ModelConfig
from conch.triton.sample import PodSample
from tests.reconcile.builders import KEY, MOMENT, raw, state


def test_a_policy_says_what_was_promised_in_numbers() -> None:
    spec = {"models": [{"name": "m", "source": {"uri": "image:///m"}, "config": {"instances": 2}}]}
    policy = policy_of(state(raw(spec)).services[KEY], MOMENT)
    assert (policy.target_s, policy.percentile) == (0.1, 99)
    assert (policy.models, policy.instances, policy.max_batch) == (("m",), {"m": 2}, {})
    assert policy.queue_delay_s == {}


def test_a_policy_knows_the_queue_delay_that_the_spec_sets() -> None:
    batching = {"dynamicBatching": {"maxQueueDelay": "2ms"}}
    spec = {"models": [{"name": "m", "source": {"uri": "image:///m"}, "config": batching}]}
    assert policy_of(state(raw(spec)).services[KEY], MOMENT).queue_delay_s == {"m": 0.002}


MINE = ModelConfig(max_batch=8, instances=2, queue_delay_s=0.001, queue_policy=True)


def look(config: ModelConfig | None, pod: str = "p1") -> PodSample:
    return PodSample(pod, 0.0, {}, configs=None if config is None else {"m": config})


def test_what_the_spec_does_not_set_the_servers_say() -> None:
    spec = {"models": [{"name": "m", "source": {"uri": "image:///m"}, "config": {"instances": 1}}]}
    policy = informed(policy_of(state(raw(spec)).services[KEY], MOMENT), {"m": MINE})
    assert (policy.max_batch, policy.instances) == ({"m": 8}, {"m": 1})
    assert policy.queue_delay_s == {"m": 0.001}
    assert policy.queue_policy == {"m"}


def test_a_bound_that_no_server_has_stays_unknown() -> None:
    policy = policy_of(state().services[KEY], MOMENT)
    assert informed(policy, {"resnet": ModelConfig()}) == policy
    assert informed(policy, {}) == policy


def test_of_two_revisions_the_more_cautious_counts() -> None:
    other = ModelConfig(max_batch=4, instances=3, queue_delay_s=0.002)
    assert agreed([look(MINE), look(None), look(other, "p2")]) == {
        "m": ModelConfig(max_batch=4, instances=2, queue_delay_s=0.002, queue_policy=True)
    }
    unbounded = replace(MINE, max_batch=None)
    assert agreed([look(MINE), look(unbounded)])["m"].max_batch is None
    assert agreed([look(None)]) == {}


CONFIGS = st.builds(
    ModelConfig,
    max_batch=st.none() | st.integers(1, 9),
    instances=st.none() | st.integers(1, 9),
    queue_delay_s=st.none() | st.floats(0, 1),
    queue_policy=st.booleans(),
)


@given(st.lists(CONFIGS, min_size=1, max_size=4))
def test_the_order_of_pods_does_not_matter(configs: list[ModelConfig]) -> None:
    looks = [look(config) for config in configs]
    assert agreed(looks) == agreed(reversed(looks))
