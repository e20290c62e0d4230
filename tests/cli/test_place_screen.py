"""How `conch place` and the classes of `conch why` look."""

from __future__ import annotations

import pytest
from rich.console import Console, RenderableType

from conch.cli.place import Answer, ClassAnswer
from conch.cli.place_screen import class_table, text

_PLAIN = ClassAnswer("l4", "chosen", "1 node", 0.8, None)


def _printed(screen: RenderableType) -> str:
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(screen)
    return capture.get()


def _shown(*classes: ClassAnswer) -> str:
    return _printed(class_table(classes))


@pytest.mark.parametrize(
    ("current", "said"),
    [
        ("", "demo/x would go to l4: 2 replicas"),
        ("l4", "demo/x stays on l4: 2 replicas"),
        ("t4", "demo/x would move from t4 to l4: 2 replicas"),
    ],
)
def test_a_service_that_is_there_stays_or_moves(current: str, said: str) -> None:
    found = Answer(
        "demo", "x", bool(current), 2, "l4", "Scheduled", "", 0, None, (), (), (), (),
        current=current,
    )  # fmt: skip
    assert _printed(text(found)).startswith(said)


def test_it_is_told_with_its_source() -> None:
    text = _shown(
        ClassAnswer("l4", "chosen", "1 node", 0.8, None, 60.0),
        ClassAnswer("t4", "fits", "1 node", 0.5, None, 31.25, True),
        ClassAnswer("a100", "full", "1 node", 3.4, None),
    )
    assert "A REPLICA CARRIES" in text
    assert "60/s learned" in text
    assert "31.2/s estimated" in text


def test_without_any_there_is_no_column() -> None:
    assert "CARRIES" not in _shown(_PLAIN)
