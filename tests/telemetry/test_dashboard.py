"""The dashboard: queries that Prometheus understands, of metrics that exist, laid out whole."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from conch.telemetry import dashboard
from tests.telemetry.names import SERIES, names_what_there_is

MODEL: dict[str, Any] = json.loads(dashboard.model())
QUERIES = [q for panels in dashboard.ROWS.values() for panel in panels for q in panel.queries]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.expr[:60])
def test_a_query_names_what_there_is(query: dashboard.Query) -> None:
    grouped = names_what_there_is(query.expr)
    (name, *_) = re.findall(r"\b(conch_\w+)", query.expr)
    assert grouped - {"le", "namespace"} <= SERIES[name][0]
    assert set(re.findall(r"{{(\w+)}}", query.legend)) <= grouped


def test_variables_are_of_a_series_that_every_service_has() -> None:
    for variable in MODEL["templating"]["list"][1:]:
        assert variable["name"] in SERIES["conch_service_replicas_wanted"][0]
        assert variable["query"].startswith("label_values(conch_service_replicas_wanted")


def test_prometheus_understands_every_query(promtool: Path, tmp_path: Path) -> None:
    rules = [
        {"record": f"q{i}", "expr": query.expr.replace("$__rate_interval", "5m")}
        for i, query in enumerate(QUERIES)
    ]
    (tmp_path / "q.yaml").write_text(yaml.safe_dump({"groups": [{"name": "q", "rules": rules}]}))
    command = [str(promtool), "check", "rules", str(tmp_path / "q.yaml")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_panels_lie_side_by_side_and_fill_their_rows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in MODEL["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken
        taken |= cells
    height = 1 + max(y for _, y in taken)
    assert len(taken) == 24 * height
    assert len({panel["id"] for panel in MODEL["panels"]}) == len(MODEL["panels"])
