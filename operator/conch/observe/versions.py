"""Which of two pictures of an object is newer, and what is known to be gone.

Answers to our own writes, watches and kopf tell of the same objects, in any order.
"""

from __future__ import annotations

from conch.kube.views import Object

FOREVER = float("inf")
_GRAVES = 4096


def version(raw: Object) -> int:
    """The object's age among all of its kind.

    Resource versions are opaque in the API's contract, but comparable as integers in every
    implementation since Kubernetes 1.35 (KEP-5504 made that official).
    """
    try:
        return int(raw["metadata"].get("resourceVersion", "0"))
    except ValueError:
        return 0


def uid(raw: Object) -> str:
    """Its identity."""
    return str(raw["metadata"].get("uid", ""))


def same(one: Object, other: Object) -> bool:
    """Whether both are pictures of one object, and not of namesakes."""
    return uid(one) == uid(other)


class Graves:
    """By uid, the newest version known to be gone; the oldest are forgotten.

    The answer to a write may arrive after the watch has told that the object is gone, and must not
    bring it back.
    """

    def __init__(self) -> None:
        self._known: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._known)

    def bury(self, uid: str, version: float) -> None:
        """That version is gone, and all before it."""
        self._known[uid] = max(version, self._known.pop(uid, 0))
        if len(self._known) > _GRAVES:
            del self._known[next(iter(self._known))]

    def holds(self, raw: Object) -> bool:
        """Whether the object is known to be gone."""
        return version(raw) <= self._known.get(uid(raw), -1)


class Newest:
    """By kind and name, the newest version ever seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}

    def take(self, kind: str, raw: Object) -> bool:
        """Take in a picture; False: a newer one of that name was seen."""
        key, found = (kind, raw["metadata"]["name"]), version(raw)
        if found < self._seen.get(key, 0):
            return False
        self._seen[key] = found
        return True
