"""The troubleshooting page: complete, and as it is committed."""

from __future__ import annotations

from pathlib import Path

from conch.api.conditions import Reason
from conch.cli import generate, troubleshooting

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"


def test_the_page_is_in_step() -> None:
    assert PAGE.read_text() == troubleshooting.page()
    assert generate.files()["docs/troubleshooting.md"] == troubleshooting.page()


def test_every_reason_has_one_row() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [reason.value for reason in Reason]
    assert all(row.count(" | ") == 2 for row in rows)
