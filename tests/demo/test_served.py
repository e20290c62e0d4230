"""Which service the demo shows, told from a manifest and what the cluster says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from e2e.demo.served import Served

RANKER = {
    "kind": "InferenceService",
    "metadata": {"name": "ranker"},
    "status": {
        "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "It is."}]
    },
}
SECRET = {"kind": "Secret", "metadata": {"name": "keys"}}


class Answers:
    """kubectl, by the kind that is asked for; everything else is empty."""

    def __init__(self, **objects: Any) -> None:
        self.objects = objects
        self.asked: list[tuple[str, ...]] = []

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        self.asked.append(argv)
        found = self.objects.get("manifest" if stdin is not None else argv[1])
        return "" if found is None else json.dumps(found)

    def helm(self, *argv: str) -> str:
        raise AssertionError(argv)

    def load(self, module: str, *argv: str) -> Any:
        raise AssertionError(module)

    def hint(self, service: str, manifest: Path) -> list[str]:
        raise AssertionError(service, manifest)


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (None, []),
        (RANKER, ["ranker"]),
        ({"kind": "List", "items": [SECRET, RANKER]}, ["ranker"]),
        (SECRET, []),
    ],
)
def test_the_services_of_a_manifest(told: Any, names: list[str]) -> None:
    answers = Answers(manifest=told)
    assert [served.name for served in Served.of(answers, "kind: …")] == names


def test_what_it_says_of_itself() -> None:
    assert Served(Answers(infs=RANKER), "ranker").describe() == "True Ready: It is."
    assert Served(Answers(), "ranker").describe() == "no status yet"


def test_its_address() -> None:
    answers = Answers(svc={"spec": {"clusterIP": "10.0.0.7"}})
    assert Served(answers, "ranker").wait_for_address() == "http://10.0.0.7:8000"


def test_no_other_kind_is_deleted() -> None:
    answers = Answers(manifest={"kind": "List", "items": [SECRET, RANKER]})
    for served in Served.of(answers, "kind: …"):
        served.delete()
    assert [a for a in answers.asked if a[0] == "delete"] == [
        ("delete", "infs", "ranker", "--ignore-not-found", "--wait")
    ]
