"""Reads from the cluster what `conch status` and `conch why` show. Never writes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from conch.api import names
from conch.errors import ConchError, Forbidden, NotFound
from conch.kube.transport import path

_T = TypeVar("_T")

Object = dict[str, Any]
PLURAL = "inferenceservices"


class Reader(Protocol):
    """The part of `conch.kube.transport.Api` that is used here."""

    async def get(self, path: str, **params: str | int | bool) -> Object:
        """One object."""
        ...

    async def list(
        self, path: str, *, label_selector: str = "", field_selector: str = ""
    ) -> list[Object]:
        """All objects of a collection."""
        ...


class Missing(ConchError):
    """What was asked for does not exist; the message says what does."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """One service with what is around it. None: it may not be read."""

    service: Object
    pods: list[Object] | None
    events: list[Object] | None
    deployment: Object | None = None


async def services(api: Reader, namespace: str | None) -> list[Object]:
    """Every InferenceService of the namespace, or of all (None). Raises Missing without the CRD."""
    try:
        return await api.list(path(names.API_VERSION, PLURAL, namespace))
    except NotFound as error:
        raise _no_crd() from error


async def gather(api: Reader, namespace: str, name: str) -> Gathered:
    """One service, its pods and the events about both. Raises Missing when there is none."""
    try:
        service = await api.get(path(names.API_VERSION, PLURAL, namespace, name))
    except NotFound as error:
        others = await services(api, namespace)
        raise Missing(_not_found(namespace, name, others)) from error
    pods, events, deployment = await asyncio.gather(
        _optional(
            api.list(path("v1", "pods", namespace), label_selector=names.selector_string(name))
        ),
        _optional(api.list(path("v1", "events", namespace))),
        _optional(api.get(path("apps/v1", "deployments", namespace, name))),
    )
    if events is not None:
        uids = {o["metadata"].get("uid") for o in (service, *(pods or []))}
        events = [e for e in events if e.get("involvedObject", {}).get("uid") in uids]
    return Gathered(service, pods, events, deployment)


async def _optional(request: Coroutine[Any, Any, _T]) -> _T | None:
    """The answer, or None where RBAC says no or nothing is: the rest is still worth showing."""
    try:
        return await request
    except (Forbidden, NotFound):
        return None


def _no_crd() -> Missing:
    return Missing(
        "this cluster knows no InferenceService; install the chart, or the CRDs: "
        "conch crds | kubectl apply --server-side -f -"
    )


def _not_found(namespace: str, name: str, others: Sequence[Object]) -> str:
    known = sorted(o["metadata"]["name"] for o in others)
    if not known:
        there = f"namespace {namespace} has none; -n chooses another"
    else:
        listed = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        there = f"namespace {namespace} has {listed}"
    return f"no InferenceService {name}: {there}"
