"""`conch simulate` as a shell sees it: numbers, a page, one sentence for what can't be."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from conch.autoscale.curve import Curve
from conch.cli import app, from_cluster
from conch.cli.from_cluster import Learned
from conch.cli.simulate import MISSING, parse
from conch.triton.sample import BatchStat

pytestmark = pytest.mark.simulation

Run = Callable[..., tuple[int, str, str]]

SERVICE: dict[str, Any] = {
    "apiVersion": "conch.dev/v1alpha1",
    "kind": "InferenceService",
    "metadata": {"name": "resnet"},
    "spec": {
        "models": [
            {"name": "resnet", "source": {"uri": "pvc://m/resnet"}, "config": {"maxBatchSize": 4}}
        ],
        "objectives": {"latency": {"target": "400ms"}},
        "scaling": {"minReplicas": 1, "maxReplicas": 6},
    },
}
GIVEN = ("--cold-start", "10s", "--service-time", "40ms+20ms*b")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs ``conch simulate`` in a folder with a service and a trace of 2 minutes at 20/s."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["conch"])
    monkeypatch.setenv("COLUMNS", "140")
    Path("service.yaml").write_text(yaml.safe_dump(SERVICE))
    Path("trace.txt").write_text("20\n" * 120)

    def call(*arguments: str, trace: str = "trace.txt", given: Any = GIVEN) -> tuple[int, str, str]:
        words = ("simulate", *(() if arguments[:1] == ("-",) else ("service.yaml",)))
        rest = arguments[1:] if arguments[:1] == ("-",) else arguments
        code = app.run([*words, "--trace", trace, *given, *rest])
        output = capsys.readouterr()
        return code, output.out, output.err

    return call


def refused(result: tuple[int, str, str], *said: str) -> None:
    """One sentence, exit code 2, nothing else."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("conch: ")
    assert err.count("\n") == 1
    for words in said:
        assert words in err


def test_a_table(run: Run) -> None:
    code, out, _ = run("--price", "0.5 EUR", "--compare", "keda,static@3")
    assert code == 0
    first, heads, *rows = out.splitlines()
    assert first.startswith("resnet: 99 % within 400 ms; trace: 2 min, 20 requests/s")
    assert heads.split()[:3] == ["SCALER", "LATE", "P99"]
    assert [row.split()[0] for row in rows] == ["conch", "keda", "static"]
    assert all(re.search(r" 0\.0[1-9] EUR ", row) for row in rows)


def test_json(run: Run) -> None:
    code, out, _ = run("--json", "--compare", "static@3", "--price", "2", "--seed", "7")
    found = json.loads(out)
    assert code == 0
    assert found["scenario"]["seed"] == 7
    assert found["service"]["service_s"] == pytest.approx([0.06, 0.08, 0.1, 0.12])
    conch, static = found["runs"]
    assert (conch["scaler"], static["scaler"]) == ("conch", "static 3")
    assert conch["requests"] == static["requests"] == found["trace"]["requests"]
    # Three replicas for 120 s, two of them asked for at the first look, after a minute.
    assert 0.04 < static["replica_hours"] <= 0.1
    assert static["cost"] == pytest.approx(2 * static["replica_hours"])
    assert (static["over_oracle"], found["notes"]) == (None, [])


def test_the_same_seed_gives_the_same_numbers(run: Run) -> None:
    same = [run("--json", "--compare", "none", "--seed", seed)[1] for seed in ("1", "1", "2")]
    assert same[0] == same[1] != same[2]


def test_the_oracle_costs_least(run: Run) -> None:
    _, out, _ = run("--json", "--compare", "oracle")
    conch, oracle = json.loads(out)["runs"]
    assert oracle["late_share"] <= 0.01
    assert oracle["over_oracle"] == 1
    assert conch["over_oracle"] == pytest.approx(conch["replica_hours"] / oracle["replica_hours"])


def test_a_page(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("--compare", "keda", "-o", "report.html")
    assert code == 0
    assert "conch" in out  # the table, too
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "resnet on trace" in page
    assert {f.name for f in tmp_path.iterdir()} == {"service.yaml", "trace.txt", "report.html"}


def test_no_requests_at_all(run: Run) -> None:
    Path("quiet.txt").write_text("0\n" * 90)
    code, out, _ = run("--json", "--compare", "keda", trace="quiet.txt")
    found = json.loads(out)
    assert code == 0
    assert [(r["requests"], r["late_share"], r["p99_s"]) for r in found["runs"]] == [
        (0, 0, None)
    ] * 2


# --- what can't be simulated ----------------------------------------------------------------------

TRACES = {
    "empty": ("", "is empty"),
    "unsorted": ("time,rate\n0,1\n2,1\n1,1\n", "line 4", "sort"),
    "negative": ("5\n-1\n", "line 2", "-1"),
    "gapped": ("time,rate\n0,1\n1,1\n5,1\n", "line 4", "every step"),
    "gigantic": ("1e12\n" * 10, "more than 50,000,000"),
    "words": ("5\nmany\n", "line 2", "'many'"),
    "infinite": ("1e999\n", "finite"),
    "binary": ("\x00\x01\x02", "number"),
    "endless": ("time,rate\n0,1\n1000000,1\n2000000,1\n", "lasts 35 days", "cut it to 31"),
}


@pytest.mark.parametrize("name", TRACES)
def test_bad_traces(run: Run, tmp_path: Path, name: str) -> None:
    text, *said = TRACES[name]
    Path("bad.csv").write_text(text)
    Path("report.html").write_text("old")
    refused(run("-o", "report.html", trace="bad.csv"), *said)
    assert Path("report.html").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 4  # no half-written file


def test_no_trace(run: Run) -> None:
    refused(run(trace="missing.csv"), "missing.csv")


@pytest.mark.parametrize("value", ["0s", "-5s", "soon", "40", "40s,", "40s,-1s", "40s,0s"])
def test_bad_cold_starts(run: Run, value: str) -> None:
    given = ("--cold-start", value, "--service-time", "60ms")
    refused(run(given=given), "--cold-start", "such as 40s")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--compare", "kedda"), "no scaler is called 'kedda': choose from conch, keda, hpa"),
        (("--compare", "keda@"), None),
        (("--compare", "keda@many"), "must be a number"),
        (("--compare", "keda@-1"), "more than zero"),
        (("--compare", "conch@3"), "no set point"),
        (("--compare", "oracle+reject"), "the oracle takes"),
        (("--scale", "0"), "--scale 0"),
        (("--scale", "nan"), "--scale nan"),
        (("--noise", "-1"), "--noise -1"),
        (("--seed", "-1"), "--seed -1"),
        (("--seed", "9" * 30), "give 0 to 999,999,999"),
        (("--routing", "best"), "least, random, connections"),
        (("--max-batch", "0"), "--max-batch 0"),
        (("--model", "other"), "no model other: it has resnet"),
        (("--price", "cheap"), "--price cheap"),
        (("-o", "missing/report.html"), "missing/report.html can't be written"),
        (("-o", "."), "not a plain file"),
    ],
)
def test_bad_options(run: Run, arguments: tuple[str, ...], said: str | None) -> None:
    if said is None:  # an empty set point is none
        assert run(*arguments)[0] == 0
    else:
        refused(run(*arguments), said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--cold-start", "10s"), "--service-time is needed"),
        (("--service-time", "60ms"), "--cold-start is needed"),
    ],
)
def test_what_nobody_knows(run: Run, given: tuple[str, ...], said: str) -> None:
    refused(run(given=given), said, "--from-cluster")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no InferenceService"),
        ("kind: Pod\n", "no InferenceService"),
        ("a: [1\n", "line 2 is not YAML"),
        (yaml.safe_dump_all([SERVICE, SERVICE]), "2 InferenceServices"),
        (yaml.safe_dump({**SERVICE, "spec": {}}), "spec.models: "),
        ("\x00", "not YAML"),
    ],
)
def test_bad_services(run: Run, text: str, said: str) -> None:
    Path("service.yaml").write_text(text)
    refused(run(), "service.yaml", said)


def test_no_service(run: Run) -> None:
    refused(run("-", "missing.yaml"), "missing.yaml can't be read: No such file")


def test_several_models_need_a_choice(run: Run) -> None:
    spec = SERVICE["spec"]
    models = [*spec["models"], {**spec["models"][0], "name": "bert"}]
    Path("service.yaml").write_text(yaml.safe_dump({**SERVICE, "spec": {**spec, "models": models}}))
    refused(run(), "choose one with --model resnet")
    code, out, _ = run("--model", "bert", "--compare", "none")
    assert code == 0
    assert "Note: Only model bert" in out


def test_without_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    refused(run(), MISSING, "pip install '.[twin]'")


# --- what a reader must know ----------------------------------------------------------------------


def test_a_target_that_nothing_can_keep(run: Run) -> None:
    code, out, _ = run(
        "--compare", "none", given=("--cold-start", "10s", "--service-time", "500ms")
    )
    assert code == 0
    assert "Note: One request alone takes 500 ms, the target is 400 ms" in out


def test_a_service_in_another_mode(run: Run) -> None:
    scaling = {"mode": "Fixed", "replicas": 3, "maxReplicas": 4}
    spec = {**SERVICE["spec"], "scaling": scaling}
    Path("service.yaml").write_text(yaml.safe_dump({**SERVICE, "spec": spec}))
    assert "has mode Fixed; simulated as if it were Latency" in run("--compare", "none")[1]


def test_a_limit_that_binds(run: Run) -> None:
    spec = {**SERVICE["spec"], "scaling": {"maxReplicas": 1}}
    Path("service.yaml").write_text(yaml.safe_dump({**SERVICE, "spec": spec}))
    Path("heavy.txt").write_text("60\n" * 120)
    assert "Note: maxReplicas 1 was reached" in run("--compare", "none", trace="heavy.txt")[1]


# --- from a cluster -------------------------------------------------------------------------------


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the cluster answers; ``asked`` holds what it was asked."""
    curve = Curve().learned({1: BatchStat(500, 30.0), 2: BatchStat(500, 40.0)}, 0.0)
    held: dict[str, Any] = {"value": Learned(parse(SERVICE, "test"), curve, 2, 1, (25.0,))}

    def answer(*arguments: Any) -> Learned:
        held["asked"] = arguments
        found: Learned = held["value"]
        return found

    monkeypatch.setattr(from_cluster, "learn", answer)
    return held


def test_the_running_service_knows(run: Run, learned: dict[str, Any]) -> None:
    value = learned["value"]
    models = [{**SERVICE["spec"]["models"][0], "config": {}}]
    unlimited = parse({**SERVICE, "spec": {**SERVICE["spec"], "models": models}}, "test")
    learned["value"] = dataclasses.replace(value, service=unlimited)
    code, out, _ = run(
        "-", "resnet", "--from-cluster", "--json", "--compare", "none", "-n", "demo", given=()
    )
    found = json.loads(out)
    assert code == 0
    assert learned["asked"][:2] == ("resnet", "demo")
    assert found["service"]["service_s"] == pytest.approx([0.06, 0.08], rel=0.02)
    assert found["scenario"]["cold_start_s"] == 25.0


def test_what_is_given_counts_more(run: Run, learned: dict[str, Any]) -> None:
    _, out, _ = run("--from-cluster", "--json", "--compare", "none")
    found = json.loads(out)
    assert learned["asked"][0] == "resnet"  # the file's own name
    assert found["service"]["service_s"] == pytest.approx([0.06, 0.08, 0.1, 0.12])
    assert found["scenario"]["cold_start_s"] == 10.0


def test_starts_as_they_were_measured(run: Run, learned: dict[str, Any]) -> None:
    learned["value"] = dataclasses.replace(learned["value"], cold_starts_s=(20.0, 30.0, 150.0))
    _, out, _ = run("-", "resnet", "--from-cluster", "--json", "--compare", "none", given=())
    scenario = json.loads(out)["scenario"]
    assert (scenario["cold_start_s"], scenario["cold_starts_s"]) == (30.0, [20.0, 30.0, 150.0])


def test_the_price_of_its_accelerators(run: Run, learned: dict[str, Any]) -> None:
    learned["value"] = dataclasses.replace(learned["value"], price_per_h=6.0)
    arguments = ("--from-cluster", "--json", "--compare", "none")
    (found,) = json.loads(run(*arguments)[1])["runs"]
    assert found["cost"] == pytest.approx(6 * found["replica_hours"])
    (found,) = json.loads(run(*arguments, "--price", "1")[1])["runs"]
    assert found["cost"] == pytest.approx(found["replica_hours"])


def test_a_service_that_knows_nothing_yet(run: Run, learned: dict[str, Any]) -> None:
    learned["value"] = dataclasses.replace(learned["value"], curve=Curve(), cold_starts_s=())
    refused(run("--from-cluster", given=("--cold-start", "10s")), "give --service-time")
    refused(run("--from-cluster", given=("--service-time", "60ms")), "give --cold-start")
