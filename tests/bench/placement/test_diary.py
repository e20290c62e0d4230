"""What the diary of pending_over_10s tells of a service that waits."""

from __future__ import annotations

from conch.api import names
from e2e.placement.diary import PAGES, Diary
from e2e.placement.pending import Wanted
from tests.bench.placement.test_pending import SERVICE, pod

LABELS = {names.LABEL_SERVICE: "web", names.LABEL_ACCELERATOR: "l4"}


def test_a_page_tells_what_is_asked_for_where_it_is_and_what_is_said() -> None:
    diary = Diary()
    deployment = {"metadata": {"name": "web", "labels": LABELS}, "spec": {"replicas": 2}}
    conditions = [{"type": "Placed", "reason": "Placed", "message": "on l4"}]
    waits = pod("b")
    waits["metadata"]["creationTimestamp"] = "2026-01-01T00:00:09Z"
    theirs = pod("x", service="")
    diary.write(
        [SERVICE],
        {"web": {"status": {"conditions": conditions}}},
        [deployment],
        [pod("a", "n0"), waits, theirs],
        7.0,
    )
    assert diary.pages("web") == [
        "7.0 wants 2; [web 2 on l4]; l4 a n0; l4 b - 00:00:09 not looked at; Placed: on l4"
    ]


def test_only_the_last_pages_are_kept() -> None:
    diary = Diary()
    for now_s in range(PAGES + 1):
        diary.write([Wanted("web", ("l4",), 1, 1)], {}, [], [], now_s)
    assert (len(diary.pages("web")), diary.pages("web")[0]) == (PAGES, "1.0 wants 1; ")
