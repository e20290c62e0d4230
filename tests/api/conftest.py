"""The API server under test: the one the `cluster` fixture brings up, and a namespace in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.testbed import Cluster
from tests.api.apiserver import NAMESPACE, ApiServer, Kubectl


@pytest.fixture(scope="session")
def server(cluster: Cluster) -> Iterator[ApiServer]:
    """The API server, and in it the namespace of these tests."""
    client = ApiServer(cluster.kubeconfig)
    answer = client.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    assert answer.status == 201, answer.message
    yield client
    client.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    client.close()


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster, server: ApiServer) -> Kubectl:
    """kubectl in the namespace of these tests."""
    del server
    return Kubectl(cluster)
