"""`conch trace`: what arrived at a running service, as a file that `conch simulate` reads.

The operator's leader keeps the last hour in memory; it is asked through the API server
(``pods/proxy``), so nothing but the cluster's own permissions is needed. Never writes to a cluster.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from conch.api import names
from conch.cli import cluster
from conch.cli.context import check, default_namespace
from conch.cli.from_cluster import RawReader, proxy
from conch.cli.output import Report
from conch.cli.progress import Progress
from conch.errors import ApiError, ConchError, Forbidden, NotFound, UsageError
from conch.kube.transport import Api, path
from conch.settings import Settings

LONGEST_MIN: Final = 60.0


class Watched(msgspec.Struct, frozen=True):
    """The operator's answer: requests/s by model, one per ``bin_s``, the last ends at ``end``."""

    end: datetime
    bin_s: float
    rates: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Found:
    """One model's rates, requests/s, oldest first."""

    model: str
    start: datetime
    bin_s: float
    rates: tuple[float, ...]

    @property
    def minutes(self) -> float:
        """How long it is."""
        return len(self.rates) * self.bin_s / 60


def run(
    name: str,
    namespace: str | None,
    minutes: float,
    model: str | None,
    output: Path | None,
    operator_namespace: str,
    kubeconfig: Path | None,
    context: str | None,
) -> None:
    """All of it. Raises ConchError in words."""
    if not 0 < minutes <= LONGEST_MIN:
        raise UsageError(f"--minutes {minutes:g}: give more than 0, at most {LONGEST_MIN:g}")
    check(kubeconfig, context)
    chosen = namespace or default_namespace(kubeconfig, context)

    async def read() -> Watched:
        async with await Api.connect(kubeconfig, context) as api:
            return await ask(api, chosen, name, operator_namespace)

    with Report(output) as file:
        with Progress() as progress:
            progress.tell(0.0, "asking the operator")
            watched = asyncio.run(read())
        found = cut(choose(watched, model), minutes)
        text = csv(found, f"{chosen}/{name}")
        if file is None:
            print(text, end="")
        else:
            file.write(text)
    if found.minutes < 0.95 * minutes:
        told = f"Only the last {found.minutes:.1f} min: the operator has not watched for longer."
        print(told, file=sys.stderr)


async def ask(api: RawReader, namespace: str, name: str, operator_namespace: str) -> Watched:
    """The leader's answer. Raises ConchError in words when there is none."""
    pod = await leader(api, operator_namespace)
    rest = f"/debug/arrivals/{namespace}/{name}"
    where = proxy(operator_namespace, pod, Settings().metrics_port, rest)
    try:
        body = await api.get_raw(where)
    except Forbidden as error:
        raise _forbidden("`get` on pods/proxy", operator_namespace) from error
    except NotFound as error:
        await cluster.gather(api, namespace, name)  # no such service: that is told better there
        raise ConchError(
            f"the operator ({pod}) has seen no minute of {namespace}/{name} yet; wait a little"
        ) from error
    except ApiError as error:
        raise ConchError(
            f"the operator ({pod}) can't be asked through the API server: {error};"
            " networkPolicy.metricsFrom of the chart must let it in"
        ) from error
    try:
        return msgspec.json.decode(body, type=Watched)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConchError(f"the operator ({pod}) answers nonsense: is it older?") from error


async def leader(api: RawReader, operator_namespace: str) -> str:
    """The operator's pod that decides; its memory holds the history."""
    lease = path("coordination.k8s.io/v1", "leases", operator_namespace, names.LEADER_LEASE)
    try:
        found = await api.get(lease)
    except Forbidden as error:
        raise _forbidden("`get` on leases", operator_namespace) from error
    except NotFound as error:
        raise ConchError(
            f"no operator runs in namespace {operator_namespace}: give --operator-namespace"
        ) from error
    holder = (found.get("spec") or {}).get("holderIdentity")
    if not holder:
        raise ConchError("no operator leads at this moment; try again")
    return str(holder)


def _forbidden(what: str, operator_namespace: str) -> Forbidden:
    return Forbidden(403, message=f"it takes {what} in namespace {operator_namespace}")


def choose(watched: Watched, model: str | None) -> Found:
    """One model's rates. Raises UsageError when it is not clear which."""
    models = sorted(watched.rates)
    if not models:
        raise ConchError("no request has been counted yet")
    if model is None and len(models) > 1:
        raise UsageError(f"the service has {', '.join(models)}: choose one with --model")
    chosen = model or models[0]
    if chosen not in watched.rates:
        raise UsageError(f"the service has no model {chosen}: it has {', '.join(models)}")
    rates = tuple(watched.rates[chosen])
    start = watched.end - timedelta(seconds=len(rates) * watched.bin_s)
    return Found(chosen, start, watched.bin_s, rates)


def cut(found: Found, minutes: float) -> Found:
    """The last ``minutes`` of it."""
    kept = max(1, round(minutes * 60 / found.bin_s))
    dropped = max(0, len(found.rates) - kept)
    start = found.start + timedelta(seconds=dropped * found.bin_s)
    return Found(found.model, start, found.bin_s, found.rates[dropped:])


def csv(found: Found, service: str) -> str:
    """Two columns, seconds and requests/s; what it is stands in a comment."""
    lines = [
        f"# {service}, model {found.model}, from {found.start:%Y-%m-%dT%H:%M:%SZ}",
        "time,rate",
    ]
    lines += [f"{i * found.bin_s:g},{rate:.4g}" for i, rate in enumerate(found.rates)]
    return "\n".join(lines) + "\n"
