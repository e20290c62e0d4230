"""An external metrics API with one number in it: `python metrics_stub.py PORT CERT KEY FILE`.

Every metric of every namespace has the value that FILE holds. Standard library only: it runs in the
test bed's network namespace, where the API server reaches it as an aggregated API.
"""

from __future__ import annotations

import json
import ssl
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GROUP_VERSION = "external.metrics.k8s.io/v1beta1"


class Handler(BaseHTTPRequestHandler):
    """Discovery, and one value for whatever is asked."""

    protocol_version = "HTTP/1.1"
    value_file: Path

    def do_GET(self) -> None:
        path = self.path.split("?")[0].rstrip("/")
        if path == f"/apis/{GROUP_VERSION}":
            self._answer(200, discovery())
        elif path.startswith(f"/apis/{GROUP_VERSION}/namespaces/"):
            self._answer(200, values(path.rsplit("/", 1)[-1], self.value_file.read_text().strip()))
        else:
            self._answer(404, {"kind": "Status", "apiVersion": "v1", "code": 404})

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the API server's health checks would fill the log."""

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def discovery() -> dict[str, Any]:
    """The resources of the group."""
    resource = {
        "name": "requests",
        "singularName": "",
        "namespaced": True,
        "kind": "ExternalMetricValueList",
        "verbs": ["get"],
    }
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": GROUP_VERSION,
        "resources": [resource],
    }


def values(metric: str, value: str) -> dict[str, Any]:
    """The answer to a query of ``metric``."""
    item = {
        "metricName": metric,
        "metricLabels": {},
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "value": value,
    }
    return {
        "kind": "ExternalMetricValueList",
        "apiVersion": GROUP_VERSION,
        "metadata": {},
        "items": [item],
    }


def main(port: int, certificate: str, key: str, value_file: Path) -> None:
    """Serve until killed."""
    Handler.value_file = value_file
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
