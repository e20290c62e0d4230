import numpy as np
import pytest

from conch.autoscale.capacity import late_share as late_share_by_theory
from conch.twin.service import ServiceModel
from conch.twin.table import Table, late_share, measured
from conch.twin.world import Scenario

SERVICE = ServiceModel((0.060, 0.080, 0.100, 0.120), noise=0.0, ahead=False)
SCENARIO = Scenario(service=SERVICE, cold_start_s=40, target_s=0.5, max_replicas=8)


def test_need_is_the_fewest_that_carry_the_rate() -> None:
    table = Table((10.0, 22.0, 35.0))
    assert table.need([0, 10, 10.1, 22, 34, 35, 99]).tolist() == [1, 1, 2, 2, 3, 3, 3]


def test_sizes_in_between_lie_on_straight_lines_and_never_fall() -> None:
    assert Table.through([(1, 10.0), (3, 30.0), (4, 29.0)], 5).rates == (10, 20, 30, 30, 30)


@pytest.mark.slow
def test_one_replica_is_late_as_often_as_the_solved_queue_says() -> None:
    # The theory takes Triton's early batches off the target; a single batch size has none.
    single = Scenario(
        service=ServiceModel((0.1,), noise=0.0, ahead=False),
        cold_start_s=40,
        target_s=0.5,
        max_replicas=1,
    )
    theory = late_share_by_theory((0.1,), 1, 0.5, 7.0)
    assert late_share(single, 1, 7.0, 200_000) == pytest.approx(theory, rel=0.1)


@pytest.mark.slow
def test_a_measured_table_pools() -> None:
    table = measured(SCENARIO, 4, requests=30_000)
    per_replica = np.array(table.rates) / np.arange(1, 5)
    assert 15 < per_replica[0] < SERVICE.throughput_rps
    assert (np.diff(per_replica) > -0.02 * per_replica[0]).all()
    assert per_replica[3] > 1.03 * per_replica[0]
    assert late_share(SCENARIO, 2, table.rates[1], 30_000) <= 0.01
