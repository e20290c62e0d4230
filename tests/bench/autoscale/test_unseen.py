import numpy as np
import pytest

from e2e.autoscale.cases import fingerprint
from e2e.autoscale.unseen import SERVICES, unseen

SEEDS = range(3)


def test_a_seed_gives_the_same_cases_again_and_no_others_do() -> None:
    found = [[fingerprint(case) for case in unseen(seed)] for seed in (1, 1, 2)]
    assert found[0] == found[1]
    alike = {repr(one) for one in found[0]} & {repr(one) for one in found[2]}
    assert not alike


@pytest.mark.parametrize("seed", SEEDS)
def test_every_service_gets_every_shape_once(seed: int) -> None:
    found = list(unseen(seed))
    assert len({case.name for case in found}) == len(found)
    shapes = {case.trace.name for case in found}
    assert len(found) == SERVICES * len(shapes)


@pytest.mark.parametrize("seed", SEEDS)
def test_demand_has_the_load_that_is_asked_for_and_is_never_nothing(seed: int) -> None:
    for case in unseen(seed):
        mean_rps = case.curve.load * case.curve.service.throughput_rps
        assert case.trace.mean_rps == pytest.approx(mean_rps)
        assert np.all(case.trace.rates > 0)
        assert np.all(np.isfinite(case.trace.rates))
        assert case.trace.length_s == case.curve.length_s


def test_targets_leave_room_for_a_batch_and_a_wait() -> None:
    for case in unseen(0):
        assert case.curve.target_s > 2.1 * case.curve.service.service_s[-1]
        assert 8 <= case.cold_start_s <= 150
