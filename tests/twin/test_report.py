"""The page: complete, safe to open, and true to the numbers."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from conch.twin.compare import Comparison, Outcome
from conch.twin.report import About, money, number, page, percent, span
from conch.twin.result import Result, Timeline
from conch.twin.service import ServiceModel
from conch.twin.traces import of_rates
from conch.twin.world import Scenario

SECONDS = 600


def result(late: int = 3, replicas: int = 2, seconds: int = SECONDS, rate: int = 20) -> Result:
    """A run of ``replicas`` all the time; all late requests in the middle."""
    arrivals = np.full(seconds, rate)
    lateness = np.zeros(seconds, dtype=np.int64)
    lateness[seconds // 2] = late
    p99_s = np.full(seconds, 0.2)
    p99_s[: seconds // 10] = np.nan
    same = np.full(seconds, replicas)
    timeline = Timeline(arrivals, lateness, np.zeros_like(lateness), same, same, p99_s)
    return Result(
        requests=int(arrivals.sum()),
        late=late,
        rejected=0,
        failed=0,
        retries=0,
        replica_hours=replicas * seconds / 3600,
        p50_s=0.1,
        p99_s=0.2,
        p999_s=0.3,
        minutes_ok=0.9,
        scale_events=1,
        replica_starts=1,
        peak_replicas=replicas,
        length_s=float(seconds),
        timeline=timeline,
    )


def comparison(*outcomes: Outcome, seconds: int = SECONDS) -> Comparison:
    scenario = Scenario(
        service=ServiceModel.linear(0.04, 0.02, 8), cold_start_s=40, target_s=0.4, max_replicas=6
    )
    trace = of_rates("even", np.full(seconds, 20.0))
    return Comparison(scenario, trace, (30.0, 64.0, 99.0, 133.0), outcomes)


CONCH = Outcome("conch", "Conch", result())
KEDA = Outcome("keda 20 rps", "KEDA", result(late=1200, replicas=4))
ORACLE = Outcome("oracle", "clairvoyant", result(replicas=1))


class Page(HTMLParser):
    """Tags that are open, all tags and their attributes, and the text."""

    EMPTY = frozenset({"meta", "path", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_tag_is_closed() -> None:
    assert Page(page(comparison(CONCH, KEDA, ORACLE), About("resnet"))).open == []


def test_it_loads_nothing_and_runs_nothing() -> None:
    text = page(comparison(CONCH, KEDA), About("resnet", price_per_hour=0.8, unit="EUR"))
    found = Page(text)
    assert not re.search(r"https?:|//|url\(|@import|javascript", text)
    assert {tag for tag, _ in found.tags} <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "b", "i",
        "div", "table", "thead", "tbody", "tr", "th", "td", "span", "section", "svg", "text",
        "path", "dl", "dt", "dd", "footer",
    }  # fmt: skip
    assert not any(
        name.startswith("on") or name in ("src", "href") for _, a in found.tags for name in a
    )
    policy = [a["content"] for t, a in found.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_it_fits_a_phone() -> None:
    text = page(comparison(CONCH, KEDA), About("resnet"))
    metas = [attributes for tag, attributes in Page(text).tags if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert "prefers-color-scheme:dark" in text
    assert "max-width:640px" in text


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "\"'><img src=x>", "&lt;b&gt;"])
def test_names_are_only_text(evil: str) -> None:
    named = replace_trace(comparison(replace_label(CONCH, evil)), evil)
    about = About(evil, notes=(evil,), price_per_hour=1, unit=evil, command=evil)
    found = Page(page(named, about))
    assert found.open == []
    assert not {tag for tag, _ in found.tags} & {"script", "img"}
    assert found.text.count(evil) >= 6
    labels = [a["aria-label"] for t, a in found.tags if t == "svg"]
    assert all(label is not None and label.startswith(evil) for label in labels)


def replace_label(outcome: Outcome, label: str) -> Outcome:
    return Outcome(label, label, outcome.result)


def replace_trace(found: Comparison, name: str) -> Comparison:
    return replace(found, trace=replace(found.trace, name=name))


def test_how_long_replicas_take_to_start() -> None:
    found = comparison(CONCH)
    assert "40 s, ± 25 %" in Page(page(found, About("resnet"))).text
    measured = replace(found.scenario, cold_starts_s=(30.0, 35.0, 150.0))
    text = Page(page(replace(found, scenario=measured), About("resnet"))).text
    assert "30 s to 2.5 min, as 3 were measured" in text


def test_the_answer_comes_first() -> None:
    text = Page(page(comparison(CONCH, KEDA, ORACLE), About("resnet"))).text
    assert (
        "99 % of requests within 400 ms: conch keeps it with 0.025 % of 12,000 requests late, "
        "for 0.333 replica-hours, 2.00 times the clairvoyant's." in text
    )
    assert "keda 20 rps misses it" in Page(page(comparison(KEDA), About("resnet"))).text


def test_cost_is_there_only_with_a_price() -> None:
    found = comparison(CONCH)
    assert "per month" not in page(found, About("resnet"))
    text = Page(page(found, About("resnet", price_per_hour=3, unit="EUR"))).text
    assert "1.00 EUR" in text  # 2 replicas for 10 minutes
    assert "4,380 EUR" in text  # 2 replicas · 730 h · 3 EUR


def paths(text: str, kind: str) -> list[str]:
    found = [a["d"] for t, a in Page(text).tags if t == "path" and a.get("class") == kind]
    return [d for d in found if d is not None]


def height(path: str) -> float:
    """The first y of a path."""
    match = re.match(r"M[\d.]+ ([\d.]+)", path)
    assert match is not None
    return float(match[1])


def test_all_drawings_share_their_scales() -> None:
    found = comparison(
        Outcome("a", "", result(rate=25)), Outcome("b", "", result(rate=25, replicas=4))
    )
    text = page(replace(found, capacity_rps=(10.0, 22.0, 34.0, 46.0)), About("resnet"))
    two, _, four, _ = (height(path) for path in paths(text, "capacity"))
    # What 2 and what 4 replicas carry, from the same zero.
    zero = max(float(y) for y in re.findall(r"V([\d.]+)Z", paths(text, "demand")[0]))
    assert (zero - four) / (zero - two) == pytest.approx(46 / 22, 0.02)
    assert paths(text, "target")[0] == paths(text, "target")[2]  # the latency target's line


def test_late_requests_stand_where_they_were() -> None:
    (path,) = paths(page(comparison(KEDA), About("resnet")), "late")
    steps = re.findall(r"H([\d.]+)V", path)
    middle = 52 + (400 - 52 - 8) / 2
    assert any(abs(float(x) - middle) < 3 for x in steps)
    assert paths(page(comparison(Outcome("x", "x", result(late=0))), About("resnet")), "late") == []


@pytest.mark.parametrize(("seconds", "rate"), [(1, 20), (2, 0), (59, 1), (86_400 * 8, 3)])
def test_short_long_and_silent_runs_are_drawn(seconds: int, rate: int) -> None:
    run = result(late=0, seconds=seconds, rate=rate)
    if rate == 0:
        silent = replace(run.timeline, p99_s=np.full(seconds, np.nan))
        run = replace(run, p99_s=math.nan, timeline=silent)
    text = page(comparison(Outcome("x", "x", run), seconds=seconds), About("resnet"))
    assert Page(text).open == []
    assert "nan" not in text
    assert "inf" not in text.replace("infer", "")
    assert len(text) < 60_000


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.01234, "0.0123"), (4.5678, "4.57"), (45.678, "45.7"), (456.78, "457"),
     (45678, "45,678"), (1e-9, "<0.00001"), (math.nan, "–"), (math.inf, "–")],
)  # fmt: skip
def test_numbers(value: float, said: str) -> None:
    assert number(value) == said


def test_units() -> None:
    spans = [span(t) for t in (0.0004, 0.04, 1.5, 90, 3600, 86400, math.nan)]
    assert spans == ["0.4 ms", "40 ms", "1.5 s", "90 s", "60 min", "24 h", "–"]
    assert [percent(s) for s in (0, 0.00123, 0.5, 1)] == ["0 %", "0.12 %", "50.0 %", "100 %"]
    assert [money(m) for m in (0.843, 999.999, 1234.5)] == ["0.84", "1,000.00", "1,234"]
