import pytest

from conch.autoscale.correction import FACTORS, Correction
from conch.autoscale.fleet import Fleet

FLEET = Fleet(0.8, True, 1.0, 0.01, reject=True)
REPLICAS = 4
FULL = FLEET.carries(REPLICAS)  # demand at which a hundredth is late, or less


def watched(
    minutes: float,
    truth: float = 1.0,
    load: float = 1.0,
    start: Correction | None = None,
) -> Correction:
    """A fleet at ``load`` of what it should carry, whose demand is ``truth`` times what it is taken
    for."""
    found = start or Correction()
    for _ in range(int(minutes * 12)):
        late = 500 * FLEET.late_share(load * FULL * truth, REPLICAS)
        expected = [FLEET.late_share(load * FULL * factor, REPLICAS) for factor in FACTORS]
        found = found.after(5.0, 500.0, late, expected)
    return found


def test_a_model_is_believed_until_something_speaks_against_it() -> None:
    assert Correction().factor == pytest.approx(1.0, abs=0.01)
    assert watched(60).factor == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("truth", [1.1, 1.3])
def test_replicas_that_carry_less_are_found_out_within_minutes(truth: float) -> None:
    assert watched(5, truth).factor == pytest.approx(truth, abs=0.04)


def test_replicas_that_carry_more_are_found_out_slowly_and_up_to_a_limit() -> None:
    assert watched(2, 0.9).factor > 0.95
    assert FACTORS[0] <= watched(60, 0.5).factor < 0.96


def test_a_fleet_with_room_to_spare_teaches_nothing() -> None:
    assert watched(60, 1.1, load=0.6).factor == pytest.approx(Correction().factor, abs=0.01)


def test_lateness_beyond_what_any_factor_explains_is_no_sign_of_one() -> None:
    found = Correction()
    for _ in range(12):  # a flood, and the model knows of it
        expected = [FLEET.late_share(3 * FULL * factor, REPLICAS) for factor in FACTORS]
        found = found.after(5.0, 500.0, 400.0, expected)
    lucky = watched(1, 1.5)
    assert found.factor < lucky.factor


def test_it_is_forgotten_when_nothing_confirms_it() -> None:
    before = watched(10, 1.2)
    after = watched(120, load=0.6, start=before)
    assert after.factor < 1.1 < before.factor
