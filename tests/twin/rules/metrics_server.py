"""A metrics API server for the real HPA: custom and external metrics out of one JSON file.

Run as ``metrics_server.py CERTIFICATE KEY PORT FILE``. The file, read anew for every request, holds
{"pods": {metric: {pod: value}}, "external": {metric: value}}; every namespace gets the same.
"""

from __future__ import annotations

import json
import ssl
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"


def answer(path: str, known: dict[str, Any]) -> dict[str, Any]:
    """The JSON for one request."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    parts = path.strip("/").split("/")
    group_version = "/".join(parts[1:3])
    if len(parts) <= 3:
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version,
            "resources": [],
        }
    namespace, metric = parts[4], parts[-1]
    items: list[dict[str, Any]]
    if path.startswith(CUSTOM):
        kind = "MetricValueList"
        items = [
            {
                "describedObject": {
                    "kind": "Pod",
                    "apiVersion": "v1",
                    "name": pod,
                    "namespace": namespace,
                },
                "metric": {"name": metric},
                "timestamp": now,
                "value": f"{round(1000 * value)}m",
            }
            for pod, value in known["pods"].get(metric, {}).items()
        ]
    else:
        kind = "ExternalMetricValueList"
        value = f"{round(1000 * known['external'].get(metric, 0))}m"
        items = [{"metricName": metric, "metricLabels": {}, "timestamp": now, "value": value}]
    return {"kind": kind, "apiVersion": group_version, "metadata": {}, "items": items}


def main(certificate: str, key: str, port: str, file: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer(urlsplit(self.path).path, json.loads(Path(file).read_text())))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
