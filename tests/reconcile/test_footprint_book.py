"""What is remembered of GPU memory: its text, its bounds, what is news, and hostile content."""

from __future__ import annotations

import pytest

from conch.observe.state import ClusterState
from conch.reconcile import footprint_book as module
from conch.reconcile.footprint_book import PREFIX, FootprintBook, Known, read
from conch.reconcile.memory import Memory

GI = 1024**3
ENTRY = f"{PREFIX}x"


@pytest.fixture
def book() -> FootprintBook:
    return FootprintBook()


def test_a_text_is_read_as_it_was_written() -> None:
    known = Known("team/m: m", 1000, "files", 5 * GI)
    assert read(known.text()) == known


def test_only_changes_are_news(book: FootprintBook) -> None:
    for size, news in ((GI, True), (GI, False), (2 * GI, True)):
        book.learn_files(ENTRY, "m", size)
        assert book.is_news() is news
        assert book.files(ENTRY) == size
    for used, news in ((100, True), (104, False), (96, False), (90, False), (120, True)):
        book.learn_used(f"{PREFIX}y", "m", used)
        assert book.is_news() is news
    assert book.used(f"{PREFIX}y") == 120


def test_sizes_and_uses_are_not_taken_for_each_other(book: FootprintBook) -> None:
    book.learn_files(ENTRY, "m", GI)
    assert book.used(ENTRY) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"of":"a","at":1,"kind":"used","bytes":0}',
        '{"of":"a","at":1,"kind":"used","bytes":1e30}',
        '{"of":"a","at":1,"kind":"other","bytes":5}',
        '{"of":"a","at":-1,"kind":"used","bytes":5}',
        '{"of":"a","at":1,"kind":"used","bytes":5,"more":1}',
        '{"of":"' + "a" * 600 + '","at":1,"kind":"used","bytes":5}',
    ],
)
def test_nonsense_is_not_remembered(
    text: str, book: FootprintBook, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)
    Memory(ClusterState(), {}, book).load({ENTRY: text})
    assert not book.entries()
    assert "1 entries cannot be read" in caplog.text


def test_what_is_loaded_is_believed_and_no_news(book: FootprintBook) -> None:
    book.load(ENTRY, Known("m", 1000, "used", 5 * GI).text())
    assert book.used(ENTRY) == 5 * GI
    assert not book.is_news()
    book.learn_used(ENTRY, "m", 4 * GI)
    assert book.used(ENTRY) == 5 * GI, "slow to fall"


def test_it_is_bounded(book: FootprintBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_ENTRIES", 5)
    for number in range(30):
        book.learn_used(f"{PREFIX}{number}", "m", GI)
        assert len(book.entries()) <= 10
    assert f"{PREFIX}29" in book.entries()
    gone = [n for n in range(30) if f"{PREFIX}{n}" not in book.entries()]
    assert gone
    assert all(book.used(f"{PREFIX}{n}") is None for n in gone)


def test_what_the_config_map_has_no_room_for_is_forgotten(
    book: FootprintBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        book.load(f"{PREFIX}{number}", Known("m", 1000 + number, "used", GI).text())
    monkeypatch.setattr("conch.reconcile.memory._MOST_ENTRIES", 2)
    assert set(Memory(ClusterState(), {}, book).data()) == {f"{PREFIX}4", f"{PREFIX}3"}
    assert set(book.entries()) == {f"{PREFIX}4", f"{PREFIX}3"}
