"""What `conch capacity` and `conch place` take; what they do lies in modules of those names."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conch.cli.options import Context, Format, Kubeconfig, Namespace, Output
from conch.errors import UsageError

if TYPE_CHECKING:
    from conch.cli.snapshot import Snapshot

SnapshotFile = Annotated[
    Path | None,
    typer.Option(
        "--snapshot",
        metavar="FILE",
        help="What conch capacity --save wrote, instead of the cluster.",
    ),
]


def capacity(
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Write what was read into a file, for later."),
    ] = None,
    snapshot: SnapshotFile = None,
    output: Format = Output.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """One line per accelerator class: nodes, units, what is free and what fits, and its price.

    STRANDED units are free on nodes without CPU or memory for a replica; FRAGMENTED ones share
    their node with units that are taken. FITS: replicas that need 1, 2, 4, 8 units on one node.
    """
    if save is not None and snapshot is not None:
        raise UsageError("--save and --snapshot exclude each other: a snapshot is a file already")
    from conch.cli import capacity as counting
    from conch.cli import capacity_screen, screen
    from conch.cli import snapshot as snapshots
    from conch.cli.output import Report

    with Report(save) as file:
        read = _read(snapshot, kubeconfig, context)
        if file is not None:
            file.write(snapshots.text(read))
    state = snapshots.state(read, str(snapshot or "the cluster"))
    found = counting.fleet(state.inventory(), counting.users(state), counting.default_host())
    if output is Output.JSON:
        print(json.dumps({"taken": read.taken, **dataclasses.asdict(found)}, indent=2))
    else:
        screen.show(capacity_screen.table(found), unwrapped=True)


def place(
    file: Annotated[
        Path,
        typer.Option("-f", "--file", metavar="FILE", help="File with the InferenceService."),
    ],
    replicas: Annotated[
        int | None,
        typer.Option(
            "--replicas", min=1, metavar="N", help="How many; default: as many as it starts with."
        ),
    ] = None,
    snapshot: SnapshotFile = None,
    namespace: Namespace = None,
    output: Format = Output.TABLE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Where a service would go, what that would cost, and what would have to be added.

    The operator's own planner answers; nothing is written. AcceleratorClasses and TritonRuntimes
    in the same file count as if they were there. Exit code 1: not all replicas would find room.
    """
    from conch.cli import place as placing
    from conch.cli import place_screen, screen
    from conch.cli.context import default_namespace
    from conch.cli.simulate import read_service

    service = read_service(file)  # before the cluster is asked: a mistake is told at once
    chosen = namespace or service.metadata.namespace
    if not chosen:
        chosen = "default" if snapshot else default_namespace(kubeconfig, context)
    from conch.cli import snapshot as snapshots

    read = snapshots.with_declared(_read(snapshot, kubeconfig, context), file)
    found = asyncio.run(
        placing.place(read, str(snapshot or "the cluster"), service, chosen, replicas)
    )
    if output is Output.JSON:
        print(json.dumps(dataclasses.asdict(found), indent=2))
    else:
        screen.show(place_screen.text(found))
    raise typer.Exit(0 if found.missing == 0 and found.class_name else 1)


def _read(file: Path | None, kubeconfig: Path | None, context: str | None) -> Snapshot:
    from conch.cli import snapshot as snapshots

    if file is not None:
        return snapshots.load(file)
    from conch.cli.context import check
    from conch.kube.transport import Api

    check(kubeconfig, context)

    async def gather() -> Snapshot:
        async with await Api.connect(kubeconfig, context) as api:
            return await snapshots.gather(api, datetime.now(UTC).isoformat(timespec="seconds"))

    read = asyncio.run(gather())
    if read.unread:
        told = f"you may not list {', '.join(read.unread)}: taken as if there were none."
        print(told, file=sys.stderr)
    return read
