"""Who else scales: autoscalers by their target, other writers by who owns the field."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names
from conch.kube.views import Autoscaler, AutoscalerSpec, Metadata, OwnerReference, ScaleTarget
from conch.observe.foreign import ForeignBook, Retake
from conch.observe.types import Key

KEY = Key("team", "web")


def autoscaler(
    uid: str = "u1", target: str = "web", kind: str = "Deployment", group: str = "apps/v1",
    name: str = "hpa", owner: str = "",
) -> Autoscaler:  # fmt: skip
    owners = (OwnerReference("ScaledObject", owner, "o", True),) if owner else ()
    meta = Metadata(name=name, namespace=KEY.namespace, uid=uid, owner_references=owners)
    return Autoscaler(meta, AutoscalerSpec(ScaleTarget(group, kind, target)))


def deployment(*owners: str, uid: str = "d1") -> dict[str, Any]:
    fields = {"f:spec": {"f:replicas": {}, "f:paused": {}}}
    managed = [{"manager": m, "fieldsV1": fields} for m in owners]
    other = {"manager": "editor", "time": "t", "fieldsV1": {"f:metadata": {"f:labels": {}}}}
    meta = {"uid": uid, "name": KEY.name, "managedFields": [other, *managed]}
    return {"kind": "Deployment", "metadata": meta}


def test_an_autoscaler_is_news_when_it_comes_changes_and_goes() -> None:
    book = ForeignBook()
    assert book.set_autoscaler(autoscaler()) == {KEY}
    assert book.of(KEY).autoscalers == ("HorizontalPodAutoscaler hpa",)
    assert book.set_autoscaler(autoscaler()) == set(), "its status changes all the time"
    assert book.set_autoscaler(autoscaler(target="api")) == {KEY, Key("team", "api")}
    assert book.of(KEY).autoscalers == ()
    assert book.remove_autoscaler("u1") == {Key("team", "api")}
    assert book.remove_autoscaler("u1") == set()
    assert book._by_target == {}


@pytest.mark.parametrize(
    ("kind", "group"),
    [(names.INFERENCE_SERVICE, names.API_VERSION), ("Deployment", "example.com/v1")],
)
def test_one_with_another_target_concerns_nobody(kind: str, group: str) -> None:
    book = ForeignBook()
    assert book.set_autoscaler(autoscaler(kind=kind, group=group)) == set()
    assert book.of(KEY).autoscalers == ()


def test_keda_is_named_by_what_its_user_wrote() -> None:
    book = ForeignBook()
    book.set_autoscaler(autoscaler(name="keda-hpa-web", owner="web-scaler"))
    book.set_autoscaler(autoscaler("u2", name="b"))
    assert book.of(KEY).autoscalers == (
        "HorizontalPodAutoscaler b",
        "ScaledObject web-scaler (by its HorizontalPodAutoscaler keda-hpa-web)",
    )


def test_who_takes_the_replicas_is_remembered_for_a_while() -> None:
    book = ForeignBook()
    book.learn(KEY, deployment(names.MANAGER_SCALER))
    book.retaken(KEY, "t0")
    assert (book.of(KEY).owner, book.of(KEY).retakes) == ("", ()), "our own number is no retake"
    book.learn(KEY, deployment(names.MANAGER_SCALER, "kubectl"))
    assert (book.of(KEY).owner, book.of(KEY).retakes) == ("kubectl", ())
    book.retaken(KEY, "t1")
    book.learn(KEY, deployment(names.MANAGER_SCALER))
    assert (book.of(KEY).owner, book.of(KEY).retakes) == ("", (Retake("t1", "kubectl"),))
    for number in range(20):
        book.learn(KEY, deployment("kubectl"))
        book.retaken(KEY, f"u{number}")
    assert [t.time for t in book.of(KEY).retakes] == [f"u{n}" for n in range(12, 20)]


def test_a_deployment_made_anew_has_no_past() -> None:
    book = ForeignBook()
    book.learn(KEY, deployment("kubectl"))
    book.retaken(KEY, "t1")
    book.learn(KEY, deployment(uid="d2"))
    assert book.of(KEY).retakes == ()
    book.learn(KEY, deployment("kubectl", uid="d2"))
    book.forget(KEY)
    book.retaken(KEY, "t2")
    assert (book.of(KEY).owner, book.of(KEY).retakes) == ("", ())
