"""The fake against answers of the real Triton 24.10, name by name and key by key."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from conch.triton import configuration, metrics, statistics
from e2e.fleet import exposition
from e2e.fleet.counters import Counters
from e2e.fleet.load import Load

REAL = Path(__file__).parents[1] / "triton" / "data"
SERIES = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


def busy() -> Counters:
    counters = Counters()
    for rate_per_s in (10, 30, 60):
        counters.advance(Load(rate_per_s=rate_per_s), 5, wall_ms=1_795_346_725_463)
    return counters


def headers(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.startswith("#")}


def series(text: str) -> set[tuple[str, str]]:
    """Name and labels of every series; a line that is not one fails."""
    found = set()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = SERIES.match(line)
            assert match, line
            found.add((match[1], match[2] or ""))
    return found


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_metrics_have_the_real_names_types_help_and_labels(state: str) -> None:
    real = (REAL / f"24.10-{state}.metrics.txt").read_text()
    fake = exposition.metrics({"resnet": busy() if state == "busy" else Counters()})
    assert headers(fake) == headers(real)
    assert series(fake) == series(real)
    assert ("Nan" in fake) == ("Nan" in real)


def shape(value: Any) -> Any:
    """Keys and types; of a list, those of its first item."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_statistics_have_the_real_keys_and_types(state: str) -> None:
    real = json.loads((REAL / f"24.10-{state}.stats.json").read_text())
    fake = json.loads(exposition.statistics({"resnet": busy() if state == "busy" else Counters()}))
    assert shape(fake) == shape(real)


def test_a_configuration_has_the_real_keys_and_types() -> None:
    real = json.loads((REAL / "24.10-batching.config.json").read_text())
    fake = json.loads(exposition.configuration("resnet", Load()))
    assert shape({**fake, "parameters": 0}) == shape({**real, "parameters": 0})  # the model's own


def test_the_operator_reads_what_the_fake_is_told_to_run() -> None:
    found = configuration.parse(exposition.configuration("resnet", Load(max_batch=8, instances=2)))
    assert found == configuration.ModelConfig(max_batch=8, instances=2, queue_delay_s=0.0)


def test_the_operator_reads_what_the_fake_counted() -> None:
    counters = busy()
    read = metrics.parse(exposition.metrics({"resnet": counters}), ["resnet"], 99)["resnet"]
    assert read.success == int(counters.succeeded)
    assert read.pending == int(counters.pending)
    assert read.request_s == pytest.approx(counters.request_us / 1e6)
    batches = statistics.parse(exposition.statistics({"resnet": counters}), ["resnet"])["resnet"]
    assert len(batches) == 3


@pytest.mark.parametrize("instead", ["Nan", "+Inf"])
def test_what_is_no_number_spoils_every_value_of_a_model(instead: str) -> None:
    text = exposition.metrics({"resnet": busy()}, instead=instead)
    values = {line.split()[-1] for line in text.splitlines() if 'model="resnet"' in line}
    assert values == {instead}
