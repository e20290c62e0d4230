"""`conch report`: the leader is asked, services are added up, a table or a file comes out."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conch.cli import app
from conch.cli.report import amount, count
from conch.errors import ApiError, Forbidden, NotFound
from tests.cli.conftest import FakeCluster, Object, reach

LEASE = "/apis/coordination.k8s.io/v1/namespaces/conch-system/leases"
ANSWER = "/api/v1/namespaces/conch-system/pods/conch-7f%3A9090/proxy/debug/spending"
EVERYWHERE = "/apis/conch.dev/v1alpha1/inferenceservices"
START = 1_800_000_000.0


def service(namespace: str, name: str, team: str, cost: dict[str, Any] | None) -> Object:
    return {
        "metadata": {"namespace": namespace, "name": name, "labels": {"team": team}},
        "status": {"accelerator": "l4", **({"cost": cost} if cost else {})},
    }


class Cluster(FakeCluster):
    """Three services of two teams in two namespaces, and what the leader says."""

    def __init__(self) -> None:
        super().__init__()
        told = {"perHour": "$0.80", "power": "50W", "carbonPerHour": "24g", "estimated": True}
        self.collections = {
            EVERYWHERE: [
                service("demo", "resnet", "vision", told),
                service("demo", "bert", "text", told | {"perHour": "$2.4"}),
                service("prod", "yolo", "vision", None),
            ],
            LEASE: [{"metadata": {"name": "conch-leader"}, "spec": {"holderIdentity": "conch-7f"}}],
        }
        mine = [s for s in self.collections[EVERYWHERE] if s["metadata"]["namespace"] == "demo"]
        self.collections["/apis/conch.dev/v1alpha1/namespaces/demo/inferenceservices"] = mine
        self.answer: bytes | Exception = json.dumps(
            {
                "part_s": 900.0,
                "carbon_kind": "Average",
                "services": [
                    {"namespace": "demo", "name": "resnet", "parts": parts(0.2, 45_000, 6)},
                    {"namespace": "demo", "name": "bert", "parts": parts(0.6, 90_000, 12)},
                    {"namespace": "prod", "name": "yolo", "parts": parts(None, None, None)},
                ],
            }
        ).encode()

    async def get_raw(self, path: str, **_: str | int | bool) -> bytes:
        if path != ANSWER:
            raise NotFound(404)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def parts(dollars: float | None, joules: float | None, grams: float | None) -> list[list[Any]]:
    """Eight quarters of an hour."""
    return [[START + 900 * i, 900.0, 1000.0, dollars, joules, grams] for i in range(8)]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    reach(made, tmp_path, monkeypatch)
    return made


def rows(text: str) -> dict[str, list[str]]:
    lines = [re.split(r"  +", line.strip()) for line in text.splitlines()]
    return {line[0]: line[1:] for line in lines}


def test_a_table_by_namespace(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["report"]) == 0
    out, err = capsys.readouterr()
    assert rows(out)["demo"] == [
        "2", "$3.2", "100 W", "48 g", "$6.4", "0.3 kWh", "0.144 kg", "16,000", "$400", "67.5",
        "9,000",
    ]  # fmt: skip
    assert "modelled" in err


def test_a_label_of_every_namespace(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["report", "-A", "--by", "team"]) == 0
    out, err = capsys.readouterr()
    found = rows(out)
    assert list(found) == ["TEAM", "text", "vision", "all"]  # dearest first
    assert found["vision"][:2] == ["2", "$0.8"]
    assert found["vision"][8] == "$200"  # of the inferences whose price is known
    assert found["all"][:5] == ["3", "$3.2", "100 W", "48 g", "$6.4"]
    assert "no price is known (yet): prod/yolo." in err


def test_one_whose_spending_is_known_has_a_price(
    asked: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    asked.answer = json.dumps(
        {
            "part_s": 900.0,
            "carbon_kind": "",
            "services": [{"namespace": "prod", "name": "yolo", "parts": parts(0.1, None, None)}],
        }
    ).encode()
    assert app.run(["report", "-A"]) == 0
    out, err = capsys.readouterr()
    assert rows(out)["prod"][:5] == ["1", "-", "-", "-", "$0.8"]  # its status comes a little later
    assert "no price is known" not in err


def test_services_without_the_label(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["report", "--by", "costs-center"]) == 0
    assert rows(capsys.readouterr().out)["(none)"][0] == "2"


def test_the_last_hour_only(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["report", "--by", "service", "--hours", "1"]) == 0
    assert rows(capsys.readouterr().out)["demo/bert"][4] == "$2.4"


def test_csv_has_every_quarter_of_an_hour(asked: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "r.csv"
    assert app.run(["report", "-A", "--by", "team", "-o", str(file)]) == 0
    lines = list(csv.DictReader(file.read_text().splitlines()))
    assert len(lines) == 24
    assert lines[0] == {
        "start": "2027-01-15T08:00:00Z",
        "namespace": "demo",
        "service": "resnet",
        "class": "l4",
        "group": "vision",
        "seconds": "900",
        "inferences": "1000",
        "dollars": "0.2",
        "joules": "45000",
        "grams_co2e": "6",
        "carbon_kind": "Average",
    }
    assert lines[-1]["dollars"] == ""


def test_json(asked: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    assert app.run(["report", "-A", "-o", str(file)]) == 0
    found = json.loads(file.read_text())
    assert (found["by"], found["carbon_kind"]) == ("namespace", "Average")
    prod = found["groups"][1]
    assert (prod["group"], prod["dollars"], prod["inferences"]) == ("prod", None, 8000)


def test_the_page(asked: Cluster, tmp_path: Path) -> None:
    asked.collections[EVERYWHERE][0]["metadata"]["labels"]["team"] = "<script>&"
    file = tmp_path / "r.html"
    assert app.run(["report", "-A", "--by", "team", "-o", str(file)]) == 0
    text = file.read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;&amp;" in text
    assert text.count("<svg") == 3
    assert "http" not in text.replace("http-equiv", "")
    assert "average intensity" in text
    assert "1 of 3 services have no known price" in text
    # Eight quarters of an hour, from the first one's start to the last one's end.
    assert "2027-01-15 08:00 to 2027-01-15 10:00 UTC" in text


def test_many_groups_share_a_colour(asked: Cluster, tmp_path: Path) -> None:
    answer = json.loads(asked.answer)  # type: ignore[arg-type]
    for i in range(20):
        name = f"s{i}"
        asked.collections[EVERYWHERE].append(service("demo", name, name, {"perHour": "$1"}))
        answer["services"].append({"namespace": "demo", "name": name, "parts": parts(0.1, 1, None)})
    asked.answer = json.dumps(answer).encode()
    file = tmp_path / "r.html"
    assert app.run(["report", "-A", "--by", "service", "-o", str(file)]) == 0
    legend = re.search(r"<p class=legend>(.*?)</p>", file.read_text())
    assert legend is not None
    assert legend[1].count("<span>") == 8
    assert legend[1].endswith("others</span>")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Forbidden(403, message="no"), "can't be asked"),
        (ApiError(503, message="no endpoints"), "can't be asked"),
        (b"<html>", "answers nonsense"),
        pytest.param(b'{"x":' + 100_000 * b"[", "answers nonsense", id="deep"),
        (b'{"part_s": "x"}', "answers nonsense"),
    ],
)
def test_without_the_leader_the_status_is_shown(
    asked: Cluster, capsys: pytest.CaptureFixture[str], tmp_path: Path, answer: Any, told: str
) -> None:
    asked.answer = answer
    assert app.run(["report"]) == 0
    out, err = capsys.readouterr()
    assert rows(out)["demo"][:4] == ["2", "$3.2", "100 W", "48 g"]
    assert rows(out)["demo"][4:] == ["-"] * 7
    assert f"Only what the status says of now: the operator (conch-7f) {told}" in err
    assert app.run(["report", "-o", str(tmp_path / "r.html")]) == 0
    assert "There is no history yet." in (tmp_path / "r.html").read_text()


def test_nothing_there(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    asked.collections["/apis/conch.dev/v1alpha1/namespaces/demo/inferenceservices"] = []
    assert app.run(["report"]) == 0
    assert capsys.readouterr() == ("", "No InferenceServices in namespace demo.\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--hours", "0"], "--hours 0: give more than 0, at most 24"),
        (["--hours", "25"], "at most 24"),
        (["--hours", "nan"], "--hours nan"),
        (["-o", "report.pdf"], "give a file whose name ends in .html, .csv, .json"),
        (["-o", "/not/there/report.csv"], "can't be written"),
        (["--by", " "], "--by: give namespace"),
        (["-A", "-n", "demo"], "leave out -n, or leave out -A"),
    ],
)
def test_called_wrongly(
    asked: Cluster, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert app.run(["report", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "$0"), (0.0001, "<$0.001"), (0.01234, "$0.0123"), (12.34, "$12.3"),
     (999.6, "$1000"), (123456.7, "$123,457")],
)  # fmt: skip
def test_amounts(value: float | None, text: str) -> None:
    assert amount(value, "$") == text


@pytest.mark.slow
def test_it_needs_no_numpy() -> None:
    code = (
        "import sys, conch.cli.report_page;"
        "sys.exit(sum(m.split('.')[0] in ('numpy', 'numba') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0"), (999_999, "999,999"), (1e6, "1M"), (57_360_000, "57.4M")]
)
def test_a_count_fits_its_column(value: float, told: str) -> None:
    assert count(value) == told
