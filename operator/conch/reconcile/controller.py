"""The loop: take a key, observe, plan, write what differs, report once, say when to come back.

The only place that turns exceptions into back-off or conditions. One broken resource costs its own
turn and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import ValidationError

from conch.api import names, v1alpha1
from conch.api.conditions import Condition, ConditionType, Reason
from conch.errors import (
    ConchError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    LeaseLost,
    NotFound,
    NotOurs,
    SettingsError,
)
from conch.kube.views import Object
from conch.observe.state import ClusterState, Observation
from conch.observe.types import Key
from conch.reconcile import plan as planning
from conch.reconcile.apply import Writer
from conch.reconcile.queue import Priority, WorkQueue
from conch.settings import Settings
from conch.telemetry.catalog import Metrics

logger = logging.getLogger(__name__)

# Counts and measurements are written at most this often; what somebody waits for, at once.
_STATUS_EVERY_S = 2.0

# Transitions worth an event, besides every change of Ready and of the number of replicas.
_TOLD = {ConditionType.PLACED}
_QUIET = {
    Reason.PODS_STARTING,
    Reason.PROGRESSING,
    Reason.ROLLING_OUT,
    Reason.SCALED_TO_ZERO,
    Reason.IDLE,
}

_TAKEN = ("Deployment", "Service")
_DONE = planning.Outcome()

BUILTIN_RUNTIME = "triton"


def builtin_runtime(settings: Settings) -> tuple[str, v1alpha1.TritonRuntimeSpec]:
    """The runtime that exists without anybody creating one. Raises SettingsError."""
    spec = {
        "image": settings.triton_image,
        "release": settings.triton_release,
        "imagePullPolicy": settings.triton_image_pull_policy,
        "backendDirectory": settings.triton_backend_directory or None,
    }
    try:
        return BUILTIN_RUNTIME, v1alpha1.TritonRuntimeSpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"CONCH_TRITON_*: {field}: {first['msg']}") from error


def plan_options(settings: Settings) -> planning.Options:
    """What the plan needs from the settings."""
    return planning.Options(
        allowed_sources=settings.allowed_sources,
        allow_private_hosts=settings.allow_private_hosts,
        fetch_image=settings.fetch_image,
        fetch_image_pull_policy=settings.fetch_image_pull_policy,
        fetch_max_bytes=settings.fetch_max_bytes,
        operator_namespace=settings.operator_namespace,
        drain_s=settings.drain_s,
        startup_budget_s=settings.startup_budget_s,
    )


class Controller:
    """Workers on the queue; everything they know is in ``state``."""

    def __init__(
        self,
        state: ClusterState,
        queue: WorkQueue,
        writer: Writer,
        settings: Settings,
        metrics: Metrics,
        on_lost: Callable[[], None],
        replan: Callable[[], None],
        rng: random.Random | None = None,
    ) -> None:
        self._state = state
        self._queue = queue
        self._writer = writer
        self._metrics = metrics
        self._on_lost = on_lost
        self._replan = replan
        self._options = plan_options(settings)
        self._builtin = builtin_runtime(settings)
        self._resync_s = settings.resync_s
        self._workers = settings.workers
        self._rng = rng or random.Random()
        self._reported_s: dict[Key, float] = {}
        self._turned_s = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        # Not before: at a standby things wait for nobody.
        self._metrics.queue_depth.set_function(lambda: len(self._queue))
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    def silent_s(self) -> float:
        """For how many seconds there has been work under way and none ended."""
        now_s = asyncio.get_running_loop().time()
        return now_s - self._turned_s if self._queue.working else 0.0

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            key = await self._queue.get()
            started = loop.time()
            if self._queue.working == 1:
                self._turned_s = started  # before, there was nothing to do
            try:
                await self._turn(key)
            except LeaseLost:
                self._on_lost()
                return
            finally:
                self._queue.done(key)
                self._turned_s = loop.time()
                self._metrics.reconcile_seconds.observe(loop.time() - started)

    async def _turn(self, key: Key) -> None:
        try:
            again_s = await self.reconcile(key)
        except LeaseLost:
            raise
        except ConchError as error:
            self._metrics.reconciles.labels("retry").inc()
            delay_s = self._queue.retry(key)
            logger.info("%s: %s; again in %.1f s", key, error, delay_s)
        except Exception as error:
            # A defect of ours in one resource's case must not stop the others.
            self._metrics.reconciles.labels("error").inc()
            self._queue.retry(key)
            logger.exception("%s: reconcile failed", key)
            await self._report_defect(key, error)
        else:
            self._metrics.reconciles.labels("ok").inc()
            self._queue.succeeded(key)
            if again_s is not None:
                self._queue.add_after(key, again_s)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one service a step closer; returns when to look again, in seconds."""
        obs = self._state.observe(key, self._builtin, _now())
        if obs is None:
            self._forget(key)
            return None
        if "deletionTimestamp" in obs.raw["metadata"]:
            return None  # its children go with it; making new ones would hold it up
        if obs.service is not None and obs.runtime is not None and obs.assignment is None:
            return None  # the planner wakes us when it has decided
        plan = planning.make(obs, self._options)
        outcome = await self._perform(obs, plan)
        if outcome is None:
            return None
        if outcome == _DONE and self._queue.pressing and any(a.create for a in plan.applies):
            # In a burst, making what others wait for goes before telling what was made here.
            self._queue.add(key, Priority.CHILD)
            return None
        fresh = self._state.observe(key, self._builtin, obs.now)
        if fresh is None or _identity(fresh) != _identity(obs):
            self._queue.add(key)  # what was done is not about what is there now: no status
            return None
        # Children as the server has them now, judged against the same spec and decision.
        status = planning.conclude(fresh, plan, outcome)
        self._measure(fresh, plan, status)
        later_s = await self._report(fresh, status)
        resync_s = self._resync_s * self._rng.uniform(0.8, 1.2)
        return min(s for s in (later_s, status.requeue_after_s, resync_s) if s is not None)

    async def _perform(self, obs: Observation, plan: planning.Plan) -> planning.Outcome | None:
        """Make the plan's writes; None when the service turned out to be gone."""
        if plan.halted:
            return planning.Outcome()
        uid = obs.raw["metadata"]["uid"]
        creates = [a.obj for a in plan.applies if a.create]
        if creates:
            # What we remember may be stale: never build for a service that is gone, never take
            # an object that was there before us. Asked for the kinds that people make of that
            # name; of the others, the server would refuse us somebody else's.
            exists, found = await asyncio.gather(
                self._writer.service_exists(obs.key, uid),
                self._read([c for c in creates if c["kind"] in _TAKEN]),
            )
            if not exists:
                self._gone(obs)
                return None
            for live in found:
                if live is not None and not planning.owned_by(live, uid):
                    return planning.Outcome(collision=planning.describe(live))
        # Side by side: no child needs another, and a new service waits for one answer, not for
        # three. All of them are awaited: a write must not go on behind the next reconcile's back.
        applied = await asyncio.gather(*map(self._apply, plan.applies), return_exceptions=True)
        refused: list[str] = []
        for outcome in applied:
            if isinstance(outcome, BaseException):
                raise outcome
            if outcome.collision:
                return outcome
            refused += outcome.refused
        if plan.scale_to is not None and not refused:
            self._state.foreign.retaken(obs.key, obs.now)
            refused += await self._scale(obs.key, plan.scale_to)
        for part, count in plan.parts_to.items():
            if not refused:
                further = Key(obs.key.namespace, names.part_name(obs.key.name, part))
                refused += await self._scale(further, count)
        if plan.building and not refused:
            self._state.stood_in(obs.key, plan.substitutes, plan.spare)
        for child in plan.deletes:
            try:
                await self._writer.delete(child)
                self._state.remove_child(child)
            except Forbidden as error:
                refused.append(f"deletion of {planning.describe(child)}: {error.message}")
        return planning.Outcome(tuple(refused))

    async def _scale(self, deployment: Key, replicas: int) -> list[str]:
        """Write a Deployment's replicas; what is refused for good is told."""
        try:
            live = await self._writer.scale(deployment, replicas)
        except (Invalid, Forbidden) as error:
            return [f"replicas of Deployment {deployment.name}: {error.message}"]
        self._state.set_child({"apiVersion": "apps/v1", "kind": "Deployment", **live})
        return []

    async def _read(self, children: list[Object]) -> list[Object | None]:
        return await asyncio.gather(*map(self._writer.read_child, children))

    async def _apply(self, action: planning.Apply) -> planning.Outcome:
        """Write one child; what is refused for good is an outcome, all else is raised."""
        try:
            live = await self._writer.apply(action.obj, action.why, create=action.create)
        except NotOurs as error:
            return planning.Outcome(collision=str(error))
        except (Invalid, Forbidden) as error:
            return planning.Outcome((f"{planning.describe(action.obj)}: {error.message}",))
        self._state.set_child(_typed(live, action.obj))
        return planning.Outcome()

    def _gone(self, obs: Observation) -> None:
        """The server says that this very service is gone, and nobody has told us yet."""
        if self._state.remove_service(obs.key, obs.raw["metadata"]["uid"]):
            self._forget(obs.key)
            self._replan()  # the place it was promised is free

    def _forget(self, key: Key) -> None:
        self._queue.forget(key)
        self._reported_s.pop(key, None)
        self._metrics.forget_service(key.namespace, key.name)

    async def _report(self, obs: Observation, status: planning.Status) -> float | None:
        """Events for what changed, then the status: once, and only if it differs.

        Returns after how many seconds to come back when the change can wait.
        """
        if not planning.status_differs(obs, status):
            return None
        now_s = asyncio.get_running_loop().time()
        due_s = self._reported_s.get(obs.key, float("-inf")) + _STATUS_EVERY_S
        if now_s < due_s and not planning.urgent(obs, status):
            return due_s - now_s
        self._reported_s[obs.key] = now_s
        told = obs.raw.get("status", {})
        before = {c["type"]: c for c in told.get("conditions", [])}
        size_before = told.get("desiredReplicas")
        size = status.body.get("desiredReplicas")
        resized = (
            "decision" in status.body and None not in (size, size_before) and (size != size_before)
        )
        for condition in status.conditions:
            old = before.get(condition.type.value, {})
            if _worth_telling(condition, old, resized):
                await self._tell(
                    obs,
                    condition,
                    warning=condition.status == "False" and condition.reason not in _QUIET,
                    since=f"{old.get('lastTransitionTime')}{old.get('reason')}{size_before}",
                )
        try:
            live = await self._writer.status(obs.key, obs.raw["metadata"]["uid"], status.body)
        except NotFound:
            self._gone(obs)
            return None
        except Conflict as error:
            raise Gone(410, message=f"{obs.key} was replaced: {error}") from error
        self._state.set_service(live)
        if live["metadata"].get("generation") != obs.raw["metadata"].get("generation"):
            self._queue.add(obs.key)  # the watch tells nothing new of a spec that we saw first
        return None

    async def _tell(
        self, obs: Observation, condition: Condition, *, warning: bool, since: str
    ) -> None:
        """An event; that it is refused (a quota, a terminating namespace) costs no status."""
        try:
            await self._writer.event(obs.raw, condition, warning=warning, since=since, now=obs.now)
        except (Invalid, Forbidden) as error:
            logger.warning("%s: the event %s is refused: %s", obs.key, condition.reason, error)

    async def _report_defect(self, key: Key, error: Exception) -> None:
        """Tell the user of a defect of ours; that telling fails too is only logged."""
        record = self._state.services.get(key)
        if record is None:
            return
        condition = Condition(
            ConditionType.READY, "Unknown", Reason.STEP_ERROR, f"Conch failed on this: {error!r}"
        )
        try:
            await self._writer.event(
                record.raw, condition, warning=True, since=type(error).__name__, now=_now()
            )
        except LeaseLost:
            raise
        except Exception as second:
            logger.warning("%s: could not report it: %r", key, second)

    def _measure(self, obs: Observation, plan: planning.Plan, status: planning.Status) -> None:
        labels = (obs.key.namespace, obs.key.name)
        self._metrics.wanted.labels(*labels).set(plan.replicas)
        self._metrics.ready.labels(*labels).set(sum(p.ready for p in obs.pods))
        self._metrics.tell_conditions(*labels, status.conditions)


def _identity(obs: Observation) -> tuple[str, int]:
    meta = obs.raw["metadata"]
    return meta["uid"], meta.get("generation", 0)


def _typed(live: Object, applied: Object) -> Object:
    return {"apiVersion": applied["apiVersion"], "kind": applied["kind"], **live}


def _worth_telling(condition: Condition, old: Object, resized: bool) -> bool:
    changed = old.get("status") != condition.status or old.get("reason") != condition.reason.value
    if condition.type is ConditionType.SCALING:
        return resized or (changed and condition.status == "False")
    if condition.type is ConditionType.READY:
        return changed and condition.reason not in _QUIET
    if condition.reason in (Reason.NODE_LEAVING, Reason.MOVING, Reason.MOVING_BACK):
        return changed
    # Placed at the first try is no news: Ready says so, or why not.
    news = changed and condition.type in _TOLD and condition.status == "True"
    return news and old.get("status") == "False"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
