"""The example of driving the scaler from a foreign loop does what it says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "scaler_loop.py"


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scaler_loop", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_example_follows_its_wave(
    example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    history = example.main()
    assert len(history) == 720
    assert max(history[60:]) in (5, 6)  # 180 requests/s of 40 each
    assert min(history[60:]) in (2, 3)  # 60
    assert "within 500 ms" in capsys.readouterr().out
