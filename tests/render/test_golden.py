"""Rendered objects, whole, as files a person can read and a review can compare.

``CONCH_UPDATE_GOLDEN=1 pytest tests/render`` rewrites them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.render.cases import CASES, Case

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_renders_as_reviewed(case: Case) -> None:
    path = GOLDEN / f"{case.name}.yaml"
    if os.environ.get("CONCH_UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump_all(case.render(), sort_keys=False, width=100))
    assert list(yaml.safe_load_all(path.read_text())) == case.render()


def test_every_golden_file_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == {case.name for case in CASES}
