"""`conch simulate`: what Conch and other scalers would have done with a service on a trace.

Reads the service and what is said about it, has ``conch.twin`` play it, prints. The twin needs
numpy and numba: only this command imports them, and only when it runs.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError
from rich.table import Table
from rich.text import Text

from conch.api import names
from conch.api.v1alpha1 import InferenceService, Model
from conch.cli import service_time as written
from conch.cli.files import Watched, content
from conch.cli.output import Report
from conch.cli.progress import Progress
from conch.errors import UsageError
from conch.observe.durations import seconds

if TYPE_CHECKING:
    from conch.cli.from_cluster import Learned
    from conch.twin.compare import Comparison
    from conch.twin.traces import Trace
    from conch.twin.world import Scenario

MISSING: Final = "conch simulate needs the extra: pip install '.[twin]' in Conch's repository"
_MAX_BYTES: Final = 4 << 20  # of a service's file

_LONGEST_S: Final = 31 * 86400  # of a trace: scalers look every few seconds

_SPREAD: Final = 0.25  # of single starts around the one that is given
_SEEDS: Final = 1_000_000_000

ROUTINGS: Final = ("least", "random", "connections")


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    service: str
    trace: Path
    cold_start: str | None
    service_time: str | None
    max_batch: int | None
    model: str | None
    from_cluster: bool
    compare: str
    scale: float
    routing: str
    noise: float
    price: str | None
    seed: int
    output: Path | None
    json: bool
    namespace: str | None = None
    kubeconfig: Path | None = None
    context: str | None = None


def run(options: Options) -> None:
    """All of it. Raises UsageError for what can't be simulated, before anything is."""
    price = written.price("--price", options.price) if options.price is not None else None
    # Cheap mistakes are told before the simulator is loaded, which takes a second or more.
    starts_s = written.cold_starts(options.cold_start) if options.cold_start else ()
    times = written.service_time(options.service_time) if options.service_time else None
    _check(options)
    learned = _learned(options) if options.from_cluster else None
    if price is None and learned is not None and learned.price_per_h is not None:
        price = written.Price(learned.price_per_h, "USD")
    service = learned.service if learned else read_service(Path(options.service))
    model = choose(service, options.model)
    try:
        import numba  # noqa: F401
        import numpy  # noqa: F401
    except ImportError as error:
        raise UsageError(MISSING) from error
    from conch.twin import compare, report

    chosen = compare.choices(options.compare, _late_reject(service))
    with Report(options.output) as file:
        trace = read_trace(options.trace, options.scale)
        scenario = scenario_of(options, service, model, times, starts_s, learned)
        with Progress() as progress:
            found = compare.compare(scenario, trace, chosen, progress.tell)
        notes = notes_on(service, model, scenario, found)
        about = report.About(
            service=service.metadata.name,
            notes=notes,
            price_per_hour=price.per_hour if price else None,
            unit=price.unit if price else "",
            command=shlex.join(["conch", *sys.argv[1:]]),
        )
        if file is not None:
            file.write(report.page(found, about))
    if options.json:
        value = compare.document(found, about.price_per_hour)
        print(json.dumps({**value, "notes": list(notes)}, indent=2, allow_nan=False))
        return
    show(found, about)


def _check(options: Options) -> None:
    if options.routing not in ROUTINGS:
        raise UsageError(f"--routing {options.routing}: choose one of {', '.join(ROUTINGS)}")
    if not 0 < options.scale < 1e6:
        raise UsageError(f"--scale {options.scale:g}: give a factor of more than zero, such as 2")
    if not 0 <= options.noise <= 2:
        raise UsageError(f"--noise {options.noise:g}: give a share, such as 0.05")
    if not 0 <= options.seed < _SEEDS:
        raise UsageError(f"--seed {options.seed}: give 0 to {_SEEDS - 1:,}")
    if options.max_batch is not None and not 1 <= options.max_batch <= written.LARGEST_BATCH:
        raise UsageError(f"--max-batch {options.max_batch}: give 1 to {written.LARGEST_BATCH}")
    if options.from_cluster:
        return
    for value, what in (
        (options.service_time, '--service-time is needed, such as "40ms+20ms*b"'),
        (options.cold_start, "--cold-start is needed, such as 40s"),
    ):
        if not value:
            raise UsageError(f"{what}; or --from-cluster, which asks the running service")


def _learned(options: Options) -> Learned:
    from conch.cli import from_cluster

    name = options.service
    if Path(name).is_file():
        name = read_service(Path(name)).metadata.name
    with Progress() as progress:
        progress.tell(0.0, "asking the cluster")
        return from_cluster.learn(
            name, options.namespace, options.model, options.kubeconfig, options.context
        )


def read_trace(file: Path, scale: float) -> Trace:
    """The trace as it is played. Raises UsageError with the line and the fix."""
    from conch.twin import traces

    watched = Watched(file)
    with Progress() as progress:
        progress.tell(watched.read, f"reading {file.name}")
        trace = traces.load(watched)
    if scale != 1:
        trace = trace.scaled(scale)
    if trace.length_s > _LONGEST_S:
        days = f"{trace.length_s / 86400:.0f} days"
        raise UsageError(f"trace {trace.name} lasts {days}: cut it to {_LONGEST_S // 86400}")
    return trace


# --- the service ----------------------------------------------------------------------------------


def read_service(file: Path) -> InferenceService:
    """The one InferenceService of a YAML file. Raises UsageError with the fix."""
    text = content(file, _MAX_BYTES, "4 MiB: give the service's own file")
    try:
        documents = [d for d in yaml.safe_load_all(text) if isinstance(d, dict)]
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        raise UsageError(f"{file}{line} is not YAML: give an InferenceService") from error
    found = [d for d in documents if d.get("kind") == names.INFERENCE_SERVICE]
    if len(found) != 1:
        count = "no InferenceService" if not found else f"{len(found)} InferenceServices"
        raise UsageError(f"{file} holds {count}: give a file with one")
    return parse(found[0], str(file))


def parse(raw: dict[str, Any], where: str) -> InferenceService:
    """The typed service. Raises UsageError naming the first field that is wrong."""
    try:
        return InferenceService.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{where}: {field}: {first['msg']}") from error


def choose(service: InferenceService, name: str | None) -> Model:
    """The model to simulate. Raises UsageError when that is not clear."""
    models = {model.name: model for model in service.spec.models}
    if name is not None:
        if name not in models:
            raise UsageError(f"the service has no model {name}: it has {', '.join(models)}")
        return models[name]
    if len(models) > 1:
        raise UsageError(
            f"the service has {len(models)} models: choose one with --model {next(iter(models))}"
        )
    return service.spec.models[0]


def _late_reject(service: InferenceService) -> bool:
    return service.spec.objectives.latency.reject_late


def scenario_of(
    options: Options,
    service: InferenceService,
    model: Model,
    times: written.ServiceTime | None,
    starts_s: tuple[float, ...],
    learned: Learned | None,
) -> Scenario:
    """What the command line, the spec and the cluster say, in that order."""
    from conch.twin.service import ServiceModel
    from conch.twin.world import Scenario

    config = model.config
    limit = options.max_batch
    if limit is None and config is not None and config.max_batch_size is not None:
        limit = max(1, config.max_batch_size)
    instances = config.instances if config is not None else None
    if learned is not None:
        limit = limit or learned.max_batch
        instances = instances or learned.instances
        starts_s = starts_s or learned.cold_starts_s
    if not starts_s:
        raise UsageError("the cluster knows no cold start of this service yet: give --cold-start")
    curve_s = times.curve_s(limit) if times is not None else learned_curve_s(learned, limit)
    batching = config.dynamic_batching if config is not None else None
    delay = batching.max_queue_delay if batching is not None else None
    preferred = batching.preferred_batch_sizes if batching is not None else None
    spec, objective = service.spec, service.spec.objectives.latency
    return Scenario(
        service=ServiceModel(
            service_s=curve_s,
            noise=options.noise,
            instances=instances or 1,
            preferred=tuple(size for size in preferred or () if size <= len(curve_s)),
            max_queue_delay_s=seconds(delay) if delay else 0.0,
        ),
        cold_start_s=median(starts_s),
        # One number stands for many that scatter; of several, one is drawn as it is.
        cold_starts_s=starts_s if len(starts_s) > 1 else (),
        cold_start_spread=0.0 if len(starts_s) > 1 else _SPREAD,
        target_s=seconds(objective.target),
        percentile=objective.percentile,
        # Without a replica nothing is answered here: the activator is not simulated.
        min_replicas=max(1, spec.scaling.min_replicas),
        max_replicas=spec.scaling.max_replicas,
        routing=options.routing,  # type: ignore[arg-type]  # checked
        seed=options.seed,
    )


def learned_curve_s(learned: Learned | None, limit: int | None) -> tuple[float, ...]:
    """s(1) … as the running servers measured it."""
    found = learned.curve_s(limit or 1) if learned is not None else ()
    if not found:
        raise UsageError(
            "the running servers have answered nothing yet, so that their batch times are unknown:"
            " give --service-time"
        )
    return found


def notes_on(
    service: InferenceService, model: Model, scenario: Scenario, found: Comparison
) -> tuple[str, ...]:
    """What a reader must know before believing the numbers."""
    spec, first_s = service.spec, scenario.service.service_s[0]
    notes = []
    if first_s >= scenario.target_s:
        notes.append(
            f"One request alone takes {1000 * first_s:.4g} ms, the target is "
            f"{1000 * scenario.target_s:.4g} ms: no number of replicas can keep it."
        )
    if spec.scaling.mode != "Latency":
        notes.append(
            f"The service has mode {spec.scaling.mode}; simulated as if it were Latency, with "
            f"{scenario.min_replicas} to {scenario.max_replicas} replicas."
        )
    if spec.scaling.min_replicas == 0:
        notes.append("minReplicas 0 is simulated as 1: going to zero is not part of it.")
    if len(spec.models) > 1:
        notes.append(f"Only model {model.name}: what the others need is not in the numbers.")
    conch = found.outcomes[0].result
    if conch.late_share > 1 - scenario.percentile / 100 and first_s < scenario.target_s:
        at_most = int((conch.timeline.wanted >= scenario.max_replicas).sum())
        if at_most > 0.02 * conch.timeline.wanted.size:
            notes.append(
                f"maxReplicas {scenario.max_replicas} was reached for {at_most} s: that limit, "
                "not the scaler, may be what made requests late."
            )
    return tuple(notes)


# --- the table ------------------------------------------------------------------------------------


def show(found: Comparison, about: Any) -> None:
    """The table for people."""
    from conch.cli.screen import console
    from conch.twin.compare import cost
    from conch.twin.report import money, number, percent, short, span

    out = console()
    scenario, trace = found.scenario, found.trace
    out.print(
        f"{about.service}: {scenario.percentile:g} % within {span(scenario.target_s)}; "
        f"{trace.name}: {span(trace.length_s)}, {short(trace.mean_rps)} requests/s; "
        f"one replica carries {short(found.one_replica_rps)}/s"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("SCALER")
    columns = ["LATE", "P99", "MINUTES KEPT", "REPLICA-HOURS"]
    columns += ["OVER ORACLE"] if found.oracle_hours else []
    columns += ["COST"] if about.price_per_hour is not None else []
    for column in (*columns, "MOST", "CHANGES"):
        table.add_column(column, justify="right", no_wrap=True)
    for outcome in found.outcomes:
        result = outcome.result
        kept = result.late_share <= 1 - scenario.percentile / 100
        ratio, paid = found.ratio(outcome), cost(outcome, about.price_per_hour)
        table.add_row(
            outcome.label,
            Text(percent(result.late_share), style="green" if kept else "red"),
            span(result.p99_s),
            percent(result.minutes_ok),
            number(result.replica_hours),
            *(() if not found.oracle_hours else (f"{ratio:.2f}" if ratio else "-",)),
            *(() if paid is None else (f"{money(paid)} {about.unit}".strip(),)),
            str(result.peak_replicas),
            str(result.scale_events),
        )
    out.print(table)
    for note in about.notes:
        out.print(f"Note: {note}")
