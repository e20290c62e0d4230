"""How many requests per second one replica carries within the latency objective.

A replica is a bulk-service queue: requests arrive at random (Poisson: many independent clients);
whenever an instance is free it takes up to B waiting requests and is busy for s(k), the time of
a batch of k. The queue left behind at the end of each batch is a Markov chain; its stationary
distribution gives, by a count of late arrivals per cycle, the exact share of requests that take
longer than the target. The largest rate whose share is within the objective is the capacity.

Triton differs where a model has a queue delay and no queue policy: it then closes up to two
batches per instance ahead of time (core, rate_limiter.cc, PayloadSlotAvailable), so that a request
may miss the batch it would have fitted in. Measured on 24.10 at 36 requests/s of a model of
40 + 10 k ms, B = 4: p99 261 ms without a queue delay, as here, and 345 ms with one of 2 ms. That
wait is taken off the target (``_formed_ahead_s``). The delay itself costs nothing at capacity,
where requests queue for longer anyway; but one that comes alone waits for all of it.
Exact otherwise for one instance and fixed service times up to the lattice below. ``m`` instances
are taken as one that is free m times as often; noise in s shortens the target.
Sources: Chaudhry & Templeton, A First Course in Bulk Queues (the chain); Grassmann, Taksar
& Heyman 1985 (its stable elimination). Pure, no numpy: the operator has 150 MiB.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Final

_MAX_CELLS: Final = 100  # size of the chain; beyond it, requests are counted in lumps
_MAX_BATCHES: Final = 50  # a target of more than this many batches is one of this many
_PRECISION: Final = 0.005  # of the rate found
_AHEAD_BATCHES: Final = 1.3
_MIN_USEFUL: Final = 0.05  # of the throughput: a target that leaves less is as good as unreachable


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one replica does for one model, in requests/s.

    ``rate`` is what it carries within the objective; ``throughput`` what it completes when
    latency does not count. ``reachable`` is False when even a lone request (nearly) misses the
    target; ``rate`` is then 80 % of the throughput: more replicas would not help.
    """

    rate: float
    throughput: float
    reachable: bool


def capacity(
    service_s: Sequence[float],
    instances: int,
    percentile: float,
    target_s: float,
    noise: float = 0,
    queue_delay_s: float = 0,
    queue_policy: bool = False,
) -> Capacity:
    """The capacity of a replica; ``service_s[k-1]`` is the time of a batch of k, up to the limit.

    ``noise`` is the relative standard deviation of the service time. ``queue_delay_s`` is how long
    the batcher may wait for more requests, ``queue_policy`` whether its queue has a time-out, a
    limit or priorities. Service times are rounded to about 1 % for the cache: pass them as they
    are.
    """
    return _capacity(
        tuple(_rounded(s) for s in service_s),
        instances,
        percentile,
        target_s,
        round(noise, 2),
        queue_delay_s if len(service_s) > 1 else 0.0,  # a batch of one is full at once
        queue_policy,
    )


def _rounded(seconds: float) -> float:
    """To 1 % steps, so that a curve that breathes finds its answer in the cache."""
    return math.exp(round(math.log(max(seconds, 1e-6)) * 100) / 100)


@lru_cache(maxsize=512)
def _capacity(
    service_s: tuple[float, ...],
    instances: int,
    percentile: float,
    target_s: float,
    noise: float,
    queue_delay_s: float,
    queue_policy: bool,
) -> Capacity:
    full = service_s[-1] / instances
    throughput = max(k / s for k, s in enumerate(service_s, 1)) * instances
    allowed = 1 - percentile / 100
    # A wait, the batch before and its own: two services' worth of noise at the percentile.
    spread = NormalDist().inv_cdf(max(0.5, percentile / 100)) * noise * math.sqrt(2) * service_s[-1]
    target = min(target_s - min(spread, target_s / 2), service_s[-1] + _MAX_BATCHES * full)
    if queue_delay_s + service_s[0] > target:
        return Capacity(0.8 * throughput, throughput, reachable=False)
    ahead = queue_delay_s > 0 and not queue_policy
    rate = _largest_rate(service_s, instances, target, allowed, len(service_s) / full, ahead)
    if rate < _MIN_USEFUL * throughput:
        return Capacity(0.8 * throughput, throughput, reachable=False)
    return Capacity(rate, throughput, reachable=True)


def _largest_rate(
    service_s: tuple[float, ...],
    instances: int,
    target: float,
    allowed: float,
    ceiling: float,
    ahead: bool,
) -> float:
    """Where the late share crosses ``allowed``: regula falsi (Illinois) on its logarithm."""

    def excess(rate: float) -> float:
        late = late_share(service_s, instances, target, rate, ahead)
        return math.log(max(late, 1e-12) / allowed)

    low, high = 0.0, 0.999 * ceiling
    f_low, f_high = -6.0, excess(high)
    if f_high <= 0:
        return high
    side = 0
    while high - low > _PRECISION * high:
        middle = high - f_high * (high - low) / (f_high - f_low)
        # Regula falsi crawls along flat pieces; staying off the ends keeps it at least bisecting.
        middle = min(max(middle, low + 0.1 * (high - low)), high - 0.1 * (high - low))
        f = excess(middle)
        if f > 0:
            high, f_high = middle, f
            if side > 0:
                f_low /= 2
            side = 1
        else:
            low, f_low = middle, f
            if side < 0:
                f_high /= 2
            side = -1
    return low


def late_share(
    service_s: Sequence[float], instances: int, target_s: float, rate: float, ahead: bool = False
) -> float:
    """Share of requests that take longer than ``target_s`` at ``rate`` requests/s.

    ``ahead``: batches are closed before an instance is free.
    """
    lumped = _Lattice.of(service_s, instances, target_s, rate)
    left_behind = _stationary(lumped)
    if ahead and len(service_s) > 1:
        lumped = replace(lumped, target=target_s - _formed_ahead_s(lumped, left_behind))
    late = arrivals = 0.0
    for n, probability in enumerate(left_behind):
        if n == 0:  # the next request finds the server idle: its latency is s(1)
            late += probability * (service_s[0] > target_s)
            arrivals += probability
        k = min(max(n, 1), lumped.batch)
        arrivals += probability * lumped.load[k]
        late += probability * _late_arrivals(lumped, n, k)
    return min(1.0, late / arrivals)


def _formed_ahead_s(q: _Lattice, left_behind: Sequence[float]) -> float:
    """How much longer the late ones wait because batches are closed before they start.

    It takes a busy server, and requests that keep coming: it grows with the third power of the
    busy share and reaches 1.3 batches. Both numbers are fitted to a simulation of Triton's two
    slots over a grid (within 6 %, but for targets below two batches), checked against 24.10.
    """
    sizes = [min(max(n, 1), q.batch) for n in range(len(left_behind))]
    busy_s = sum(p * q.busy[k] for p, k in zip(left_behind, sizes, strict=True))
    batch_s = sum(p * q.own[k] for p, k in zip(left_behind, sizes, strict=True))
    busy_share = busy_s / (busy_s + left_behind[0] / q.rate)
    return float(_AHEAD_BATCHES * busy_share**3 * batch_s)


@dataclass(frozen=True, slots=True)
class _Lattice:
    """The queue, counted in lumps of requests so that the chain stays small.

    Index k is a batch of k lumps (0 unused). ``busy[k]``: time until the next batch can start;
    ``own[k]``: time of the batch itself; ``load[k]``: lumps expected to arrive while busy;
    ``arrive[k][a]``: probability of a lumps.
    """

    batch: int
    states: int
    target: float
    rate: float
    busy: list[float]
    own: list[float]
    load: list[float]
    arrive: list[list[float]]

    @staticmethod
    def of(service_s: Sequence[float], instances: int, target_s: float, rate: float) -> _Lattice:
        limit = len(service_s)
        batches = (target_s * instances) / service_s[-1] + 2
        lump = max(1, math.ceil(limit * batches / _MAX_CELLS), math.ceil(limit / 8))
        batch = math.ceil(limit / lump)
        own = [0.0] + [_at(service_s, k * limit / batch) for k in range(1, batch + 1)]
        busy = [s / instances for s in own]
        lumps_per_s = rate * batch / limit
        return _Lattice(
            batch=batch,
            states=max(2 * batch, math.ceil(batch * batches) + batch) + 4,
            target=target_s,
            rate=lumps_per_s,
            busy=busy,
            own=own,
            load=[lumps_per_s * b for b in busy],
            arrive=[[]] + [_poisson_lumps(rate * b, batch / limit) for b in busy[1:]],
        )


def _at(service_s: Sequence[float], size: float) -> float:
    """s at a size between two whole ones."""
    below = max(1, min(len(service_s), int(size)))
    above = min(len(service_s), below + 1)
    return service_s[below - 1] + (size - below) * (service_s[above - 1] - service_s[below - 1])


def _poisson(mean: float) -> list[float]:
    """Probabilities of 0, 1, 2 … arrivals, cut where less than 1e-9 is left."""
    top = int(mean + 7 * math.sqrt(mean) + 8)
    log_mean = math.log(mean) if mean > 0 else 0.0
    terms = [math.exp(a * log_mean - mean - math.lgamma(a + 1)) for a in range(top)]
    return terms if mean > 0 else [1.0]


def _poisson_lumps(mean: float, lumps_per_request: float) -> list[float]:
    """The same in lumps: a fraction of a lump goes to both neighbours, which keeps the mean."""
    terms = _poisson(mean)
    if lumps_per_request == 1:
        return terms
    lumps = [0.0] * (int(len(terms) * lumps_per_request) + 2)
    for a, probability in enumerate(terms):
        whole = int(a * lumps_per_request)
        part = a * lumps_per_request - whole
        lumps[whole] += probability * (1 - part)
        lumps[whole + 1] += probability * part
    return lumps


def _stationary(q: _Lattice) -> list[float]:
    """Stationary distribution of the lumps left behind at the end of a batch.

    State n goes to n - k + arrivals, k = min(n, batch). States are eliminated from the top; no
    subtraction happens, so nothing is lost to rounding. Rows are kept as full lists up to the
    diagonal's reach: ``rows[i][j]`` is the probability of i → j, lumped at the last state.
    """
    last = q.states - 1
    rows: list[list[float]] = []
    for n in range(q.states):
        k = min(max(n, 1), q.batch)
        rest = max(n - k, 0)
        row = [0.0] * rest + q.arrive[k][: last - rest]
        row += [0.0] * (last - len(row))
        row.append(max(0.0, 1.0 - math.fsum(row)))
        rows.append(row)
    reach = max(len(a) for a in q.arrive[1:])
    out = [0.0] * q.states
    for n in range(last, 0, -1):
        first = max(0, n - q.batch)  # nothing below can be reached in one step
        source = rows[n][first:n]
        total = sum(source)
        out[n] = total
        if total <= 0:
            continue
        for i in range(max(0, n - reach) if n < last else 0, n):
            row = rows[i]
            if row[n]:
                share = row[n] / total
                row[first:n] = [x + share * y for x, y in zip(row[first:n], source, strict=True)]
    found = [1.0]
    for n in range(1, q.states):
        inflow = sum(found[i] * rows[i][n] for i in range(max(0, n - reach) if n < last else 0, n))
        found.append(inflow / out[n] if out[n] > 0 else 0.0)
    total = math.fsum(found)
    return [x / total for x in found]


def _late_arrivals(q: _Lattice, n: int, k: int) -> float:
    """Lumps expected to arrive during a batch started with n left behind, and to be late.

    One that arrives u into the batch behind i others waits for the rest of it, for i // batch full
    batches, and for its own. With f(u) = the full batches it can afford, it is late when
    i >= batch * (f + 1); the expected number of Poisson arrivals beyond the d-th in a period of
    mean x is E[(A(x) - d)+], which needs no integration.
    """
    busy = q.busy[k]
    ahead = max(n - k, 0)
    full, own = q.busy[q.batch], q.own[q.batch]
    slack = q.target - own - busy  # at u = 0; grows with u
    late = 0.0
    start = 0.0
    while start < busy - 1e-12:
        affordable = math.floor((slack + start) / full + 1e-9)
        end = min(busy, (affordable + 1) * full - slack)
        beyond = q.batch * (affordable + 1) - ahead
        late += _beyond(q.rate * end, beyond) - _beyond(q.rate * start, beyond)
        start = max(end, start + 1e-9)
    if slack < 0:
        late -= _small_batches(q, ahead, k)
    return max(0.0, late)


def _small_batches(q: _Lattice, ahead: int, k: int) -> float:
    """What counting every own batch as a full one overstates, when fewer wait at the end."""
    busy = q.busy[k]
    overstated = 0.0
    as_full = _clamp((busy - q.target + q.own[q.batch]) / busy)
    for a in range(1, min(q.batch - ahead + 1, len(q.arrive[k]))):
        exact = _clamp((busy - q.target + q.own[ahead + a]) / busy)
        overstated += q.arrive[k][a] * a * (as_full - exact)
    return overstated


def _clamp(share: float) -> float:
    return min(1.0, max(0.0, share))


@lru_cache(maxsize=4096)
def _beyond(mean: float, threshold: int) -> float:
    """E[(A - threshold)+] for a Poisson A."""
    if threshold <= 0:
        return mean
    terms = _poisson(mean)
    return math.fsum((a - threshold) * p for a, p in enumerate(terms) if a > threshold)
