"""`conch trace`: the operator's leader is asked through the API server, a trace file comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conch.cli import app
from conch.errors import ApiError, Forbidden, NotFound
from conch.twin import traces
from tests.cli.conftest import FakeCluster, reach

LEASE = "/apis/coordination.k8s.io/v1/namespaces/conch-system/leases"
ANSWER = "/api/v1/namespaces/conch-system/pods/conch-7f%3A9090/proxy/debug/arrivals/demo/resnet"


class Cluster(FakeCluster):
    """With bodies by path; an exception is raised."""

    def __init__(self, other: FakeCluster) -> None:
        super().__init__()
        self.collections = dict(other.collections)
        self.bodies: dict[str, bytes | Exception] = {}

    async def get_raw(self, path: str, **_: str | int | bool) -> bytes:
        body = self.bodies.get(path, NotFound(404))
        if isinstance(body, Exception):
            raise body
        return body


@pytest.fixture
def asked(cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(cluster)
    lease = {"metadata": {"name": "conch-leader"}, "spec": {"holderIdentity": "conch-7f"}}
    made.collections[LEASE] = [lease]
    watched(made, {"resnet": [float(i) for i in range(1800)]})
    reach(made, tmp_path, monkeypatch)
    return made


def watched(cluster: Cluster, rates: dict[str, list[float]]) -> None:
    value: dict[str, Any] = {"end": "2026-11-22T12:00:00+00:00", "bin_s": 2.0, "rates": rates}
    cluster.bodies[ANSWER] = json.dumps(value).encode()


def test_what_is_written_is_read_again(asked: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "resnet.csv"
    assert app.run(["trace", "resnet", "-o", str(file)]) == 0
    text = file.read_text()
    assert text.startswith(
        "# demo/resnet, model resnet, from 2026-11-22T11:00:00Z\ntime,rate\n0,0\n"
    )
    trace = traces.load(file)
    assert trace.bin_s == 2.0
    assert trace.rates.tolist() == list(range(1800))


def test_the_last_minutes(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["trace", "resnet", "--minutes", "1"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].endswith("from 2026-11-22T11:59:00Z")
    assert (lines[2], lines[-1], len(lines)) == ("0,1770", "58,1799", 32)
    assert err == ""


def test_a_short_history_is_told(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    watched(asked, {"resnet": [1.0] * 30})
    assert app.run(["trace", "resnet"]) == 0
    assert capsys.readouterr().err.startswith("Only the last 1.0 min")


def test_one_of_several_models(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    watched(asked, {"a": [1.0] * 1800, "b": [2.0] * 1800})
    assert app.run(["trace", "resnet"]) == 2
    assert "has a, b: choose one with --model" in capsys.readouterr().err
    assert app.run(["trace", "resnet", "--model", "c"]) == 2
    capsys.readouterr()
    assert app.run(["trace", "resnet", "--model", "b"]) == 0
    assert capsys.readouterr().out.endswith(",2\n")


@pytest.mark.parametrize("minutes", ["0", "-5", "61", "nan", "inf"])
def test_minutes_that_are_none(
    asked: Cluster, capsys: pytest.CaptureFixture[str], minutes: str
) -> None:
    assert app.run(["trace", "resnet", "--minutes", minutes]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (Forbidden(403, message="no"), "it takes `get` on pods/proxy in namespace conch-system"),
        (NotFound(404), "has seen no minute of demo/resnet yet"),
        (ApiError(503, message="no route"), "networkPolicy.metricsFrom"),
        (b"<html>", "answers nonsense"),
        pytest.param(b'{"x":' + 100_000 * b"[", "answers nonsense", id="deep"),
        (b'{"end": "2026-11-22T12:00:00Z", "bin_s": 2, "rates": {}}', "no request"),
    ],
)
def test_no_answer(
    asked: Cluster,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    body: bytes | Exception,
    said: str,
) -> None:
    asked.bodies[ANSWER] = body
    assert app.run(["trace", "resnet", "-o", str(tmp_path / "new.csv")]) == 1
    out, err = capsys.readouterr()
    assert said in err
    assert (out, err.count("\n")) == ("", 1)
    assert [f.name for f in tmp_path.iterdir()] == ["config"]


def test_a_service_that_does_not_exist(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["trace", "nope"]) == 1
    assert "no InferenceService nope" in capsys.readouterr().err


def test_no_operator(asked: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    asked.collections[LEASE] = []
    assert app.run(["trace", "resnet"]) == 1
    assert "--operator-namespace" in capsys.readouterr().err
    asked.collections[LEASE] = [{"metadata": {"name": "conch-leader"}, "spec": {}}]
    assert app.run(["trace", "resnet"]) == 1
    assert "no operator leads" in capsys.readouterr().err
