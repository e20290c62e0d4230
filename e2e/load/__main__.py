"""``python -m e2e.load``: send a load, print a JSON line per interval and a summary at the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from e2e.load.arrivals import Phase, arrivals, parse
from e2e.load.clients import Client, GrpcClient, HttpClient


@dataclass(slots=True)
class Tally:
    """Answers of one interval or of the whole run."""

    sent: int = 0
    failed: int = 0
    latencies_s: list[float] = field(default_factory=list)

    def summary(self, target_s: float) -> dict[str, float | int | None]:
        """Counts, percentiles in milliseconds, and the share within the target.

        A failed request is not within any target.
        """
        ordered = sorted(self.latencies_s)
        answered = len(ordered)
        total = answered + self.failed
        within = sum(latency <= target_s for latency in ordered)
        return {
            "sent": self.sent,
            "answered": answered,
            "failed": self.failed,
            "p50_ms": percentile_ms(ordered, 50),
            "p99_ms": percentile_ms(ordered, 99),
            "within": within,
            "share": within / total if total else None,
        }


def percentile_ms(ordered: Sequence[float], percentile: float) -> float | None:
    """Nearest-rank percentile of sorted seconds, in milliseconds; None of nothing."""
    if not ordered:
        return None
    rank = max(1, math.ceil(len(ordered) * percentile / 100))
    return round(ordered[rank - 1] * 1000, 2)


async def run(
    client: Client, phases: Sequence[Phase], *, target_s: float, every_s: float, seed: int
) -> dict[str, object]:
    """Send the load; prints a JSON line per interval; returns the summary."""
    total, interval = Tally(), Tally()
    by_phase = [Tally() for _ in phases]
    errors: dict[str, int] = {}
    running: set[asyncio.Task[None]] = set()
    started_s = time.monotonic()
    phase_now = 0

    async def one(due_s: float, phase: int) -> None:
        problem = await client.infer()
        latency_s = time.monotonic() - started_s - due_s
        for tally in (total, interval, by_phase[phase]):
            if problem:
                tally.failed += 1
            else:
                tally.latencies_s.append(latency_s)
        if problem:
            errors[problem] = errors.get(problem, 0) + 1

    def tell(done: bool) -> None:
        nonlocal interval
        line = {
            "at_s": round(time.monotonic() - started_s, 2),
            "wall_s": time.time(),
            "phase": phase_now,
            "rate": phases[phase_now].rate_per_s,
            "open": len(running),
            "done": done,
            **interval.summary(target_s),
        }
        interval = Tally()
        print(json.dumps(line), flush=True)

    async def reporter() -> None:
        while True:
            await asyncio.sleep(every_s)
            tell(False)

    reporting = asyncio.create_task(reporter())
    end_s = sum(p.seconds for p in phases)
    try:
        for due_s, phase in arrivals(phases, seed):
            delay_s = started_s + due_s - time.monotonic()
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            phase_now = phase
            for tally in (total, interval, by_phase[phase]):
                tally.sent += 1
            task = asyncio.create_task(one(due_s, phase))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.sleep(max(0.0, started_s + end_s - time.monotonic()))
        if running:
            await asyncio.wait(running, timeout=15)
    finally:
        reporting.cancel()
        for task in running:
            task.cancel()
        await client.close()
    phase_now = len(phases) - 1
    tell(True)
    return {
        "summary": total.summary(target_s),
        "phases": [
            {"rate": p.rate_per_s, "seconds": p.seconds, **t.summary(target_s)}
            for p, t in zip(phases, by_phase, strict=True)
        ],
        "errors": dict(sorted(errors.items(), key=lambda item: -item[1])[:10]),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.load",
        description="Send an open-loop load of inference requests (X FP32[1,4]) to a Triton model.",
        epilog="example: python -m e2e.load --http http://10.96.1.2:8000 --model resnet "
        "--phases 20x30,110x90 --target-ms 400",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--http", metavar="URL", help="send over HTTP to this base URL")
    where.add_argument("--grpc", metavar="HOST:PORT", help="send over gRPC to this address")
    parser.add_argument("--model", required=True, help="name of the model")
    parser.add_argument("--phases", required=True, help="RATExSECONDS[,…], requests per second")
    parser.add_argument("--target-ms", type=float, required=True, help="the latency objective")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between lines")
    parser.add_argument(
        "--keep", type=float, default=0.0, help="seconds an HTTP connection lives; 0: one request"
    )
    parser.add_argument("--channels", type=int, default=16, help="gRPC channels")
    parser.add_argument("--seed", type=int, default=1, help="seed of the arrivals")
    args = parser.parse_args(argv)
    try:
        phases = parse(args.phases)
    except ValueError as error:
        parser.error(str(error))

    async def go() -> dict[str, object]:
        client: Client = (
            HttpClient(args.http, args.model, args.keep)
            if args.http
            else await GrpcClient.open(args.grpc, args.model, args.channels)
        )
        return await run(
            client, phases, target_s=args.target_ms / 1000, every_s=args.every, seed=args.seed
        )

    try:
        result = asyncio.run(go())
    except KeyboardInterrupt:
        return 130
    print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
