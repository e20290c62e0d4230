"""The figure: the share of points after which everything is as if nothing had happened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from e2e.bench import world
from e2e.bench.audit import AuditLog, Write
from e2e.bench.crash import oracle
from e2e.bench.crash.lane import Lane, Run
from e2e.bench.crash.stories import STORIES, Story
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.inside import run
from e2e.testbed import Cluster, TestbedError

_LIMIT_S = 900.0
_FIRST_PORT = 18200


def _measure(ctx: Context) -> Result:
    cluster = world.prepared(ctx)
    log = AuditLog(cluster.audit_log)
    runs = run(cluster, _lanes(ctx, cluster, STORIES), _LIMIT_S)
    wrong = judge(runs, list(log.new()))
    points = [one for one in runs if one.cut is not None and one.reached]
    details = {f"{one.story.name}: {one.cut}": found for one, found in wrong}
    (ctx.folder / "crash-points.json").write_text(json.dumps(details, indent=2) + "\n")
    for point, found in details.items():
        ctx.progress(f"NOT THE SAME {point}")
        for line in found[:6]:
            ctx.progress(f"    {line[:300]}")
    counted = ", ".join(
        f"{story.name} {sum(p.story is story for p in points)}" for story in STORIES
    )
    return Result(
        (len(points) - len(wrong)) / len(points),
        f"{len(points)} points ({counted}): SIGKILL after each write, answered or answer lost"
        + (f"; {len(wrong)} differ, see crash-points.json" if wrong else ""),
    )


async def _lanes(ctx: Context, cluster: Cluster, stories: Sequence[Story]) -> list[Run]:
    ctx.folder.mkdir(parents=True, exist_ok=True)
    lanes = [
        Lane(cluster, story, _FIRST_PORT + 10 * number, ctx.folder, ctx.progress)
        for number, story in enumerate(stories)
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(lane.run()) for lane in lanes]
    return [one for task in tasks for one in task.result()]


def judge(runs: Sequence[Run], writes: Sequence[Write]) -> list[tuple[Run, list[str]]]:
    """The points that differ from the undisturbed runs of their story, and in what.

    Raises TestbedError when there is nothing to compare with.
    """
    ends = {id(one): _end(one, writes) for one in runs}
    wrong = []
    for story in {id(one.story): one.story for one in runs}.values():
        mine = [one for one in runs if one.story is story]
        references = [one for one in mine if one.cut is None]
        failed = next((one.failure for one in references if one.failure), None)
        if failed is not None or not references:
            raise TestbedError(f"the undisturbed run of {story.name} failed: {failed}")
        undisturbed = [ends[id(one)] for one in references]
        ignored = oracle.varying(undisturbed)
        for one in mine:
            found = (
                [one.failure]
                if one.failure
                else oracle.differences(undisturbed[0], ends[id(one)], ignored)
            )
            if one.cut is not None and found:
                wrong.append((one, found))
    return wrong


def _end(one: Run, writes: Sequence[Write]) -> oracle.State:
    during = (w for w in writes if one.from_s <= w.answered_s <= one.until_s)
    return one.state | oracle.effort(during, one.name, one.story.namespace)


CRASH_POINTS = Figure(
    "crash_points_ok",
    "",
    1.0,
    "higher",
    "killed after every write: same end state, same creates and deletes",
    _measure,
)
