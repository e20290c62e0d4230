"""Whether a live object still is what we want, and if not, where it differs first.

"Is what we want" means: our fields are a subset of the live ones. The API server adds defaults, and
other controllers own other fields; neither is a difference. Lists whose elements have a name are
matched by it, as server-side apply does; all others are compared whole. A field that we stopped
wanting cannot be seen this way: the stored digest tells.
"""

from __future__ import annotations

from typing import Any

from conch.api import names
from conch.kube import quantity
from conch.kube.views import Object
from conch.render.metadata import without_digest

# The keys of list-maps in the kinds we render, by the list's field name.
_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "resourceClaims": ("name",),
    "claims": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "ownerReferences": ("uid",),
}
_PORT_KEYS = ("containerPort", "port")
_QUANTITY_PARENTS = frozenset({"requests", "limits"})
_SHOWN_CHARACTERS = 80


def needs_apply(desired: Object, live: Object) -> str | None:
    """Why ``desired`` has to be applied over ``live``; None when it has not."""
    difference = first_difference(without_digest(desired), live)
    if difference is not None:
        return difference
    if _applied(desired) != _applied(live):
        return f"last applied {_applied(live) or 'by nobody'}, wanted {_applied(desired)}"
    return None


def first_difference(desired: Any, live: Any) -> str | None:
    """The first place where ``live`` lacks or contradicts ``desired``: "path: live → desired"."""
    return _compare(desired, live, "", "")


def _compare(desired: Any, live: Any, path: str, field: str) -> str | None:
    if desired == [] and live is None:
        return None  # the API server drops empty lists; empty maps mean something: emptyDir: {}
    if isinstance(desired, dict) and isinstance(live, dict):
        return _compare_maps(desired, live, path, field)
    if isinstance(desired, list) and isinstance(live, list):
        return _compare_lists(desired, live, path, field)
    if desired == live and isinstance(desired, bool) == isinstance(live, bool):
        return None
    return f"{path}: {_shown(live)} → {_shown(desired)}"


def _compare_maps(
    desired: dict[str, Any], live: dict[str, Any], path: str, field: str
) -> str | None:
    for key, wanted in desired.items():
        found = live.get(key)
        if _is_quantity(field, key) and found is not None:
            wanted, found = quantity.canonical(wanted), quantity.canonical(found)
        difference = _compare(wanted, found, f"{path}.{key}" if path else key, key)
        if difference is not None:
            return difference
    return None


def _is_quantity(parent: str, key: str) -> bool:
    return parent in _QUANTITY_PARENTS or (parent == "emptyDir" and key == "sizeLimit")


def _compare_lists(desired: list[Any], live: list[Any], path: str, field: str) -> str | None:
    keys = _list_keys(field, desired)
    if keys:
        return _compare_named(desired, live, path, keys)
    if len(desired) != len(live):
        return f"{path}: {_shown(live)} → {_shown(desired)}"
    for index, (wanted, found) in enumerate(zip(desired, live, strict=True)):
        difference = _compare(wanted, found, f"{path}[{index}]", "")
        if difference is not None:
            return difference
    return None


def _list_keys(field: str, desired: list[Any]) -> tuple[str, ...]:
    if field == "ports" and desired:
        # Ports of containers and of Services are named things; those of policies are not.
        for key in _PORT_KEYS:
            if "name" in desired[0] and key in desired[0]:
                return (key, "protocol")
    return _LIST_KEYS.get(field, ())


def _compare_named(
    desired: list[Any], live: list[Any], path: str, keys: tuple[str, ...]
) -> str | None:
    by_name = {tuple(item.get(key) for key in keys): item for item in live}
    for wanted in desired:
        name = tuple(wanted.get(key) for key in keys)
        place = f"{path}[{name[0]}]"
        found = by_name.get(name)
        if found is None:
            return f"{place}: absent → {_shown(wanted)}"
        difference = _compare(wanted, found, place, "")
        if difference is not None:
            return difference
    return None


def _applied(child: Object) -> str:
    annotations = child.get("metadata", {}).get("annotations") or {}
    return str(annotations.get(names.ANNOTATION_APPLIED, ""))


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
