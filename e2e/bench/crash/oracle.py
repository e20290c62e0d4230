"""What "the same end" means: the end state with what may differ masked, and what it took. Pure.

A state is flat, {path: value}, so that a difference names the field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from e2e.bench.audit import Write

State = dict[str, str]

# Differ between any two runs: identities, clocks, hashes of either, and what was measured.
_VOLATILE: Final = frozenset(
    {
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "lastTransitionTime",
        "lastUpdateTime",
        "lastProbeTime",
        "time",
        "firstTimestamp",
        "lastTimestamp",
        "clusterIP",
        "clusterIPs",
        "revision",
        "conch.dev/applied",
        "pod-template-hash",
        "deployment.kubernetes.io/revision",
        "horizon",
    }
)
_OURS: Final = "conch"
_COUNTED: Final = frozenset(
    {
        "deployments",
        "replicasets",
        "pods",
        "services",
        "networkpolicies",
        "poddisruptionbudgets",
        "inferenceservices",
    }
)


def flat(kind: str, obj: Mapping[str, Any], name: str) -> State:
    """An object as {path: value}: names made alike, volatile values only by their presence.

    Of managedFields only ours are kept: who owns what is part of the end state.
    """
    state: State = {}
    _walk(_own_fields_only(obj), kind, state)
    return {p.replace(name, "NAME"): v.replace(name, "NAME") for p, v in state.items()}


def _own_fields_only(obj: Mapping[str, Any]) -> dict[str, Any]:
    meta = dict(obj["metadata"])
    managers = {
        f"{one['manager']}/{one.get('subresource', '')}": one.get("fieldsV1", {})
        for one in meta.pop("managedFields", [])
        if one["manager"].startswith(_OURS)
    }
    return {**obj, "metadata": {**meta, "managers": managers}}


def _walk(value: Any, path: str, state: State) -> None:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            if key in _VOLATILE:
                state[f"{path}.{key}"] = "present"
            elif path.endswith(".managers") or ".managers." in path:
                _walk(inner, f"{path}.{_unhashed(key)}", state)
            else:
                _walk(inner, f"{path}.{key}", state)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            label = inner.get("type", index) if isinstance(inner, Mapping) else index
            _walk(inner, f"{path}[{label}]", state)
    else:
        state[path] = repr(value)


def _unhashed(key: str) -> str:
    """fieldsV1 names list items by their keys, an owner by its uid."""
    return re.sub(r'"uid":"[^"]*"', '"uid":"…"', key)


def events(found: Iterable[Mapping[str, Any]], name: str) -> State:
    """How often each event about the service was told."""
    state: State = {}
    for one in found:
        about = one["involvedObject"]
        if (about.get("kind"), about.get("name")) == ("InferenceService", name):
            path = f"event.{one['type']}.{one['reason']}"
            state[path] = str(int(state.get(path, "0")) + 1)
    return state


def effort(writes: Iterable[Write], name: str, namespace: str) -> State:
    """How many objects of each kind were created and deleted, whoever did it.

    A new ReplicaSet or pod that is not in the undisturbed run is a rollout nobody asked for.
    Distinct names: deleting a pod is asked for more than once.
    """
    seen: set[tuple[str, str, str]] = set()
    for one in writes:
        # The log has no name for a pod's creation (generateName), only for its binding.
        bound = one.resource == "pods/binding" and one.code == 201
        if one.namespace != namespace or not (bound or one.resource in _COUNTED):
            continue
        if one.name != name and not one.name.startswith(f"{name}-"):
            continue
        if one.created or bound:
            seen.add(("create", one.resource.partition("/")[0], one.name))
        elif one.verb == "delete" and one.code == 200:
            seen.add(("delete", one.resource, one.name))
    state: State = {}
    for verb, resource, _ in seen:
        path = f"{verb} {resource}"
        state[path] = str(int(state.get(path, "0")) + 1)
    return state


def varying(references: Sequence[State]) -> frozenset[str]:
    """Paths that already differ between undisturbed runs: nothing can be said of them."""
    paths = {path for state in references for path in state}
    return frozenset(p for p in paths if len({state.get(p) for state in references}) > 1)


def differences(reference: State, state: State, ignored: frozenset[str]) -> list[str]:
    """ "path: undisturbed → found" of each path that differs."""
    return [
        f"{path}: {reference.get(path, 'absent')} → {state.get(path, 'absent')}"
        for path in sorted(reference.keys() | state.keys())
        if path not in ignored and reference.get(path) != state.get(path)
    ]
