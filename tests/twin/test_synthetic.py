import numpy as np
import pytest

from conch.errors import UsageError
from conch.twin import synthetic


@pytest.mark.parametrize("shape", synthetic.SHAPES)
def test_every_shape_keeps_the_mean_and_the_length(shape: str) -> None:
    for seed in range(3):
        trace = synthetic.SHAPES[shape](80.0, 1800, seed)
        assert trace.name == shape
        assert trace.length_s == 1800
        assert trace.mean_rps == pytest.approx(80.0)
        assert trace.rates.min() >= 0


@pytest.mark.parametrize("shape", synthetic.SHAPES)
def test_a_seed_is_one_shape(shape: str) -> None:
    first, again = (synthetic.SHAPES[shape](10.0, 600, 7) for _ in range(2))
    assert (first.rates == again.rates).all()


@pytest.mark.parametrize("shape", ["flash", "diurnal", "noise", "spikes"])
def test_another_seed_is_another(shape: str) -> None:
    one, other = (synthetic.SHAPES[shape](10.0, 3600, seed) for seed in (1, 2))
    assert not np.array_equal(one.rates, other.rates)


def test_a_step_doubles_at_a_quarter_and_ends_at_three_quarters() -> None:
    rates = synthetic.step(30.0, 400).rates
    assert rates[99] * 2 == pytest.approx(rates[100]) == pytest.approx(rates[299])
    assert rates[300] == rates[99]


def test_a_ramp_climbs_to_its_ratio() -> None:
    rates = synthetic.ramp(30.0, 1000, ratio=4.0).rates
    assert rates.max() == pytest.approx(4 * rates[0])
    assert (np.diff(rates[200:400]) > 0).all()


def test_a_flash_crowd_comes_within_seconds_and_leaves_within_minutes() -> None:
    rates = synthetic.flash_crowd(30.0, 3600, 3).rates
    peak = int(rates.argmax())
    assert rates[peak] == pytest.approx(5 * rates[0], rel=0.02)
    assert rates[peak - 20] == pytest.approx(rates[0])
    assert rates[peak + 300] < 0.55 * rates[peak]


def test_on_off_has_two_levels_in_the_given_shares() -> None:
    rates = synthetic.on_off(30.0, 3000).rates
    high = rates > rates.mean()
    assert high.mean() == pytest.approx(0.4)
    assert rates[~high].max() == pytest.approx(0.1 * rates[high].min())


def test_noise_has_the_deviation_and_the_memory_asked_for() -> None:
    rates = synthetic.noise(100.0, 200_000, 5, sd=0.2, tau_s=50.0).rates
    deviation = rates / rates.mean() - 1
    assert deviation.std() == pytest.approx(0.2, rel=0.05)
    correlation = np.corrcoef(deviation[:-50], deviation[50:])[0, 1]
    assert correlation == pytest.approx(np.exp(-1), abs=0.05)


def test_spikes_are_short() -> None:
    rates = synthetic.spikes(30.0, 7200, 1, width_s=20.0).rates
    high = rates > 1.5 * np.median(rates)
    assert 0 < high.mean() < 0.2
    assert rates.max() == pytest.approx(3 * rates.min())


@pytest.mark.parametrize(("mean_rps", "length_s"), [(0.0, 10), (-1.0, 10), (np.nan, 10), (1.0, 0)])
def test_nonsense_is_refused(mean_rps: float, length_s: int) -> None:
    with pytest.raises(UsageError):
        synthetic.step(mean_rps, length_s)
