"""Talking to a real API server, one request at a time and without a client's own validation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kubernetes import config

from e2e.testbed import Cluster
from tests.api import documents

NAMESPACE = "api-tests"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said."""

    status: int
    body: dict[str, Any]

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


class ApiServer:
    """The API server of a kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = config.new_client_from_config(  # type: ignore[no-untyped-call]
            str(kubeconfig), persist_config=False
        )

    def close(self) -> None:
        self._client.rest_client.pool_manager.clear()

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        **query: str,
    ) -> Answer:
        """Send ``body``, bytes as they are and all else as JSON."""
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._client.configuration.host}{path}?{urlencode(query)}"
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        response = self._client.rest_client.pool_manager.request(
            method, url, body=data, headers=headers, timeout=30
        )
        return Answer(response.status, json.loads(response.data))

    def create(self, document: dict[str, Any], *, dry_run: bool = True) -> Answer:
        """Create an object of one of our kinds, unknown fields refused."""
        query = {"dryRun": "All"} if dry_run else {}
        path = collection(str(document["kind"]))
        return self.request("POST", path, document, fieldValidation="Strict", **query)


class Kubectl:
    """kubectl in the namespace of these tests; raises TestbedError with what it said."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def __call__(self, *argv: str, stdin: str | None = None) -> str:
        return self._cluster.kubectl("--namespace", NAMESPACE, *argv, stdin=stdin)


def collection(kind: str) -> str:
    """The path of all objects of one of our kinds; in these tests' namespace."""
    meta = documents.BY_NAME[kind]
    namespace = f"namespaces/{NAMESPACE}/" if meta.scope == "Namespaced" else ""
    return f"/apis/conch.dev/v1alpha1/{namespace}{meta.plural}"
