"""One listening socket on the host's loopback that leads into the cluster's network.

A program of its own: it binds on the host, then moves itself into the network namespace, where
every connection it makes starts. A listening socket stays in the namespace it was made in. Being
inside, it is found and ended with everything else of the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import sys
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_CHUNK_BYTES = 1 << 16


def enter(namespace_file: Path) -> None:
    """Move this process into a network namespace (os.setns came with Python 3.12)."""
    with namespace_file.open() as handle:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace_file))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def serve(listener: socket.socket, address: str, port: int) -> None:
    """Accept on `listener` for ever; every connection goes on to `address`:`port`."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(address, port)
        except OSError:  # the API server is not up yet, or down: say so by closing
            writer.close()
            return
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.close()
            writer.close()

    server = await asyncio.start_server(forward, sock=listener)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Arguments: inherited listening socket's descriptor, namespace file, address, port."""
    descriptor, namespace_file, address, port = sys.argv[1:]
    listener = socket.socket(fileno=int(descriptor))
    enter(Path(namespace_file))
    asyncio.run(serve(listener, address, int(port)))


if __name__ == "__main__":
    main()
