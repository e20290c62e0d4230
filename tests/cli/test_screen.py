"""How it looks: every width, no colour in a pipe, ASCII where the terminal has nothing else."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console, RenderableType

from conch.cli import explain, screen
from conch.cli.cluster import Gathered
from tests.cli.conftest import event, pod

Object = dict[str, Any]
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def _text(content: RenderableType, width: int, *, colour: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False, force_terminal=colour)
    console.print(content)
    return file.getvalue()


def _busy(service: Object) -> Gathered:
    service["status"]["conditions"][4] |= {
        "status": "False",
        "reason": "NoCapacity",
        "message": "l4: 0 of 4 units free; " + "a-long-class-name: needs 24Gi, has 22Gi; " * 9,
    }
    stuck = pod("resnet-5d8f7c9b4-abcde", ready=False)
    stuck["status"]["conditions"].append(
        {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    )
    events = [
        event(service, "NoCapacity", "2026-11-22T11:59:00Z"),
        event(service, "ScaleUp", "2026-11-22T11:58:00Z", message="83 req/s: 3 replicas (was 2)"),
    ]
    return Gathered(service, [stuck], events)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(service: Object, width: int) -> None:
    text = _text(screen.why(explain.explain(_busy(service), NOW), plain=False), width)
    assert max(map(len, text.splitlines())) <= width


def test_the_answer_comes_first_and_everything_is_there(service: Object) -> None:
    text = _text(screen.why(explain.explain(_busy(service), NOW), plain=False), 120)
    first, second = text.splitlines()[:2]
    assert first == (
        "demo/resnet is ready (Ready): 3/3 replicas on l4; p99 312ms measured, 400ms promised"
    )
    assert second.startswith("Placed: l4: 0 of 4 units free")
    titles = [
        "Next step", "Scaling decision", "Last decisions", "Placement", "Conditions", "Pods",
        "Events",
    ]  # fmt: skip
    places = [text.index(f"\n{title}\n") for title in titles]
    assert places == sorted(places)
    for number in (
        "83/s",
        "97/s within 12s",
        "34/s",
        "97/s / 34/s = 2.9",
        "maxReplicas 6",
        "(was 2)",
    ):
        assert number in text


def test_a_ready_service_says_so(service: Object) -> None:
    text = _text(screen.why(explain.explain(Gathered(service, [], []), NOW), plain=False), 100)
    assert "Nothing holds it back." in text
    assert "Next step" not in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"readyReplicas": 1}, "Nothing holds it back; 2 more of 3 replicas are starting."),
        ({"latency": {"observed": "4.7s"}}, "Nothing holds it back now; 4.7s is of the last"),
        ({"latency": {"observed": "odd"}}, "Nothing holds it back."),
    ],
)
def test_what_is_still_on_its_way_is_said(service: Object, change: Object, said: str) -> None:
    service["status"] |= change
    text = _text(screen.why(explain.explain(Gathered(service, [], []), NOW), plain=False), 100)
    assert text.splitlines()[1].startswith(said)


def test_the_same_sentence_is_read_once(service: Object) -> None:
    broken = pod("resnet-1", ready=False)
    broken["status"]["conditions"].append(
        {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    )
    conditions = service["status"]["conditions"]
    found = explain.explain(Gathered(service, [broken], []), NOW)
    (problem,) = {line.problem for line in found.pods or ()}
    for condition in (conditions[0], conditions[5]):
        condition |= {"status": "False", "reason": "Unschedulable", "message": problem}
    found = explain.explain(Gathered(service, [broken], []), NOW)
    text = " ".join(_text(screen.why(found, plain=False), 200).split())
    assert text.count(problem) == 2  # on top, and in the first condition
    assert "as Ready" in text


def test_being_on_the_way_is_not_bad(service: Object) -> None:
    service["status"]["conditions"][1] |= {"status": "True", "reason": "Progressing"}
    found = explain.explain(Gathered(service, [], []), NOW)
    assert "…  Reconciling" in _text(screen.why(found, plain=False), 100)
    assert "..  Reconciling" in _text(screen.why(found, plain=True), 100)


def test_what_is_forbidden_is_said(service: Object) -> None:
    text = _text(screen.why(explain.explain(Gathered(service, None, None), NOW), plain=False), 100)
    assert "You may not list pods here." in text
    assert "You may not list events here." in text


def test_nobody_looked_yet(service: Object) -> None:
    service["status"] = {}
    text = _text(screen.why(explain.explain(Gathered(service, [], []), NOW), plain=False), 100)
    assert text.startswith("demo/resnet has not been looked at yet")


def test_plain_needs_no_more_than_ascii(service: Object) -> None:
    text = _text(screen.why(explain.explain(_busy(service), NOW), plain=True), 100)
    assert text.isascii()
    assert "NO  Placed" in text


def test_brackets_of_a_message_are_text(service: Object) -> None:
    service["status"]["conditions"][4] |= {"status": "False", "message": "[red]x[/red] [l4]"}
    text = _text(screen.why(explain.explain(Gathered(service, [], []), NOW), plain=False), 100)
    assert "Placed: [red]x[/red] [l4]" in text


def test_table_has_a_line_per_service_that_awk_can_cut(service: Object) -> None:
    summary = explain.summarise(service, NOW)
    text = _text(screen.status_table([summary, summary], namespaces=True), 10_000)
    header, *lines = text.splitlines()
    assert header.split()[:4] == ["NAMESPACE", "NAME", "READY", "REASON"]
    assert [line.split()[:5] for line in lines] == [["demo", "resnet", "True", "Ready", "3/3"]] * 2


def test_a_pipe_gets_no_colour(
    service: Object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    screen.show(screen.why(explain.explain(_busy(service), NOW), plain=False))
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 50


def test_a_terminal_gets_colour(service: Object) -> None:
    found = explain.explain(_busy(service), NOW)
    assert "\x1b[" in _text(screen.why(found, plain=False), 100, colour=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (2e5, "2d")],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert screen.duration(seconds) == text


def test_what_it_costs_its_sites_and_its_zones_are_shown(service: Object) -> None:
    service["status"]["sites"] = [
        {"name": "attic", "replicas": 2, "readyReplicas": 2, "connected": False},
        {"name": "cellar", "replicas": 1, "readyReplicas": 0, "minReplicas": 2, "held": False},
    ]
    service["status"]["zones"] = [{"name": "eu-1a", "replicas": 3, "readyReplicas": 2}]
    service["status"]["cost"] = {
        "perHour": "$2.4",
        "power": "140W",
        "energyPerInference": "0.30J",
        "carbonPerHour": "80g",
        "carbonKind": "Average",
        "estimated": True,
    }
    text = _text(screen.why(explain.explain(Gathered(service, [], []), NOW), plain=False), 100)
    assert "attic: 2/2 replicas, cut off: it serves on\n" in text
    assert "cellar: 0/1 replicas, needs 2\n" in text
    assert "eu-1a: 2/3 replicas\n" in text
    assert (
        "$2.4 an hour, 140W (modelled), 0.30J per inference, 80g CO2e an hour (average)\n" in text
    )
    del service["status"]["cost"]
    text = _text(screen.why(explain.explain(Gathered(service, [], []), NOW), plain=False), 100)
    assert "Cost" not in text
