"""The bench's own client of the API server: what a person with kubectl would do, only faster.

Not conch's: what is measured must not measure itself, and the audit log tells the two apart by
userAgent. Works inside the cluster's network only (see `inside.py`).
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from e2e.testbed import Cluster, TestbedError
from e2e.testbed.layout import API_PORT, REPOSITORY
from e2e.testbed.pki import ADMIN

Object = dict[str, Any]
Objects = dict[str, Object]
USER_AGENT = "bench"
SERVICES = "/apis/conch.dev/v1alpha1/namespaces/{}/inferenceservices"
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
PODS = "/api/v1/namespaces/{}/pods"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
MERGE = "application/merge-patch+json"
SERVER = f"https://127.0.0.1:{API_PORT}"


def tls(cluster: Cluster) -> ssl.SSLContext:
    """TLS as the cluster's admin."""
    pki = cluster.place.pki
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / f"{ADMIN}.crt", pki / f"{ADMIN}.key")
    return context


class Client:
    """Requests to one API server; any answer but 2xx raises TestbedError."""

    def __init__(self, cluster: Cluster) -> None:
        self._tls = tls(cluster)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            SERVER,
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            headers={"User-Agent": USER_AGENT},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            read_bufsize=2**20,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Object:
        """The decoded answer. Raises TestbedError with the status and what the server said."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        async with self._session.request(method, path, data=data, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise TestbedError(f"{method} {path}: {answer.status}: {text[:300]}")
            decoded: Object = json.loads(text)
            return decoded

    async def create(self, path: str, body: Object) -> Object:
        return await self.request("POST", path, body)

    async def patch(self, path: str, body: Object) -> Object:
        """A JSON merge patch."""
        return await self.request("PATCH", path, body, MERGE)

    async def delete(self, path: str) -> None:
        """Delete an object, or with a collection's path all of it; in the background."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        await self.request("DELETE", path, options)

    async def items(self, path: str) -> list[Object]:
        """All objects of a collection."""
        items: list[Object] = (await self.request("GET", path))["items"]
        return items

    async def namespace(self, name: str) -> None:
        """Create a namespace; one that exists is fine."""
        try:
            await self.create("/api/v1/namespaces", {"metadata": {"name": name}})
        except TestbedError as error:
            if ": 409:" not in str(error):
                raise

    async def until(self, path: str, done: Callable[[Objects], bool]) -> Objects:
        """Watch a collection until `done(objects by name)`; bound it with asyncio.timeout."""
        separator = "&" if "?" in path else "?"
        while True:
            listed = await self.request("GET", path)
            objects = {one["metadata"]["name"]: one for one in listed["items"]}
            if done(objects):
                return objects
            version = listed["metadata"]["resourceVersion"]
            query = f"{path}{separator}watch=1&resourceVersion={version}"
            async with self._session.get(query) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break  # too old: list again
                    name = event["object"]["metadata"]["name"]
                    if event["type"] == "DELETED":
                        objects.pop(name, None)
                    else:
                        objects[name] = event["object"]
                    if done(objects):
                        return objects


def apply_crds(cluster: Cluster) -> None:
    """Our CRDs, established."""
    files = [p for crd in sorted((REPOSITORY / "crds").glob("*.yaml")) for p in ("-f", str(crd))]
    cluster.kubectl("apply", "--server-side", *files)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)


def is_ready(service: Object) -> bool:
    """Whether an InferenceService says Ready of the spec it has now."""
    status = service.get("status", {})
    return status.get("observedGeneration") == service["metadata"]["generation"] and any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", [])
    )


def unready(objects: Objects, names: Sequence[str]) -> list[str]:
    """Those of the named InferenceServices that are not Ready."""
    return [n for n in names if n not in objects or not is_ready(objects[n])]
