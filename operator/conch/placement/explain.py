"""Sentences about placement: per class the numbers that made it win or lose.

What a placed service is told holds no cluster-wide number while nothing is short, because every
such number changes with every other service and each change would be a status write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from conch.observe.types import AcceleratorKind, ClassVerdict, PlacementRequest, Taint
from conch.placement.candidates import Candidates, Shape
from conch.placement.fit import Fit
from conch.placement.ledger import Ledger

MAX_MESSAGE = 900  # a condition holds 1024 characters; the reader adds a next step
NO_ACCELERATOR_AT_ALL = (
    "no node offers an accelerator: none has a known label (nvidia.com/gpu.product, "
    "cloud.google.com/gke-accelerator, …) and no AcceleratorClass is declared"
)

_MI, _GI, _TI = 1024**2, 1024**3, 1024**4
# Why a node of a class does not count, what somebody can change at once first.
_WORDS = {
    Fit.TAINTED: "tainted",
    Fit.NOT_READY: "not ready or cordoned",
    Fit.RECLAIMED: "being taken away by the provider",
    Fit.DRIVER: "with a driver older than the TritonRuntime's release runs on",
    Fit.CAPACITY_TYPE: "of a capacity type that spec.placement.capacityTypes leaves out",
    Fit.SITE: "at other sites than spec.placement.sites",
    Fit.ARCHITECTURE: "of an architecture that the TritonRuntime's image is not for",
    Fit.NO_NODE: "excluded by nodeSelector",
}
_ORDER = {fit.value: rank for rank, fit in enumerate(Fit)}


# --- one class -----------------------------------------------------------------------------------


def unknown(name: str) -> ClassVerdict:
    """A class that nobody declared and no node has."""
    return ClassVerdict(name, Fit.UNKNOWN, f"{name}: neither declared nor discovered")


def chosen(kind: AcceleratorKind, numbers: str) -> ClassVerdict:
    """The class a service is placed on."""
    return ClassVerdict(kind.name, Fit.CHOSEN, f"{kind.name}: {numbers}")


def beside(kind: AcceleratorKind, replicas: int, numbers: str) -> ClassVerdict:
    """A class that has some of the replicas, beside the service's own."""
    text = f"{_count(replicas, 'replica')}; {numbers}"
    return ClassVerdict(kind.name, Fit.CHOSEN, f"{kind.name}: {text}")


def fits(kind: AcceleratorKind, numbers: str, price: float | None) -> ClassVerdict:
    """A class that would do as well, and was not best; ``price`` of one unit per hour."""
    text = numbers if price is None else f"{numbers}; from {price:.3g} $/h each"
    return ClassVerdict(kind.name, Fit.FITS, f"{kind.name}: {text}")


def too_few(kind: AcceleratorKind, numbers: str, room: int, replicas: int) -> ClassVerdict:
    """A class that has room for some of the replicas."""
    text = f"{numbers}; room for {room} of {_count(replicas, 'replica')}"
    return ClassVerdict(kind.name, Fit.FULL, f"{kind.name}: {text}")


def unfit(kind: AcceleratorKind, request: PlacementRequest, refusal: Fit) -> ClassVerdict:
    """A class that is not to be used: it cannot serve, or did not when it was tried."""
    if refusal is Fit.AVOIDED:
        message = f"left alone for now: {request.avoid.get(kind.name) or 'it failed before'}"
    elif refusal is Fit.TOO_SLOW:
        message = "one replica cannot hold the latency objective, whatever the load"
    elif refusal is Fit.OTHER_IMAGE:
        message = (
            "a Jetson, and the TritonRuntime's image is for servers: name one with integratedGPU"
            if kind.integrated
            else "no Jetson, and the TritonRuntime's image is for Jetsons alone (integratedGPU)"
        )
    elif refusal is Fit.TOO_OLD and request.min_compute_capability and kind.compute_capability:
        message = (
            f"needs compute capability {_version(request.min_compute_capability)}, "
            f"has {_version(kind.compute_capability)}"
        )
    elif not request.min_memory_bytes and request.footprint is not None:
        needs, has = _apart(request.footprint.memory_bytes, kind.memory_bytes)
        message = f"needs {needs} ({request.footprint.words}), has {has}"
    elif kind.memory_bytes:
        needs, has = _apart(request.min_memory_bytes, kind.memory_bytes)
        message = f"needs {needs}, has {has}"
    else:
        message = (
            f"needs {memory(request.min_memory_bytes)}, its memory is unknown: "
            "declare an AcceleratorClass"
        )
    return ClassVerdict(kind.name, refusal, f"{kind.name}: {message}")


def no_room(
    ledger: Ledger, kind: AcceleratorKind, candidates: Candidates, shape: Shape, may_spot: bool
) -> ClassVerdict:
    """A class that fits and takes no replica now."""
    fit, message = _why_no_room(ledger, kind, candidates, shape, may_spot)
    return ClassVerdict(kind.name, fit, f"{kind.name}: {message}")


def numbers(ledger: Ledger, kind: AcceleratorKind, candidates: Candidates, shape: Shape) -> str:
    """How many nodes, and how many of their units are free."""
    text = _count(len(candidates.there), "node")
    if not shape.count:
        return text + _others(candidates)
    units = ledger.units(candidates, kind.resource)
    if candidates.there:
        text += f", {units.free} of {_count(units.total, _noun(kind.resource))} free"
    if units.promised:
        text += f" ({units.promised} more promised to pods without a node)"
    return text + _coming(ledger, kind, candidates) + _others(candidates)


def _coming(ledger: Ledger, kind: AcceleratorKind, candidates: Candidates) -> str:
    """What a node autoscaler makes, and could make."""
    coming = [i for lot in candidates.lots if lot.coming for i in lot.nodes]
    if not coming:
        return ""
    addable = sum(ledger.node(i).coming == "Addable" for i in coming)
    parts = [f"{len(coming) - addable} starting"] if addable < len(coming) else []
    parts += [f"up to {addable} can be added"] if addable else []
    if not any(ledger.free_of(i, kind.resource)[0] for i in coming):
        parts.append("all promised to pods without a node")
    return f", {', '.join(parts)}"


def _why_no_room(
    ledger: Ledger, kind: AcceleratorKind, candidates: Candidates, shape: Shape, may_spot: bool
) -> tuple[Fit, str]:
    if not candidates.lots:
        return _no_candidate(ledger, kind, candidates)
    if shape.count and not ledger.units(candidates, kind.resource).largest:
        nodes = _count(len(candidates.nodes), "node")
        return Fit.NO_UNITS, f"{nodes}, {_nothing_offered(kind)}{_others(candidates)}"
    if (never := _never(ledger, kind, candidates, shape)) is not None:
        return Fit.TOO_LARGE, never
    text = numbers(ledger, kind, candidates, shape)
    if ledger.room(candidates, shape) and not may_spot:
        return Fit.ON_DEMAND_FULL, f"{text}, but only on spot nodes and minOnDemand asks for others"
    if shape.count:
        most = ledger.units(candidates, kind.resource).most_free
        if most < shape.count:
            if most:
                text += f", no node has {shape.count} of them"
            return Fit.FULL, text
    cpu, host, pods = ledger.free_beside(candidates, shape)
    if not pods:
        return Fit.HOST_FULL, f"{text}, but those nodes hold as many pods as they may"
    needs, has = _apart(shape.memory_bytes, host)
    return Fit.HOST_FULL, (
        f"{text}, a replica needs {_cpu(shape.cpu_milli)} and {needs} on one node, "
        f"at most {_cpu(cpu)} and {has} are free"
    )


def _nothing_offered(kind: AcceleratorKind) -> str:
    if kind.device_problem:
        return kind.device_problem
    if kind.device_class:
        return (
            f"none has a whole device of DeviceClass {kind.device_class} that the selectors match: "
            "is its driver running?"
        )
    return f"none offers {kind.resource}: is the device plugin running?"


def _no_candidate(ledger: Ledger, kind: AcceleratorKind, candidates: Candidates) -> tuple[Fit, str]:
    total = len(candidates.members)
    if not total:
        labels = ", ".join(f"{k}={v}" for k, v in sorted(kind.node_selector.items()))
        return Fit.NO_NODE, f"no node has the labels {labels}" if labels else "no nodes"
    first = next(fit for fit in _WORDS if candidates.refused.get(fit))
    nodes, count = _count(total, "node"), candidates.refused[first]
    match first:
        case Fit.TAINTED:
            message = (
                f"{nodes}, {count} tainted ({_written(candidates.taint)}): "
                "tolerate it in spec.placement.tolerations"
            )
        case Fit.NO_NODE:
            message = f"{nodes}, none has the labels of spec.placement.nodeSelector"
        case Fit.ARCHITECTURE:
            wanted = candidates.filter_.architectures
            theirs = {ledger.node(i).arch for i in candidates.members} - set(wanted)
            message = (
                f"{nodes}, {count} {' or '.join(sorted(theirs))}, and the TritonRuntime is for "
                f"{' and '.join(sorted(wanted))} (its spec.architectures)"
            )
        case Fit.DRIVER:
            oldest = min(d for i in candidates.members if (d := ledger.node(i).driver))
            message = (
                f"{nodes}, {count} with NVIDIA driver {oldest}, and the TritonRuntime needs "
                f"{candidates.filter_.min_driver} or newer: update the driver, or name a "
                "TritonRuntime of an older release"
            )
        case _:
            message = f"{nodes}, {count} {_WORDS[first]}"
    return first, message + _others(candidates, besides=first)


def _never(
    ledger: Ledger, kind: AcceleratorKind, candidates: Candidates, shape: Shape
) -> str | None:
    """Why not even an empty node of the class could hold one replica; None if one could."""
    largest = ledger.units(candidates, kind.resource).largest if shape.count else 0
    if shape.count and not largest:
        return None  # the device plugin is not up yet: not a matter of size
    if largest < shape.count:
        return f"needs {shape.count} on one node, the largest has {largest}"
    cpu, host = ledger.largest_host(candidates)
    if shape.cpu_milli > cpu:
        return f"a replica needs {_cpu(shape.cpu_milli)}, the largest node offers {_cpu(cpu)}"
    if shape.memory_bytes > host:
        needs, offers = _apart(shape.memory_bytes, host)
        return f"a replica needs {needs} of host memory, the largest node offers {offers}"
    return None


def _written(taint: Taint | None) -> str:
    if taint is None:
        return "unknown taint"
    value = f"={taint.value}" if taint.value else ""
    return f"{taint.key}{value}:{taint.effect}"


def _others(candidates: Candidates, besides: Fit | None = None) -> str:
    """Nodes of the class that do not count, by reason."""
    parts = [
        f"{candidates.refused[fit]} {words}"
        for fit, words in _WORDS.items()
        if fit is not besides and candidates.refused.get(fit)
    ]
    return f"; {', '.join(parts)}" if parts else ""


# --- one service ---------------------------------------------------------------------------------


def placed(
    kind: AcceleratorKind,
    shape: Shape,
    missing: int,
    awaited: int,
    numbers: str,
    split: Mapping[str, int],
) -> str:
    """What a service with a class is told; ``missing`` replicas find no room.

    ``awaited`` are those whose room is on nodes to come; ``split``: replicas by class, where it is
    on several.
    """
    text = f"on {' and '.join(split) or kind.name}"
    if shape.count:
        text += f", {_count(shape.count, _noun(kind.resource))} per replica"
    if split:
        text += "; " + ", ".join(
            f"{_count(number, 'replica')} on {name}" for name, number in split.items()
        )
    if awaited and kind.provisioning is not None:
        verb = "waits" if awaited == 1 else "wait"
        text += (
            f"; {_count(awaited, 'replica')} {verb} up to {_minutes(kind.provisioning.wait_s)} "
            "for a node"
        )
        text += f": {numbers}" if missing <= 0 else ""
    if missing > 0:
        text += f"; no room for {_count(missing, 'more replica')}: {numbers}"
    return text


def understated(request: PlacementRequest) -> str:
    """What a service is told that declares less memory than its servers were seen to take."""
    found = request.footprint
    if found is None or not found.measured or found.memory_bytes <= request.min_memory_bytes:
        return ""
    if not request.min_memory_bytes:
        return ""
    takes, says = _apart(found.memory_bytes, request.min_memory_bytes)
    return f"; it takes {takes} of a unit's memory, and minMemory says {says}"


def no_such_class(request: PlacementRequest, known: Sequence[str]) -> str:
    """None of the classes the service names exists."""
    asked = ", ".join(request.classes or (request.current,))
    there = ", ".join(known) if known else "none: declare an AcceleratorClass"
    return _shorten(f"unknown accelerator class {asked}; known: {there}")


def most_hopeful_first(verdicts: Iterable[ClassVerdict]) -> tuple[ClassVerdict, ...]:
    """Classes that may have room later before those that never fit; preference order within."""
    return tuple(sorted(verdicts, key=lambda v: _ORDER[v.reason]))


def join(verdicts: Sequence[ClassVerdict]) -> str:
    """The verdicts as one message of bounded length; how many were left out is said."""
    text = ""
    for index, verdict in enumerate(verdicts):
        more = f"{text}; {verdict.message}" if text else verdict.message
        if len(more) > MAX_MESSAGE - len("; and 999 more"):
            rest = len(verdicts) - index
            return f"{text}; and {rest} more" if text else _shorten(more)
        text = more
    return text


# --- numbers -------------------------------------------------------------------------------------


def memory(amount: int) -> str:
    """Bytes as people write them: 24Gi, 22.5Gi, 512Mi."""
    for size, unit in ((_TI, "Ti"), (_GI, "Gi")):
        if amount >= size:
            if amount % size == 0:
                return f"{amount // size}{unit}"
            return f"{amount / size:.1f}{unit}"
    return f"{amount // _MI}Mi"


def _apart(needs: int, has: int) -> tuple[str, str]:
    """Two amounts, as coarse as lets them look different; the same amount looks the same."""
    if memory(needs) != memory(has) or needs == has:
        return memory(needs), memory(has)
    if needs // _MI != has // _MI:
        return f"{needs // _MI}Mi", f"{has // _MI}Mi"
    return f"{needs} bytes", f"{has} bytes"


def _cpu(milli: int) -> str:
    return f"{milli / 1000:g} CPU"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


def _version(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _noun(resource: str) -> str:
    if "mig-" in resource:
        return "MIG slice"
    return "GPU" if resource == "nvidia.com/gpu" else "unit"


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
