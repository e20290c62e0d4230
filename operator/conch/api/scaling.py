"""``spec.scaling`` of an InferenceService: who chooses the number of replicas, and its limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from conch.api.fields import ATOMIC, ApiModel, ClassName, Duration, cel, list_map, rules


class Idle(ApiModel):
    """When a service that nobody asks anything may have no replica at all."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "duration(self.toZeroAfter) >= duration('10s') "
                "&& duration(self.toZeroAfter) <= duration('720h')",
                "scaling.idle.toZeroAfter: must be 10s to 720h, e.g. 15m",
            )
        )
    )

    to_zero_after: Duration = Field(
        description=(
            "Time without a single request after which the last replica goes. The activator then "
            "holds what arrives until a replica is there again."
        )
    )


class Schedule(ApiModel):
    """Other limits of the number of replicas, at times that are known beforehand."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "duration(self.duration) >= duration('1m') "
                "&& duration(self.duration) <= duration('168h')",
                "scaling.schedules.duration: must be 1m to 168h, e.g. 3h",
            ),
            cel(
                "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "scaling.schedules.minReplicas: must not exceed the schedule's maxReplicas",
            ),
        )
    )

    name: ClassName = Field(description="What the schedule is called in the status.")
    cron: Annotated[
        str, Field(pattern=r"^[-0-9A-Za-z*,/#]+( [-0-9A-Za-z*,/#]+){4}$", max_length=128)
    ] = Field(
        description=(
            "When it starts: minute, hour, day of month, month, day of week, e.g. 0 7 * * 1-5. "
            "A time that the clock skips comes right after, one that it shows twice the first time."
        )
    )
    timezone: Annotated[
        str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$", max_length=64)
    ] = Field("UTC", description="Time zone of the cron expression, e.g. Europe/Berlin.")
    duration: Duration = Field(
        description="How long it lasts from each start, e.g. 3h; also across midnight."
    )
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        description="Never fewer while it is active; never lowers scaling.minReplicas."
    )
    max_replicas: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description=(
            "Never more while it is active, in place of scaling.maxReplicas; of several active "
            "schedules the largest counts."
        ),
    )


class CarbonCeiling(ApiModel):
    """Fewer replicas while the grid is dirty, as far as the objective does not need them."""

    above: Annotated[int, Field(ge=0, le=5000)] = Field(
        description=(
            "Holds while the grids of the class' nodes emit more than this, in grams of CO2 "
            "equivalent per kWh, PUE included; not while that is unknown."
        )
    )
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(
        description=(
            "Schedules hold no more than this (Latency: what the objective takes is not touched), "
            "and /scale gives no more (External)."
        )
    )


class Scaling(ApiModel):
    """How the number of replicas is chosen."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.minReplicas <= self.maxReplicas",
                "scaling.minReplicas: must not exceed scaling.maxReplicas",
            ),
            cel(
                "self.mode != 'Latency' || !has(self.replicas)",
                "scaling.replicas: Conch chooses it in mode Latency; remove it, "
                "or set scaling.mode to Fixed or External",
            ),
            cel(
                "self.mode != 'Fixed' || has(self.replicas)",
                "scaling.replicas: required in mode Fixed",
            ),
            # Without it every read of /scale fails, and no autoscaler can start.
            cel(
                "self.mode != 'External' || has(self.replicas)",
                "scaling.replicas: required in mode External, as the number to start with; "
                "whoever writes /scale changes it from then on",
            ),
            cel(
                "self.mode != 'Latency' || self.minReplicas >= 1 || has(self.idle)",
                "scaling.minReplicas: 0 needs scaling.idle in mode Latency, "
                "e.g. idle: {toZeroAfter: 15m}; or set it to 1 or more",
            ),
            cel(
                "!has(self.idle) || (self.mode == 'Latency' && self.minReplicas == 0)",
                "scaling.idle: only for mode Latency with scaling.minReplicas: 0; "
                "set minReplicas to 0, or remove idle",
            ),
            cel(
                "!has(self.schedules) || self.mode != 'Fixed'",
                "scaling.schedules: not for mode Fixed; remove them, "
                "or set scaling.mode to Latency or External",
            ),
            cel(
                "!has(self.schedules) || self.schedules.all(s, has(s.maxReplicas) "
                "? s.maxReplicas >= self.minReplicas : s.minReplicas <= self.maxReplicas)",
                "scaling.schedules: every minReplicas must fit below scaling.maxReplicas or the "
                "schedule's own, and every maxReplicas above scaling.minReplicas",
            ),
            cel(
                "!has(self.carbonCeilings) || self.mode != 'Fixed'",
                "scaling.carbonCeilings: not for mode Fixed; remove them, "
                "or set scaling.mode to Latency or External",
            ),
            cel(
                "!has(self.carbonCeilings) "
                "|| self.carbonCeilings.all(c, c.maxReplicas >= self.minReplicas)",
                "scaling.carbonCeilings: every maxReplicas must be scaling.minReplicas or more",
            ),
        )
    )

    mode: Literal["Latency", "External", "Fixed"] = Field(
        "Latency",
        description=(
            "Latency: Conch holds the objective. External: whoever writes /scale decides (HPA, "
            "KEDA, kubectl scale), within min and max. Fixed: scaling.replicas, always."
        ),
    )
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None,
        description=(
            "The number in mode Fixed; the number to start with in mode External, then written "
            "through /scale; not for mode Latency."
        ),
    )
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        1, description="Never fewer (Latency, External)."
    )
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(
        10, description="Never more (Latency, External)."
    )
    idle: Idle | None = Field(
        None, description="Whether, and when, an idle service goes to zero (Latency, min 0)."
    )
    schedules: Annotated[list[Schedule], Field(max_length=32)] | None = Field(
        None,
        description="Other limits at certain times, such as more replicas on weekday mornings.",
        json_schema_extra=list_map("name"),
    )
    carbon_ceilings: Annotated[list[CarbonCeiling], Field(min_length=1, max_length=8)] | None = (
        Field(
            None,
            description=(
                "Fewer replicas while the grid is dirty, never fewer than the objective takes; "
                "needs a source of grid intensity. Of several that hold the lowest counts."
            ),
            json_schema_extra=ATOMIC,
        )
    )
