"""``python -m e2e.load.first``: try until one inference is answered, and say when that was."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from e2e.load.clients import HttpClient

_BETWEEN_TRIES_S = 0.05


async def first(url: str, model: str, timeout_s: float) -> float | None:
    """The wall-clock time (Unix seconds) of the first good answer; None when none came."""
    client = HttpClient(url, model, keep_s=0)
    deadline_s = time.monotonic() + timeout_s
    try:
        while time.monotonic() < deadline_s:
            if not await client.infer():
                return time.time()
            await asyncio.sleep(_BETWEEN_TRIES_S)
    finally:
        await client.close()
    return None


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m e2e.load.first", description=__doc__)
    parser.add_argument("--http", required=True, metavar="URL", help="base URL of the service")
    parser.add_argument("--model", required=True, help="name of the model")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds to try for")
    args = parser.parse_args()
    answered_s = asyncio.run(first(args.http, args.model, args.timeout))
    if answered_s is None:
        print(f"no answer within {args.timeout:g} s", file=sys.stderr)
        return 1
    print(answered_s, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
