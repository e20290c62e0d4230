"""The operator has 150 MiB: the twin and its compiler load with commands that simulate, only."""

import subprocess
import sys

import pytest

PROGRAM = """
import pkgutil, sys
import conch.cli.app, conch.reconcile, conch.wiring
for package in (conch.reconcile, conch.wiring):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        __import__(module.name)
print([name for name in sys.modules if name.startswith(("numba", "llvmlite", "conch.twin"))])
"""


@pytest.mark.slow
def test_the_operator_loads_neither_the_twin_nor_its_compiler() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
