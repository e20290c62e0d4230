import threading
from pathlib import Path

import pytest

from e2e.testbed import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_entry_is_built_once() -> None:
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "file").write_text("x")

    first, second = cache.entry("thing-1", build), cache.entry("thing-1", build)
    assert first == second == cache.root() / "thing-1"
    assert (first / "file").read_text() == "x"
    assert len(built) == 1


def test_a_failed_build_leaves_nothing_and_the_next_one_works(own_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cache.entry("thing-1", fail)
    assert [path.name for path in own_cache.iterdir()] == ["locks"]
    assert list(cache.entry("thing-1", lambda folder: None).iterdir()) == []


def test_what_a_killed_build_left_is_removed(own_cache: Path) -> None:
    leftover = own_cache / ".thing-1.abcdef"
    leftover.mkdir(parents=True)
    cache.entry("thing-1", lambda folder: None)
    assert not leftover.exists()


def test_two_at_once_build_once() -> None:
    entered, release, built = threading.Event(), threading.Event(), []

    def build(folder: Path) -> None:
        built.append(folder)
        entered.set()
        assert release.wait(10)

    threads = [threading.Thread(target=cache.entry, args=("thing-1", build)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    release.set()
    for thread in threads:
        thread.join(10)
    assert len(built) == 1


def test_entries_are_listed_with_their_sizes() -> None:
    def build(folder: Path) -> None:
        (folder / "f").write_bytes(b"12345")

    cache.entry("b-1", build)
    cache.entry("a-1", lambda folder: None)
    assert cache.entries() == [("a-1", 0), ("b-1", 5)]


def test_a_lock_is_seen_while_it_is_held(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    assert not cache.is_locked(lock)
    with cache.locked(lock):
        assert cache.is_locked(lock)
    assert not cache.is_locked(lock)
