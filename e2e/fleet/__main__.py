"""`python -m e2e.fleet`: play every fake pod whose address is local here.

Prints one line when it listens. Steer it with
  curl -X PATCH 127.0.0.1:8003/pods -d '{"*": {"rate_per_s": 20}, "10.130.1.2": {"fault": "nan"}}'
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import sys
import time

from aiohttp import web

from e2e.fleet import http, server
from e2e.fleet.load import FAULTS, Load
from e2e.fleet.pods import Pods


async def serve(options: argparse.Namespace) -> None:
    """Serve until a signal to end."""
    loop = asyncio.get_running_loop()
    load = Load(models=tuple(options.model or ("resnet",)), rate_per_s=options.rate)
    pods = Pods(load, loop.time, time.time)
    triton = server.Triton(pods)
    async with contextlib.AsyncExitStack() as stack:
        for answers, port in (
            (triton.http, options.http_port),
            (triton.metrics, options.metrics_port),
        ):
            stack.callback((await http.listen(answers, options.address, port)).close)
        runner = web.AppRunner(server.control(pods), access_log=None, shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", options.control_port).start()
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
        gc.freeze()
        print(f"the fleet listens, control on 127.0.0.1:{options.control_port}", flush=True)
        await ended.wait()


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.fleet",
        description=__doc__,
        epilog=f"faults: {', '.join(FAULTS)}; all fields of a pod: e2e/fleet/load.py",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--address", default="0.0.0.0", help="of the pods (%(default)s)")
    parser.add_argument("--http-port", type=int, default=8000, help="%(default)s")
    parser.add_argument("--metrics-port", type=int, default=8002, help="%(default)s")
    parser.add_argument("--control-port", type=int, default=8003, help="%(default)s, loopback")
    parser.add_argument("--model", action="append", help="of every pod, repeatable (resnet)")
    parser.add_argument("--rate", type=float, default=0.0, help="requests/s per pod (%(default)s)")
    asyncio.run(serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
