"""Every example says only what the API knows, and a newcomer can read it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.api import documents


@pytest.mark.parametrize("path", documents.EXAMPLES, ids=lambda path: path.name)
def test_nothing_in_an_example_is_ignored(path: Path) -> None:
    found = documents.examples(path)
    assert found
    for document in found:
        parsed = documents.BY_NAME[document["kind"]].model.model_validate(document)
        assert parsed.spec.model_dump(by_alias=True, exclude_unset=True) == document["spec"]


@pytest.mark.parametrize("path", documents.EXAMPLES, ids=lambda path: path.name)
def test_examples_open_with_a_comment_and_fit_a_screen(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 110


def test_the_examples_are_all_there_and_listed() -> None:
    folder = documents.EXAMPLES[0].parent
    listed = set(re.findall(r"\]\(([\w-]+\.(?:yaml|py))\)", (folder / "README.md").read_text()))
    assert listed == {path.name for path in (*documents.EXAMPLES, *folder.glob("*.py"))}
    assert len(listed) >= 12


def test_no_example_changes_what_another_has_made() -> None:
    made = [
        (document["kind"], document["metadata"]["name"])
        for path in documents.EXAMPLES
        for document in documents.examples(path)
    ]
    assert sorted(made) == sorted(set(made))
