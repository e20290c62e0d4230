"""Reads from the cluster what `conch status` and `conch why` show. Never writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from conch.api import names
from conch.errors import ConchError, Forbidden, NotFound
from conch.kube.transport import path

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
    pods, events = await asyncio.gather(
        _optional(
            api.list(path("v1", "pods", namespace), label_selector=names.selector_string(name))
        ),
        _optional(api.list(path("v1", "events", namespace))),
    )
    if events is not None:
        uids = {o["metadata"].get("uid") for o in (service, *(pods or []))}
        events = [e for e in events if e.get("involvedObject", {}).get("uid") in uids]
    return Gathered(service, pods, events)


async def _optional(request: Any) -> list[Object] | None:
    """The answer, or None where RBAC says no: the rest is still worth showing."""
    try:
        answer: list[Object] = await request
        return answer
    except Forbidden:
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
