"""What a replica carries on each class, in `conch place` and `conch why`."""

from __future__ import annotations

from rich.console import Console

from conch.cli.place import ClassAnswer, class_table

_PLAIN = ClassAnswer("l4", "chosen", "1 node", 0.8, None)


def _shown(*classes: ClassAnswer) -> str:
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(class_table(classes))
    return capture.get()


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
