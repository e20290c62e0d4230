"""The text of a service's days: size, how true it is, when it is news, and nonsense."""

import json
from dataclasses import replace
from random import Random

import pytest

from conch.autoscale.season import PER_DAY, Season
from conch.autoscale.season_text import Remembered, begun, is_news, read

from .test_season import FLAT, HORIZON_S, Days, surge


def kept(season: Season) -> Remembered:
    return read(Remembered("ns/a", 1_795_392_000, season).text())


def taught(*, days: int = 2) -> Days:
    found = Days()
    for _ in range(days):
        found.live(surge())
    return found


def test_what_is_read_foretells_the_same() -> None:
    days = taught()
    fresh = Days(season=begun(kept(days.season).season), number=days.number)
    known, read_again = days.live(surge()), fresh.live(surge())
    assert [at_s for at_s, _ in known] == [at_s for at_s, _ in read_again]
    assert read_again[0][1].level == pytest.approx(known[0][1].level, rel=0.1)
    assert fresh.season.came == days.season.came


def test_reading_and_writing_again_changes_nothing() -> None:
    once = kept(taught().season)
    assert read(once.text()) == once


def test_today_goes_on_after_a_restart_at_noon() -> None:
    days = Days()
    days.live(surge())
    fresh = Days(season=begun(kept(days.season).season), number=days.number)
    assert fresh.live(surge())


def test_a_service_takes_a_few_hundred_bytes() -> None:
    assert len(Remembered("ns/a", 1_795_392_000, taught().season).text()) < 300
    random = Random(1)
    noise = [bytes(random.choices(range(60, 90), k=PER_DAY)) for _ in range(3)]
    found = Remembered(
        "ns/a", 0, replace(Season(), today=noise[0]).with_days((noise[1],), (noise[2],))
    )
    assert len(found.text()) < 800
    # However odd a day, and however often nobody looked.
    holes = bytes(code if random.random() < 0.5 else 0 for code in noise[0])
    found = Remembered("ns/a", 0, replace(Season(), today=holes).with_days((holes,), (holes,)))
    assert len(found.text()) < 800


def test_what_is_alike_is_kept_as_it_is_and_a_rise_stays_where_it_was() -> None:
    row = bytes([60] * 270 + [93] * 300 + [0] * 150)
    assert kept(Season(today=row)).season.today == row
    random = Random(2)
    rough = bytes(code + random.randint(-3, 3) if code else 0 for code in row)
    found = kept(Season(today=rough)).season.today
    assert all(abs(a - b) <= 8 for a, b in zip(rough, found, strict=True))
    assert max(found[:270]) < 70 < min(found[270:570])


def test_the_same_day_again_is_no_news() -> None:
    days = taught()
    known = days.season
    assert is_news(None, known)
    assert not is_news(known, known)
    days.live(surge(), until_s=10 * 3600)
    assert not is_news(known, days.season)


@pytest.mark.parametrize(("day", "news"), [(surge(1.0), True), (surge(5.3), False)])
def test_another_day_is_news(day: object, news: bool) -> None:
    days = taught()
    known = days.season
    days.live(day)  # type: ignore[arg-type]
    assert is_news(known, days.season) is news


def test_an_hour_of_the_first_day_is_news_once() -> None:
    days = Days()
    days.live(FLAT, until_s=9 * 3600)
    known = days.season
    assert is_news(None, known)
    assert not is_news(known, known)
    assert is_news(known, known.after(9.5 * 3600, 1.0, HORIZON_S).after(9.6 * 3600, 1.0, HORIZON_S))


def test_nothing_seen_is_no_news() -> None:
    assert not is_news(None, Season())


def good(**change: object) -> str:
    found = json.loads(Remembered("ns/a", 0, taught().season).text())
    return json.dumps({**found, **change})


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "{}", "[]", good(today="x"), good(today=""), good(today="AAAA"), good(slot=5040),
        good(today="A" * 600), good(slot=-1), good(days=[4, 0]), good(days=[-1, 0]), good(more=1),
        good(calls=[-1, 0]), good(calls=[1e9, 0]), good(usual=["", ""]), good(at=-1),
        good(service="s" * 600), "9" * 100_000, "[" * 100_000,
    ],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read(text)
    assert read(good()).service == "ns/a"
