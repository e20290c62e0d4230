"""What a runtime's image runs on: nodes and classes it does not run on are refused, with reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conch.api.conditions import Reason
from conch.observe.types import NodeCapacity
from conch.placement import plan
from conch.placement.fit import Fit
from tests.placement.worlds import L4, kind, node, service, world

ARM = replace(node("arm"), arch="arm64")
AMD = node("amd")
OLD = replace(node("old"), driver=450)
NEW = replace(node("new"), driver=560)
UNTOLD = node("untold")
ORIN = replace(kind("orin", 60, (8, 7)), integrated=True)


def first(*nodes: NodeCapacity, **asked: Any) -> tuple[str, str]:
    """Why the only class is not taken: reason and sentence."""
    request = service("a", "l4", **asked)
    answer = plan(world(*nodes), [request])[request.key]
    assert answer.kind is None
    assert answer.message == answer.verdicts[0].message
    return answer.verdicts[0].reason, answer.message


def room(*nodes: NodeCapacity, **asked: Any) -> int:
    request = service("a", "l4", **asked)
    return plan(world(*nodes), [request])[request.key].room


def test_nodes_of_another_architecture_are_refused() -> None:
    reason, message = first(ARM, architectures=("amd64",))
    assert reason == Fit.ARCHITECTURE
    assert message == (
        "l4: 1 node, 1 arm64, and the TritonRuntime is for amd64 (its spec.architectures)"
    )
    assert room(ARM, AMD, architectures=("amd64",)) == 4
    assert room(ARM, AMD, architectures=("amd64", "arm64")) == room(ARM, AMD) == 8


def test_nodes_with_an_older_driver_are_refused() -> None:
    reason, message = first(OLD, min_driver=470)
    assert reason == Fit.DRIVER
    assert message == (
        "l4: 1 node, 1 with NVIDIA driver 450, and the TritonRuntime needs 470 or newer: update "
        "the driver, or name a TritonRuntime of an older release"
    )
    assert room(OLD, NEW, UNTOLD, min_driver=470) == 8, "who tells no driver is trusted"


def test_what_does_not_count_is_told_beside_what_does() -> None:
    full = node("full", used=4)
    _, message = first(full, ARM, OLD, architectures=("amd64",), min_driver=470)
    assert message.startswith("l4: 1 node, 0 of 4 GPUs free; ")
    assert "1 with a driver older than the TritonRuntime's release runs on" in message
    assert "1 of an architecture that the TritonRuntime's image is not for" in message


def test_without_an_accelerator_the_driver_does_not_matter() -> None:
    request = service("a", count=0, allow_cpu=True, min_driver=470)
    answer = plan(world(OLD), [request])[request.key]
    assert answer.kind is not None
    assert answer.kind.name == "cpu"


@pytest.mark.parametrize("integrated", [True, False])
def test_jetsons_take_their_own_images_alone(integrated: bool) -> None:
    inventory = world(node("board", "orin"), node("server"), kinds=(L4, ORIN))
    request = service("a", "orin", "l4", integrated=integrated)
    answer = plan(inventory, [request])[request.key]
    assert answer.kind == (ORIN if integrated else L4)
    refused = {v.class_name: v for v in answer.verdicts}["l4" if integrated else "orin"]
    assert (refused.reason, "integratedGPU" in refused.message) == (Fit.OTHER_IMAGE, True)


def test_a_jetson_without_its_image_never_fits() -> None:
    inventory = world(node("board", "orin"), kinds=(ORIN,))
    request = service("a", "orin")
    assert plan(inventory, [request])[request.key].reason is Reason.NOTHING_FITS
