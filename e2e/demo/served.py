"""The service that the demo shows, as the cluster has it. Reads only."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from e2e.demo.access import Access
from e2e.testbed import TestbedError

KIND = "InferenceService"


@dataclass(frozen=True, slots=True)
class Served:
    """One InferenceService, by its name in the context's namespace."""

    access: Access
    name: str

    @staticmethod
    def of(access: Access, manifest: str) -> list[Served]:
        """Those of a manifest that the cluster has."""
        told = access.kubectl("get", "-f", "-", "--ignore-not-found", "-o", "json", stdin=manifest)
        found = json.loads(told) if told.strip() else {}
        return [
            Served(access, item["metadata"]["name"])
            for item in found.get("items", [found])
            if item.get("kind") == KIND
        ]

    def delete(self) -> None:
        """Delete it and wait until it is gone."""
        self.access.kubectl("delete", "infs", self.name, "--ignore-not-found", "--wait")

    def read(self) -> dict[str, Any]:
        """The whole object; empty when there is none."""
        found = self.access.kubectl("get", "infs", self.name, "--ignore-not-found", "-o", "json")
        return dict(json.loads(found)) if found.strip() else {}

    def describe(self) -> str:
        """READY and REASON, as the service itself says."""
        conditions = self.read().get("status", {}).get("conditions", [])
        ready = next((c for c in conditions if c["type"] == "Ready"), None)
        return (
            f"{ready['status']} {ready['reason']}: {ready['message']}" if ready else "no status yet"
        )

    def wait_for_address(self) -> str:
        """The Service's URL by IP: the embedded cluster has no DNS."""
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            found = self.access.kubectl("get", "svc", self.name, "--ignore-not-found", "-o", "json")
            if found.strip():
                return f"http://{json.loads(found)['spec']['clusterIP']}:8000"
            time.sleep(0.1)
        raise TestbedError(f"no Service was made within 60 s: {self.describe()}")
