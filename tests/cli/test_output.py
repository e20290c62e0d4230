"""A file appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conch.cli.output import Report
from conch.errors import UsageError


def test_nothing_is_there_before_the_end(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    with Report(target) as file:
        assert file is not None
        file.write("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert target.stat().st_mode & 0o777 == 0o666 & ~os.umask(os.umask(0o022))
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")

    def fail() -> None:
        with Report(target) as file:
            assert file is not None
            file.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "real.html", tmp_path / "link.html"
    link.symlink_to(target)
    with Report(link) as file:
        assert file is not None
        file.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("place", ["missing/report.html", "file/report.html", "."])
def test_places_where_nothing_can_be_written(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError), Report(tmp_path / place):
        pytest.fail("it must be said before the work begins")


def test_devices_are_left_alone() -> None:
    with pytest.raises(UsageError, match="plain file"), Report(Path("/dev/null")):
        pytest.fail("a device must not be replaced")


def test_without_a_path_there_is_no_file() -> None:
    with Report(None) as file:
        assert file is None
