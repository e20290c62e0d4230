"""Every example says only what the API knows, and a newcomer can read it."""

from __future__ import annotations

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


def test_the_examples_are_all_there() -> None:
    assert {path.stem for path in documents.EXAMPLES} >= {
        "simple", "s3", "https", "pvc", "runtime", "class", "external-hpa",
    }  # fmt: skip
