"""Where models come from in these tests: run inside the cluster's network, on the node's address.

PORT_S3 is a bucket `models` with the example model below `resnet/`; PORT_TLS speaks TLS with a
certificate that nobody trusts; PORT_SILENT accepts connections and never says a word.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from pathlib import Path

from e2e.models import repository
from tests.fetch import servers

ADDRESS = "10.88.0.1"
PORT_S3, PORT_TLS, PORT_SILENT = 9700, 9701, 9702
PORT_CLOSED = 9703


def main() -> None:
    """Serve until killed."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "resnet"
        repository.write("resnet", folder)
        files = {
            f"resnet/{file.relative_to(folder)}": file.read_bytes()
            for file in folder.rglob("*")
            if file.is_file()
        }
        bucket = stack.enter_context(servers.running(tls=False, host="0.0.0.0", port=PORT_S3))
        servers.s3_answers(bucket, "models", files)
        stack.enter_context(servers.running(tls=True, host="0.0.0.0", port=PORT_TLS))
        # The backlog takes the connections; nobody ever accepts them.
        stack.enter_context(socket.create_server(("0.0.0.0", PORT_SILENT), backlog=100))
        print("serving", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
