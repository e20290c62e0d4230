"""The API server under test: the one the `cluster` fixture brings up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conch.api import crdgen
from conch.api.v1alpha1 import CRDS
from e2e.testbed import Cluster
from tests.api.apiserver import ApiServer


@pytest.fixture(scope="session")
def server(cluster: Cluster) -> Iterator[ApiServer]:
    """The API server, with the CRDs as the code generates them now."""
    cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=_all_crds())
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=20s", *_crd_names())
    client = ApiServer(cluster.kubeconfig)
    yield client
    client.close()


def _all_crds() -> str:
    return "".join(crdgen.manifests().values())


def _crd_names() -> list[str]:
    return [f"crd/{meta.plural}.conch.dev" for meta in CRDS]
