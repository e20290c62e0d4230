import pytest

from conch.errors import UsageError
from conch.twin.service import ServiceModel


def test_a_linear_curve() -> None:
    service = ServiceModel.linear(0.04, 0.02, 8)
    assert service.service_s == pytest.approx((0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2))
    assert service.max_batch == 8
    assert service.throughput_rps == pytest.approx(40)


def test_instances_multiply_the_throughput() -> None:
    assert ServiceModel((0.25,), instances=3).throughput_rps == pytest.approx(12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"service_s": ()},
        {"service_s": (0.1, 0.0)},
        {"service_s": (float("nan"),)},
        {"instances": 0},
        {"noise": -0.1},
        {"spread": -0.1},
        {"max_queue_delay_s": -1.0},
        {"preferred": (3,)},
        {"drift": ((5.0, 1.0), (5.0, 2.0))},
        {"drift": ((5.0, 0.0),)},
        {"priorities": ()},
        {"priorities": (0.0,)},
    ],
)
def test_what_no_server_can_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ServiceModel(**{"service_s": (0.1, 0.15), **wrong})  # type: ignore[arg-type]
