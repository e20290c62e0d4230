"""Replicas that are not alike: counted with what their own group carries, whoever chooses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.autoscale import ScalerState, step
from conch.autoscale.fleet import Fleet
from conch.autoscale.groups import MOST, Members, Mix, Mixed, completes, faster
from conch.autoscale.learning import stretched
from conch.observe.types import Decision, ScalingObservation

from . import sim, worlds
from .sim import service
from .worlds import MODEL, counters, sample

EVEN = Fleet(0.8, batched=True, evenness=1.0, late=0.01, reject=True)
RANDOM = replace(EVEN, evenness=0.0)
SPEEDS = {"fast": 1.0, "slow": 0.5}


def mixed(
    fast: int, slow: int, follows: float = 1.0, shrinking: str = "", growing: str = "slow"
) -> Mixed:
    counts = {"fast": fast, "slow": slow}
    one = EVEN if follows else RANDOM
    fleets = dict.fromkeys(SPEEDS, one)
    return Mixed(Members(counts, counts, growing, shrinking), fleets, SPEEDS, follows)


# --- what they carry ------------------------------------------------------------------------------


def test_with_the_fewest_outstanding_chosen_throughputs_add_up() -> None:
    assert mixed(3, 2).carries({"fast": 3, "slow": 2}) == pytest.approx(EVEN.carries(5) * 4 / 5)


def test_with_any_chosen_the_slowest_binds() -> None:
    found = mixed(3, 2, follows=0.0)
    assert found.carries({"fast": 3, "slow": 2}) == pytest.approx(0.5 * RANDOM.carries(5))
    assert found.carries({"fast": 3, "slow": 0}) == pytest.approx(RANDOM.carries(3))
    assert found.carries({}) == 0


def test_in_between_lies_in_between() -> None:
    low, high = (replace(mixed(3, 2), follows=f).carries({"fast": 3, "slow": 2}) for f in (0, 1))
    half = replace(mixed(3, 2), follows=0.5).carries({"fast": 3, "slow": 2})
    assert half == pytest.approx((low + high) / 2)


# --- who comes and goes ---------------------------------------------------------------------------


def test_further_ones_are_of_the_group_that_grows() -> None:
    assert mixed(2, 1).of(5) == {"fast": 2, "slow": 3}
    assert mixed(2, 1, growing="fast").of(5) == {"fast": 4, "slow": 1}


def test_given_up_is_what_was_told_or_else_the_strongest() -> None:
    assert mixed(2, 2, shrinking="slow").of(1) == {"fast": 1, "slow": 0}
    assert mixed(2, 2).of(2) == {"fast": 0, "slow": 2}


def test_one_fewer_is_judged_by_what_is_left_without_the_strongest() -> None:
    demand = mixed(2, 2).carries({"fast": 2, "slow": 1})
    assert mixed(2, 2, shrinking="slow").needed(demand, 99) == 3
    assert mixed(2, 2).needed(demand, 99) == 4, "two slow and a fast would not do"


@given(
    fast=st.integers(0, 8),
    slow=st.integers(0, 8),
    follows=st.sampled_from([0.0, 0.4, 1.0]),
    growing=st.sampled_from(["fast", "slow"]),
    shrinking=st.sampled_from(["", "fast", "slow"]),
    demand=st.floats(0, 30),
    most=st.integers(1, 60),
)
def test_needed_is_the_fewest_that_carry(
    fast: int, slow: int, follows: float, growing: str, shrinking: str, demand: float, most: int
) -> None:
    found = mixed(fast, slow, follows, shrinking, growing)
    needed = found.needed(demand, most)
    assert 1 <= needed <= most
    assert needed == most or found.carries(found.of(needed)) >= demand
    assert all(found.carries(found.of(n)) < demand for n in range(1, needed))


def test_who_says_nothing_is_of_the_group_that_grows() -> None:
    found = Members.of(["a", "b", "a"], 4, ["b"], 3, "c", "", "a")
    assert found.ready == {"a": 2, "b": 1, "c": 1}
    assert found.counts == {"a": 2, "b": 2, "c": 3}
    assert Members.of(["a"], 1, [], 0, "", "", "a").groups == {"a"}
    assert Members.of([], 0, [], 1, "", "", "").counts == {"": 1}


def test_who_answers_but_does_not_count_any_more_is_of_the_group_that_shrinks() -> None:
    assert Members.of(["a", "b", "b"], 2, [], 0, "a", "a", "a").ready == {"b": 2}
    assert Members.of(["a", "b", "b"], 1, [], 0, "a", "", "a").ready.keys() == {"a"} ^ {"a", "b"}


# --- the unit that demand is counted in -----------------------------------------------------------


def test_demand_is_counted_in_the_weakest_but_not_in_one_after_the_other() -> None:
    before = Mix(reference="a")
    assert before.refer({"a", "b"}, {"a": 1.0, "b": 0.5}) == "b"
    assert before.refer({"a", "b"}, {"a": 1.0, "b": 0.9}) == "a"
    assert before.refer({"b", "c"}, {"a": 1.0, "b": 3.0, "c": 2.0}) == "c"


def test_a_group_that_nothing_is_known_of_is_no_unit() -> None:
    assert Mix(reference="a").refer({"b"}, {"a": 1.0}) == "a"
    assert Mix(reference="a").refer({"a", "b"}, {"a": 1.0}) == "a"
    assert Mix().refer({"b", "c"}, {}) == "b"


def test_speeds_are_compared_by_what_is_asked() -> None:
    one, other = {"m": 10.0, "n": 10.0}, {"m": 20.0, "n": 5.0}
    assert faster({"m": 1.0}, one, other) == 2.0
    assert faster({"m": 1.0, "n": 1.0}, one, other) == pytest.approx(0.8)
    assert faster({}, one, other) == 0.5, "nothing is asked: the worst"
    assert faster({"m": 1.0}, {}, other) == 1.0
    assert completes({"m": {"a": 1.0, "b": 2.0}, "n": {}}, "c") == {"m": 2.0}


# --- who chooses ----------------------------------------------------------------------------------


def follows(got: Mapping[str, float], load: float, looks: int = 50) -> float:
    mix = Mix()
    for _ in range(looks):
        mix = mix.after({group: (3, work) for group, work in got.items()}, SPEEDS, load)
    return mix.follows


def test_the_same_for_all_shows_that_nobody_looks_at_what_is_outstanding() -> None:
    assert follows({"fast": 5.0, "slow": 5.0}, 0.8) < 0.1
    assert follows({"fast": 6.0, "slow": 3.2}, 0.9) > 0.9


@pytest.mark.parametrize(
    ("got", "load"),
    [
        ({"fast": 5.0, "slow": 5.0}, 0.2),
        ({"fast": 5.0, "slow": 0.0}, 0.8),
        ({"fast": 5.0}, 0.8),
    ],
    ids=["little to do", "one got nothing yet", "one group"],
)
def test_what_says_nothing_teaches_nothing(got: Mapping[str, float], load: float) -> None:
    assert follows(got, load) == 1.0


# --- in the scaler --------------------------------------------------------------------------------


class Recorder:
    """``step`` that keeps what it was told and what it decided."""

    def __init__(self) -> None:
        self.seen: list[tuple[ScalingObservation, Decision]] = []

    def __call__(
        self, policy: object, state: ScalerState, observation: ScalingObservation
    ) -> tuple[ScalerState, Decision]:
        state, decision = step(worlds.POLICY, state, observation)
        self.seen.append((observation, decision))
        return state, decision


def in_group(observation: ScalingObservation, group: str) -> ScalingObservation:
    return replace(
        observation,
        samples=tuple(replace(s, group=group) for s in observation.samples),
        starting_groups=(group,) * len(observation.starting_age_s),
        growing=group,
        shrinking=group,
    )


def test_where_all_are_alike_nothing_is_decided_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr(sim, "step", recorder)
    curve = service(0.04, 0.01, 4)
    sim.simulate(
        lambda at_s: 30 if at_s < 120 else 90,
        300,
        policy=worlds.POLICY,
        service_s=curve,
        true_capacity=40,
        replicas=2,
    )
    assert len({decision.replicas for _, decision in recorder.seen}) > 2
    state = ScalerState()
    for observation, decided in recorder.seen:
        state, again = step(worlds.POLICY, state, in_group(observation, "l4"))
        assert again == decided


class Two:
    """Pods of two classes that each answer so many requests/s, in batches of 4 of 80 and 160 ms."""

    def __init__(self, fast: int, slow: int) -> None:
        self.pods = [("fast", 0.08)] * fast + [("slow", 0.16)] * slow
        self.done = [0.0] * len(self.pods)
        self.born = len(self.pods)
        self.state = ScalerState()
        self.now_s = 1000.0

    def serve(
        self, seconds: float, fast_rps: float, slow_rps: float, growing: str = ""
    ) -> Decision:
        decision = None
        for _ in range(int(seconds / 2)):
            self.now_s += 2
            samples = []
            for number, (group, batch_s) in enumerate(self.pods):
                self.done[number] += 2 * (fast_rps if group == "fast" else slow_rps)
                found = counters(self.done[number], batch_s=batch_s)
                samples.append(replace(sample(f"p{number}", self.now_s, found), group=group))
            observation = ScalingObservation(
                self.now_s,
                len(samples),
                len(samples),
                (),
                (10.0,),
                100,
                tuple(samples),
                growing=growing,
            )
            self.state, decision = step(worlds.POLICY, self.state, observation)
        assert decision is not None
        return decision

    def add(self, group: str, batch_s: float) -> None:
        self.pods.append((group, batch_s))
        self.done.append(0.0)


def test_each_group_has_a_curve_of_its_own() -> None:
    two = Two(2, 2)
    decision = two.serve(60, 20.0, 10.0)
    speeds = two.state.models[MODEL].speeds
    assert {g: s.curve.service_s(4)[3] for g, s in speeds.items()} == {
        "fast": pytest.approx(0.08, rel=0.02),
        "slow": pytest.approx(0.16, rel=0.02),
    }
    rps = decision.group_rps
    assert decision.capacity_rps is not None
    assert rps["slow"] < decision.capacity_rps < rps["fast"]
    assert rps["fast"] / rps["slow"] > 1.9
    assert two.state.mix.reference == "slow"


def test_replicas_that_all_get_the_same_count_as_the_slowest() -> None:
    """At the same rate: followed, the fast ones carry more; chosen by turns, they do not."""
    follow, by_turns = Two(2, 2), Two(2, 2)
    one, other = follow.serve(240, 24.0, 12.0), by_turns.serve(240, 18.0, 18.0)
    assert one.demand_rps == pytest.approx(other.demand_rps)
    assert follow.state.mix.follows > 0.9
    assert by_turns.state.mix.follows < 0.1
    assert one.capacity_rps is not None
    assert other.capacity_rps is not None
    assert other.capacity_rps < 0.8 * one.capacity_rps


def test_a_slow_one_that_joins_changes_the_unit_and_not_the_demand() -> None:
    two = Two(3, 0)
    before = two.serve(400, 20.0, 0.0)
    two.add("slow", 0.16)
    after = two.serve(30, 18.0, 6.0)
    assert two.state.mix.reference == "slow"
    assert before.bound_rps is not None
    assert after.bound_rps == pytest.approx(before.bound_rps, rel=0.15)
    assert after.replicas <= 4


def test_what_is_remembered_of_a_class_counts_before_its_first_replica_is_there() -> None:
    two = Two(2, 0)
    two.serve(100, 20.0, 0.0)
    model = two.state.models[MODEL]
    slow = replace(model.speeds["fast"], curve=stretched(model.speeds["fast"].curve, 2), plan=None)
    unaware = two.state
    models = {MODEL: replace(model, speeds={"slow": slow, **model.speeds})}
    two.state = replace(unaware, models=models)
    aware = two.serve(2, 60.0, 0.0, growing="slow")
    assert two.state.models[MODEL].is_known("slow")
    two.state, two.now_s, two.done = unaware, two.now_s - 2, [d - 120 for d in two.done]
    alike = two.serve(2, 60.0, 0.0, growing="slow")
    assert aware.replicas > alike.replicas > 2
    assert aware.group_rps.keys() == {"fast", "slow"}
    assert alike.group_rps == {}


@pytest.mark.slow
def test_the_sentence_tells_what_one_of_each_carries() -> None:
    told = Two(2, 2).serve(240, 24.0, 12.0).message
    assert " on average within 400 ms (one on fast " in told
    assert "p99)" in told
    assert "p99; each gets the same share, so the slowest binds)" in (
        Two(2, 2).serve(240, 18.0, 18.0).message
    )


def test_groups_that_come_and_go_are_bounded() -> None:
    two = Two(1, 1)
    for number in range(3 * MOST):
        two.pods[1] = (f"class-{number}", 0.1)
        two.serve(4, 20.0, 20.0)
    speeds = two.state.models[MODEL].speeds
    assert len(speeds) == MOST
    assert {"fast", f"class-{3 * MOST - 1}"} <= set(speeds)
