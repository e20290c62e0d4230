"""The folder ``operator/`` must not hide the standard library's module of that name."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import conch

REPOSITORY = Path(__file__).parents[1]


def test_the_folder_is_no_package() -> None:
    assert not (REPOSITORY / "operator" / "__init__.py").exists()
    assert Path(conch.__file__).parent == REPOSITORY / "operator" / "conch"


def test_the_standard_librarys_operator_is_found_from_the_repositorys_root() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.__file__, operator.add(1, 2))"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    file, three = told.stdout.split()
    assert three == "3"
    assert not Path(file).is_relative_to(REPOSITORY / "operator")


@pytest.mark.slow
def test_every_module_and_folder_opens_with_what_it_is_for() -> None:
    silent = [
        str(file.relative_to(REPOSITORY))
        for file in sorted((REPOSITORY / "operator/conch").rglob("*.py"))
        if ast.get_docstring(ast.parse(file.read_text())) is None
    ]
    assert silent == []
