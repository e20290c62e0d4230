"""Between two looks: what was done, unless the server started anew."""

from __future__ import annotations

from conch.energy.counters import after
from conch.observe.types import BatchStat, ModelCounters, PodSample
from conch.triton.power import GpuPower


def look(at_s: float, inferences: float, busy_s: float, **gpus: GpuPower) -> PodSample:
    counters = ModelCounters(
        success=inferences,
        failure=0,
        inferences=inferences,
        executions=inferences,
        request_s=busy_s,
        queue_s=0,
        pending=0,
        batches={1: BatchStat(int(inferences), busy_s)},
    )
    return PodSample("p", at_s, {"m": counters}, gpus=gpus)


def test_a_first_look_tells_only_what_is_drawn_now() -> None:
    seen = after(look(10, 100, 5, a=GpuPower(40.0), b=GpuPower()), None)
    assert (seen.elapsed_s, seen.worked_s) == (0, 0)
    assert seen.watts == {"a": 40.0}


def test_work_and_mean_power_between_two_looks() -> None:
    old = after(look(10, 100, 5, a=GpuPower(40.0, 1000.0)), None)
    seen = after(look(20, 130, 9, a=GpuPower(90.0, 1550.0)), old)
    assert (seen.elapsed_s, seen.worked_s, seen.inferences) == (10, 4, 130)
    assert seen.watts == {"a": 55.0}  # the counter's mean, not the reading of a moment


def test_the_same_look_again_is_nothing_new() -> None:
    old = after(look(10, 100, 5), None)
    assert after(look(10, 100, 5), old) is old


def test_a_server_that_restarted_begins_anew() -> None:
    old = after(look(10, 100, 5), None)
    seen = after(look(20, 3, 1), old)
    assert (seen.elapsed_s, seen.worked_s, seen.inferences) == (0, 0, 3)
