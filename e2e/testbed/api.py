"""A few calls to the cluster's API server, from the host, with the standard library only.

For the test bed itself: readiness, the real node's fake GPUs, KWOK's nodes. Tests and tools take a
real client and `Cluster.kubeconfig`.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from e2e.testbed.errors import TestbedError
from e2e.testbed.layout import Layout
from e2e.testbed.pki import ADMIN

MERGE_PATCH = "application/merge-patch+json"


class ApiClient:
    """One keep-alive connection as the cluster's admin; not for several threads at once."""

    def __init__(self, place: Layout, port: int) -> None:
        context = ssl.create_default_context(cafile=str(place.pki / "ca.crt"))
        context.load_cert_chain(place.pki / f"{ADMIN}.crt", place.pki / f"{ADMIN}.key")
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
        self._connection.timeout = 30

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body. Raises OSError or HTTPException when there is no answer."""
        data = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, data, {"Content-Type": content_type})
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def get(self, path: str) -> Any | None:
        """The object at `path`; None when there is none."""
        status, body = self.request("GET", path)
        if status == 404:
            return None
        return self._checked("GET", path, status, body)

    def create(self, path: str, body: Any) -> None:
        """Create; an object of the name that exists already is left as it is."""
        status, answer = self.request("POST", path, body)
        if status != 409:
            self._checked("POST", path, status, answer)

    def patch(self, path: str, body: Any) -> None:
        status, answer = self.request("PATCH", path, body, MERGE_PATCH)
        self._checked("PATCH", path, status, answer)

    def ready(self) -> bool:
        try:
            return self.request("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def close(self) -> None:
        self._connection.close()

    @staticmethod
    def _checked(method: str, path: str, status: int, body: bytes) -> Any:
        if status >= 300:
            raise TestbedError(f"{method} {path} answered {status}: {body.decode()[:300]}")
        return json.loads(body)
