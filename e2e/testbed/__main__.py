"""The command line: python3 -m e2e.testbed up|down|status|exec|build|cache."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType

from e2e.testbed import cache, clients, machine, packages, status, toolchain
from e2e.testbed.cluster import Cluster
from e2e.testbed.errors import TestbedError
from e2e.testbed.progress import Progress
from e2e.testbed.spec import ClusterSpec


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="python3 -m e2e.testbed",
        description="A throwaway Kubernetes on this machine: Linux, root, no container engine.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="demo", help="the cluster's name (default: %(default)s)")

    up = commands.add_parser("up", parents=[named], help="bring a cluster up")
    up.add_argument("--control-plane-only", action="store_true", help="no real node: up in seconds")
    up.add_argument(
        "--no-real-node", action="store_true", dest="control_plane_only", help=argparse.SUPPRESS
    )
    up.add_argument("--gpus", type=int, default=4, help="fake GPUs on the real node (default: 4)")
    up.add_argument("--kwok", action="store_true", help="run KWOK, with no node at first")
    up.add_argument("--kwok-nodes", type=int, default=0, help="fake GPU nodes of mixed models")
    up.add_argument("--images", default="", help="images to import, by name, comma-separated")
    up.add_argument("--audit", action="store_true", help="log every write to log/audit.jsonl")
    up.add_argument(
        "--hpa-sync-period", type=float, default=1.0, help="seconds (default: %(default)s)"
    )

    commands.add_parser("down", parents=[named], help="end a cluster and remove all of it")
    commands.add_parser("status", help="what is up, and what it costs")
    run = commands.add_parser(
        "exec", parents=[named], help="run a command inside the cluster's network"
    )
    run.add_argument("argv", nargs="+", metavar="command", help="after --; kubectl, helm, …")
    commands.add_parser("build", help="build and fetch everything that up needs")
    commands.add_parser("cache", help="list what is cached")
    return top


def spec_of(options: argparse.Namespace) -> ClusterSpec:
    """The cluster that `up` was asked for."""
    return ClusterSpec(
        name=options.name,
        real_node=not options.control_plane_only,
        gpus=options.gpus,
        kwok=options.kwok,
        kwok_nodes=options.kwok_nodes,
        audit=options.audit,
        hpa_sync_period_s=options.hpa_sync_period,
        images=tuple(filter(None, options.images.split(","))),
    )


def run(options: argparse.Namespace) -> int:
    """Do what was asked; returns the exit status."""
    progress = Progress()
    if options.command == "up":
        Cluster(spec_of(options), progress).up()
    elif options.command == "down":
        Cluster(ClusterSpec(name=options.name), progress).down()
        progress(f"cluster {options.name} is down")
    elif options.command == "status":
        for line in status.lines():
            print(line)
    elif options.command == "exec":
        cluster = Cluster(ClusterSpec(name=options.name), progress)
        command = cluster.command(options.argv)
        os.execvpe(command[0], command, cluster.environment())
    elif options.command == "build":
        machine.check()
        packages.ensure(real_node=True, progress=progress)
        toolchain.ensure(progress)
        clients.clients(progress)
        progress("everything is built")
    elif options.command == "cache":
        for name, size_bytes in cache.entries():
            print(f"{size_bytes / 2**20:8.0f} MiB  {name}")
        print(f"in {cache.root()}")
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Errors are one sentence on stderr; TERM cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run(parser().parse_args())
    except TestbedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
