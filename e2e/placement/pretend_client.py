"""What the disturbance asks of a client, of the cluster in memory (`pretend`)."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable

from e2e.bench.client import Object, Objects
from e2e.placement.pretend import Pretend, name_of, node_of
from e2e.testbed import TestbedError


class Client:
    """As `e2e.bench.client.Client`, for the paths that the disturbance uses."""

    def __init__(self, cluster: Pretend) -> None:
        self._cluster = cluster

    async def namespace(self, name: str) -> None:
        path = f"/api/v1/namespaces/{name}/serviceaccounts"
        await self.create(path, {"metadata": {"name": "default"}})

    async def create(self, path: str, body: Object) -> Object:
        plural, namespace, _ = _parsed(path)
        made = copy.deepcopy(body)
        if namespace:
            made["metadata"]["namespace"] = namespace
        if plural == "nodes":
            made["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        if plural == "pods":
            made["status"] = {"phase": "Pending"}
        made = self._cluster.put(plural, made)
        if plural == "pods" and node_of(made):
            self._cluster.bind(name_of(made), node_of(made))
        return made

    async def patch(self, path: str, body: Object) -> Object:
        plural, namespace, name = _parsed(path)
        key = f"{namespace}/{name}" if namespace else name
        made = self._cluster.change(plural, key, lambda obj: _merge(obj, body))
        if made is None:
            raise TestbedError(f"PATCH {path}: 404: not there")
        return made

    async def delete(self, path: str) -> None:
        plural, namespace, name = _parsed(path)
        key = f"{namespace}/{name}" if namespace else name
        if key not in self._cluster.collections[plural]:
            raise TestbedError(f"DELETE {path}: 404: not there")
        if plural == "pods":
            self._cluster.end_pod(key)
        else:
            self._cluster.remove(plural, key)

    async def until(self, path: str, done: Callable[[Objects], bool]) -> Objects:
        plural, namespace, _ = _parsed(path)
        while True:
            there = {
                obj["metadata"]["name"]: obj
                for obj in self._cluster.collections[plural].values()
                if not namespace or obj["metadata"]["namespace"] == namespace
            }
            if done(there):
                return there
            await asyncio.sleep(0.2)


def _merge(target: Object, patch: Object) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)


def _parsed(path: str) -> tuple[str, str, str]:
    """Plural, namespace and name of a path; "" for what it does not have."""
    parts = path.split("/")[3 if path.startswith("/api/") else 4 :]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    return parts[0], namespace, parts[1] if len(parts) > 1 else ""
