"""The fake API server, with as much server-side apply as the controller needs.

Fields given replace those there were, one level into ``spec``; labels, annotations and owners are
kept. Conflicts and refusals are scripted by the test; the real rules are tested on a real server.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from conch.api import names
from tests.kube.fake_api import FakeApi, Object, Seen, status
from tests.reconcile.builders import KEY, NOW, raw

ROOT = f"namespaces/{KEY.namespace}"
SERVICES = f"/apis/{names.API_VERSION}/{ROOT}/inferenceservices"
DEPLOYMENTS = f"/apis/apps/v1/{ROOT}/deployments"
EVENTS = f"/api/v1/{ROOT}/events"


class ApplyApi(FakeApi):
    """Understands apply-patches of objects and of their status."""

    def service(self, name: str = KEY.name, **spec: Any) -> Object:
        """An InferenceService that was just created, as the server sends it."""
        made = raw(spec)
        live = self.put(SERVICES, name, KEY.namespace, spec=made["spec"])
        live["metadata"] |= {"generation": 1, "creationTimestamp": NOW}
        return {"apiVersion": made["apiVersion"], "kind": made["kind"], **_copy(live)}

    def empty(self, *collections: str) -> None:
        """Collections that are known and have nothing in them."""
        for collection in collections:
            self._objects.setdefault(collection, {})

    def writes(self) -> list[str]:
        """What was written: the plural, or plural/status."""
        found = []
        for seen in self.seen:
            if seen.method != "GET" and f"/{ROOT}/" in seen.path:
                rest = seen.path.split(f"/{ROOT}/")[1].split("/")
                found.append("/".join(part for i, part in enumerate(rest) if i != 1))
        return found

    def conditions(self, name: str = KEY.name) -> dict[str, tuple[str, str]]:
        """Status and reason of the service's conditions, by type."""
        live = self.find(f"{SERVICES}/{name}") or {}
        found = live.get("status", {}).get("conditions", [])
        return {c["type"]: (c["status"], c["reason"]) for c in found}

    def _patch(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        wanted = seen.json
        target, _, subresource = seen.path.partition("/status")
        del subresource
        known = self.find(target)
        if known is None and (target != seen.path or wanted["kind"] == names.INFERENCE_SERVICE):
            return status(404, "NotFound", f"{target} not found")(request)
        before = _copy(known) if known is not None else {"metadata": {}}
        uid = wanted["metadata"].get("uid")
        if uid and uid != before["metadata"]["uid"]:
            return status(409, "Conflict", "Precondition failed: UID in precondition")(request)
        fields = {k: v for k, v in before.items() if k != "metadata"}
        for field, value in wanted.items():
            if field == "spec":
                fields["spec"] = {**fields.get("spec", {}), **value}
            elif field != "metadata":
                fields[field] = value
        collection, _, name = target.rpartition("/")
        live = self.put(collection, name, KEY.namespace, **fields)
        live["metadata"] = {**before["metadata"], **wanted["metadata"], **live["metadata"]}
        if fields.get("spec") != before.get("spec"):
            live["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        return web.json_response(live)


def _copy(obj: Object) -> Object:
    return {**obj, "metadata": dict(obj["metadata"])}
