"""When the last replica may go, and when the first one must come."""

from __future__ import annotations

import pytest

from conch.api.conditions import Reason
from conch.autoscale.idle import Activators, Quiet, decide
from conch.observe.types import Decision, ModelCounters, PodSample

AFTER_S = 60.0
TWO = Activators(listening=2, held=0)


def sample(
    pod: str = "p", total: float = 0, *, pending: float = 0, error: str = "", failed: float = 0
) -> PodSample:
    counters = ModelCounters(total - failed, failed, total, total, 0.0, 0.0, pending)
    return PodSample(pod, 0.0, {} if error else {"m": counters}, error)


def watch(*looks: list[PodSample], every_s: float = 10.0) -> Quiet:
    """Quiet after looks every ten seconds, the first at 0."""
    quiet = Quiet()
    for number, samples in enumerate(looks):
        quiet = quiet.after(samples, number * every_s)
    return quiet


def lasted_s(*looks: list[PodSample]) -> float:
    return watch(*looks).lasted_s(10.0 * (len(looks) - 1))


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([[sample()], [sample()], [sample()]], 20),
        ([[sample(total=5)], [sample(total=5)]], 10),  # counted before we came
        ([[sample()], [sample(total=1)], [sample(total=1)]], 10),
        ([[sample()], [sample(total=1, failed=1)]], 0),  # a failed request is one, too
        ([[sample()], [sample(pending=1)], [sample()]], 10),
        ([[sample(total=9)], [sample(total=0)]], 0),  # a restart: who knows what it missed
        ([[sample()], [sample(error="time-out")], [sample()]], 20),  # its counters tell later
        ([[sample()], [sample(error="time-out")], [sample(total=1)]], 0),
        ([[sample("a"), sample("b")], [sample("a")]], 10),  # one went: the other one knows
        ([[sample("a")], [sample("a"), sample("b")]], 10),
        ([[sample("a")], [sample("a"), sample("b", total=3)]], 0),
        ([[sample("a")], [sample("b")]], 0),  # nobody is left who knows
        ([[sample()], [], [sample()]], 0),
        ([[]], 0),
    ],
)
def test_how_long_nothing_was_counted(looks: list[list[PodSample]], expected: float) -> None:
    assert lasted_s(*looks) == expected


def test_without_a_look_at_every_pod_nothing_is_known() -> None:
    quiet = watch([sample("a"), sample("b")], [sample("a"), sample("b", error="down")])
    assert quiet.lasted_s(14) == 14
    for at_s in range(20, 200, 10):
        quiet = quiet.after([sample("a"), sample("b", error="down")], at_s)
        assert quiet.lasted_s(at_s) == 0


def verdict(
    quiet_s: float, activators: Activators = TWO, *, replicas: int = 1, asked: int = 1
) -> Decision:
    quiet = Quiet({"p": 0.0}, since_s=0.0, looked_s=quiet_s)
    scaler = Decision(asked, Reason.NO_TRAFFIC, "no requests arrive", demand_rps=0.0)
    return decide(
        scaler, quiet, activators, replicas=replicas, to_zero_after_s=AFTER_S, now_s=quiet_s
    )


@pytest.mark.parametrize(
    ("quiet_s", "activators", "replicas", "expected"),
    [
        (59, TWO, 1, (1, Reason.NO_TRAFFIC)),
        (60, TWO, 1, (0, Reason.IDLE)),
        (60, TWO, 3, (0, Reason.IDLE)),
        (60, Activators(1, 0), 1, (0, Reason.IDLE)),
        (60, Activators(0, 0), 1, (1, Reason.NO_ACTIVATOR)),
        (60, Activators(None, 0), 1, (1, Reason.NO_ACTIVATOR)),
        (60, Activators(2, 1), 1, (1, Reason.NO_TRAFFIC)),  # a request waits for this very pod
        (0, TWO, 0, (0, Reason.IDLE)),
        (0, Activators(2, 3), 0, (1, Reason.FROM_ZERO)),
        (0, Activators(0, 0), 0, (1, Reason.NO_ACTIVATOR)),
        (0, Activators(None, 0), 0, (0, Reason.IDLE)),  # just started: they may well be there
        (0, Activators(None, 1), 0, (1, Reason.FROM_ZERO)),
    ],
)
def test_decisions(
    quiet_s: float, activators: Activators, replicas: int, expected: tuple[int, Reason]
) -> None:
    decision = verdict(quiet_s, activators, replicas=replicas)
    assert (decision.replicas, decision.reason) == expected


def test_the_sentences_have_their_numbers() -> None:
    assert verdict(60).message == "no request for 60 s: no replica until the next one"
    assert "3 connections wait" in verdict(0, Activators(2, 3), replicas=0).message
    assert "1 connection waits" in verdict(0, Activators(2, 1), replicas=0).message
    assert "keeping 2 replicas" in verdict(60, Activators(0, 0), replicas=2, asked=2).message
