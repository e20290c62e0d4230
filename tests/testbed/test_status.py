"""What `status` says of a cluster that this checkout knows nothing of."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.testbed import cache, layout, namespaces, status


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A namespace called `other`, of which there is no record here."""
    monkeypatch.setattr(layout, "STATE", tmp_path)
    monkeypatch.setattr(namespaces, "others", lambda _: ["other"])
    monkeypatch.setattr(cache, "is_locked", lambda _: False)
    monkeypatch.setattr(namespaces, "processes_inside", lambda _: [1, 2])


@pytest.mark.usefixtures("left")
def test_one_that_runs_is_no_leftover(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "find_holder", lambda _: 1)
    (line,) = status.lines()
    assert line.startswith("other: 2 processes of a cluster that another checkout made")


@pytest.mark.usefixtures("left")
def test_one_whose_holder_is_gone_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "find_holder", lambda _: None)
    assert status.lines() == ["other: leftovers of a run that was killed; down removes them"]
