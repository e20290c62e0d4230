"""Which picture is newer, and what is gone."""

from __future__ import annotations

from typing import Any

import pytest

from conch.observe.versions import FOREVER, Graves, Newest, same, version


def picture(version: str, uid: str = "u", name: str = "a") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": version}}


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("12345678901", 12345678901), ("x", 0)])
def test_a_version_is_a_number_or_the_oldest_there_is(text: str, number: int) -> None:
    assert version(picture(text)) == number


def test_namesakes_are_not_the_same() -> None:
    assert same(picture("1"), picture("2"))
    assert not same(picture("1"), picture("1", uid="v"))


def test_what_is_gone_stays_gone_up_to_the_version_that_was_buried() -> None:
    graves = Graves()
    graves.bury("u", 7)
    graves.bury("u", 5)
    assert graves.holds(picture("7"))
    assert not graves.holds(picture("8"))
    assert not graves.holds(picture("7", uid="v"))
    graves.bury("u", FOREVER)
    assert graves.holds(picture("8"))


def test_the_memory_of_what_is_gone_is_bounded_and_the_oldest_goes() -> None:
    graves = Graves()
    for number in range(5000):
        graves.bury(f"u{number}", FOREVER)
    assert len(graves) == 4096
    assert graves.holds(picture("1", uid="u4999"))
    assert not graves.holds(picture("1", uid="u0"))


def test_only_the_newest_of_a_name_is_taken() -> None:
    newest = Newest()
    assert newest.take("A", picture("5"))
    assert newest.take("A", picture("5"))
    assert not newest.take("A", picture("4"))
    assert newest.take("B", picture("4"))
    assert newest.take("A", picture("4", name="b"))
