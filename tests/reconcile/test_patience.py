"""Classes that were waited for in vain, for how long they are left alone, and why."""

from __future__ import annotations

from datetime import datetime

import msgspec
import pytest

from conch.api import names
from conch.kube import views
from conch.reconcile.patience import BINDING_S, FORGET_S, PATIENCE_S, Current, Patience
from tests.reconcile.builders import NOW, UID, pod

MADE_S = datetime.fromisoformat(NOW).timestamp()


def pending(
    on: str = "l4", reason: str = "Unschedulable", message: str = "0/3 nodes are available"
) -> views.Pod:
    waiting = pod(ready=False)
    labels = {**waiting.metadata.labels, names.LABEL_ACCELERATOR: on}
    scheduled = views.StatusCondition("PodScheduled", "False", reason, message)
    return msgspec.structs.replace(
        waiting,
        metadata=msgspec.structs.replace(waiting.metadata, labels=labels),
        spec=views.PodSpec(),
        status=views.PodStatus(phase="Pending", conditions=(scheduled,)),
    )


def test_waiting_too_long_is_remembered_with_the_schedulers_words() -> None:
    patience = Patience()
    early, late = MADE_S + PATIENCE_S - 1, MADE_S + PATIENCE_S
    assert patience.avoided(UID, Current("l4"), True, [pending()], early) == {}
    assert patience.next_s() == late
    told = patience.avoided(UID, Current("l4"), True, [pending()], late)
    assert told == {
        "l4": f"replicas stayed Pending there for {PATIENCE_S:.0f} s: 0/3 nodes are available"
    }
    # The service moves on: its old pods are gone, and the class is still left alone.
    assert patience.avoided(UID, Current("t4"), True, [], late + FORGET_S - 1) == told
    assert patience.avoided(UID, Current("t4"), True, [], late + FORGET_S) == {}


def test_a_clock_that_is_set_back_leaves_no_class_alone_for_hours() -> None:
    patience = Patience()
    late = MADE_S + PATIENCE_S
    assert patience.avoided(UID, Current("l4"), True, [pending()], late)
    assert patience.avoided(UID, Current("t4"), True, [], late - 3600) == {}


@pytest.mark.parametrize(
    ("has_room", "waiting"),
    [
        pytest.param(False, pending(), id="the planner knows of no room either"),
        pytest.param(True, pending(on="t4"), id="a pod of the class it has left"),
        pytest.param(True, pending(reason="SchedulingGated"), id="held back by a queue"),
        pytest.param(True, pod(ready=False), id="bound, and starting"),
    ],
)
def test_this_is_no_failure_of_the_class(has_room: bool, waiting: views.Pod) -> None:
    patience = Patience()
    assert patience.avoided(UID, Current("l4"), has_room, [waiting], MADE_S + 3600) == {}
    assert patience.next_s() is None


WAIT_S = 600.0
ADDED = Current("l4", WAIT_S)


def test_a_class_with_a_node_autoscaler_has_its_own_deadline() -> None:
    patience = Patience()
    due = MADE_S + WAIT_S
    assert patience.avoided(UID, ADDED, True, [pending()], due - 1) == {}
    assert patience.next_s() == due
    assert "for 600 s" in patience.avoided(UID, ADDED, True, [pending()], due)["l4"]


def test_it_does_not_pass_while_a_node_starts() -> None:
    patience = Patience()
    due = MADE_S + WAIT_S
    late = due + 200
    for now_s in (due - 10, due + 10, late):
        patience.begin([UID], {"l4"}, now_s)
        assert patience.avoided(UID, ADDED, True, [pending()], now_s) == {}
    # The device plugin has told its units: kube-scheduler may take a moment.
    patience.begin([UID], (), late + BINDING_S - 1)
    assert patience.avoided(UID, ADDED, True, [pending()], late + BINDING_S - 1) == {}
    assert patience.next_s() == late + BINDING_S
    patience.begin([UID], (), late + BINDING_S)
    assert patience.avoided(UID, ADDED, True, [pending()], late + BINDING_S)


def test_a_device_plugin_that_never_comes_up_is_not_waited_for_longer() -> None:
    patience = Patience()
    patience.begin([UID], {"l4"}, MADE_S + 300)
    last = MADE_S + 300 + WAIT_S + BINDING_S
    for now_s in (MADE_S + 700, last - 1):
        patience.begin([UID], {"l4"}, now_s)
        assert patience.avoided(UID, ADDED, True, [pending()], now_s) == {}
    patience.begin([UID], {"l4"}, last)
    assert patience.avoided(UID, ADDED, True, [pending()], last)


def test_what_is_gone_is_forgotten() -> None:
    patience = Patience()
    patience.avoided(UID, Current("l4"), True, [pending()], MADE_S + PATIENCE_S)
    patience.begin([UID], (), MADE_S)
    assert patience.avoided(UID, Current("l4"), True, [], MADE_S + PATIENCE_S + 1)
    patience.begin([], (), MADE_S)
    assert patience.avoided(UID, Current("l4"), True, [], MADE_S + PATIENCE_S + 2) == {}
