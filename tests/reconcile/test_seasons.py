"""The days that outlive the operator: whose they are, when they are written, and who is doubted."""

from conch.autoscale.season import Season
from conch.observe.types import Key
from conch.reconcile.seasons import PREFIX, Seasons

KEY = Key("ns", "a")
HOUR_S = 3600.0
HORIZON_S = 45.0


def morning(high: float = 5.0, hours: float = 6.0) -> Season:
    """A day so far, with a rise at three o'clock."""
    season = Season()
    for at_s in range(0, int(hours * HOUR_S), 60):
        season = season.after(at_s, high if at_s >= 3 * HOUR_S else 1.0, HORIZON_S)
    return season


def learned(season: Season, at: float = HOUR_S) -> Seasons:
    made = Seasons()
    made.learn(KEY, season, at - HOUR_S)
    assert made.learn(KEY, season, at)
    return made


def test_a_restart_remembers_by_the_services_name() -> None:
    fresh = Seasons()
    for entry, known in learned(morning()).entries().items():
        assert entry.startswith(PREFIX)
        fresh.load(entry, known.text())
    assert fresh.begin(KEY).today == morning().today
    assert fresh.begin(Key("ns", "b")) == Season()
    assert fresh.begin(Key("other", "a")) == Season()


def test_it_is_looked_at_once_an_hour_and_written_when_it_is_news() -> None:
    made = Seasons()
    assert not made.learn(KEY, morning(), 0)
    assert not made.learn(KEY, morning(), HOUR_S - 1)
    assert made.learn(KEY, morning(), HOUR_S)
    assert not made.learn(KEY, morning(hours=7), HOUR_S + 60)
    assert made.learn(KEY, morning(hours=7), 2 * HOUR_S)
    assert not made.learn(KEY, morning(hours=7), 3 * HOUR_S)


def test_nobody_asked_anything_is_no_news() -> None:
    made = Seasons()
    for hour in range(5):
        assert not made.learn(KEY, Season(), hour * HOUR_S)


def test_a_clock_that_goes_back_does_not_silence_it() -> None:
    made = learned(morning(), at=10 * HOUR_S)
    assert made.learn(KEY, morning(high=20), 2 * HOUR_S)


def test_a_doubted_one_is_neither_used_nor_renewed() -> None:
    made = learned(morning())
    made.doubt(KEY)
    assert made.begin(KEY) == Season()
    assert not made.learn(KEY, morning(high=20), 9 * HOUR_S)


def test_only_what_was_kept_stays() -> None:
    made = learned(morning())
    made.only(())
    assert made.begin(KEY) == Season()
