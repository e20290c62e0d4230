"""The compiled loop: requests, routers, queues, batches, from one moment to the next.

Decides nothing about replicas: ``world`` starts, drains and kills them between two calls of
``advance``. Everything is in the arrays of one ``Fleet``; a replica is a slot.

Triton's dynamic batcher (core, dynamic_batch_scheduler.cc, rate_limiter.cc, instance_queue.cc; all
measured on 24.10): a free instance takes the largest batch that waits, up to the limit, or waits
for a preferred size as long as the queue delay allows. Without a queue delay a batch that is
closed ahead of time grows until it starts, which is the same. With one (``AHEAD``) the batcher
sleeps until enough requests for the next preferred size wait, so that batches start with fewer
than they could; up to two per instance are closed ahead, and joined when they fit into one. With a
time-out, a limit of the queue or priorities nothing is closed ahead (``support_prefetching_``), and
since 24.05 the batcher may miss that an instance got free (``LOST``: it is notified just before the
instance waits): it then starts with the next arrival, or half a second later. Requests past the
time-out are refused when a batch is formed, not earlier.

One long file on purpose: what is compiled is kept on disk, and numba looks only at the file of a
compiled function to see whether it is out of date. Parts of the loop elsewhere could be edited
without any effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Outcomes stored in place of a latency.
REJECTED: Final = -1.0
FAILED: Final = -2.0

# States of a slot.
FREE: Final = 0
STARTING: Final = 1
READY: Final = 2
DRAINING: Final = 3

# Columns of Fleet.counters.
SUCCESS: Final = 0
FAILURE: Final = 1
EXECUTIONS: Final = 2
REQUEST_S: Final = 3
QUEUE_S: Final = 4
BUSY_S: Final = 5  # time with at least one instance executing
IN_FLIGHT_S: Final = 6  # integral of requests in the replica
COUNTERS: Final = 7

# Entries of Fleet.ints.
NEXT: Final = 0  # next request of the trace to arrive
TRACE_END: Final = 1  # number of requests of the trace; retries follow behind them
RETRY_NEXT: Final = 2
RETRY_END: Final = 3
SLOTS_USED: Final = 4
N_READY: Final = 5
ROUTING: Final = 6
SAMPLED: Final = 7  # requests seen by the sample of latencies
RETRIED: Final = 8
INTS: Final = 9

# Entries of Fleet.params.
REJECT_AFTER_S: Final = 0  # infinite: no time-out
QUEUE_DELAY_S: Final = 1
NOISE: Final = 2  # sigma of the lognormal
RETRY_SHARE: Final = 3
RETRY_DELAY_S: Final = 4
RECYCLE_S: Final = 5
MAX_QUEUE: Final = 6
AHEAD: Final = 7
LOST: Final = 8  # share of the ends of batches that a batcher with a queue policy misses
PARAMS: Final = 9

# States of the batch that a batcher works on.
RENEW: Final = 0  # executing or full
EMPTY: Final = 1
GROWS: Final = 2  # the last one closed, which takes more

LEAST: Final = 0
RANDOM: Final = 1
CONNECTIONS: Final = 2

# prometheus-cpp's summary: a window of 60 s that moves in steps of 12 s.
WINDOW_STEP_S: Final = 12.0
WINDOW_STEPS: Final = 5
NAP_S: Final = 0.5  # the batcher looks this often when nobody wakes it
_EPS_S: Final = 1e-9
SHORTEST_S: Final = 1e-4  # lower end of the latency histogram
BINS_PER_E: Final = 32.0  # bins per factor e: 3 % wide
BINS: Final = 512


class Fleet(NamedTuple):
    """All of a simulation's state. Shapes: n requests with room for retries, r slots, m instances,
    b batch limit, p priorities."""

    arrival_s: Floats  # n
    latency_s: npt.NDArray[np.float32]  # n; NaN in flight, REJECTED, FAILED
    link: npt.NDArray[np.int32]  # n; next request in the same queue or batch
    ints: Ints
    params: Floats
    rng: npt.NDArray[np.uint64]  # 1
    service_s: Floats  # b + 1
    best_preferred: Ints  # b + 1; largest preferred size within, 0 when none
    next_preferred: Ints  # b + 1; smallest preferred size above, the smallest when none
    drift_s: Floats
    drift: Floats
    priority: Floats  # p; cumulative shares
    state: Ints  # r
    ready: Ints  # r; the slots that get requests, first N_READY entries
    outstanding: Ints  # r
    waiting: Ints  # r
    head: Ints  # r, p
    tail: Ints  # r, p
    idle: Ints  # r; free instances
    timer_s: Floats  # r; when a queue delay ends
    event_s: Floats  # r; the slot's next event
    speed: Floats  # r; factor of the service time
    closed: Ints  # r, 2 m; sizes of batches closed ahead, in order
    n_closed: Ints  # r
    n_open: Ints  # r; waiting requests in no batch yet (only kept with AHEAD)
    first_open: Ints  # r; the oldest of them
    current: Ints  # r; the batcher's batch: RENEW, EMPTY or GROWS
    enough: Ints  # r; requests for which the batcher wakes up
    sleep_s: Floats  # r; when it wakes up by itself
    touched_s: Floats  # r; until when the integrals are counted
    empty_s: Floats  # r; when a draining slot became empty
    ends_s: Floats  # r, m; infinite when idle
    starts_s: Floats  # r, m
    first: Ints  # r, m; first request of the executing batch
    size: Ints  # r, m
    counters: Floats  # r, COUNTERS
    batch_count: Floats  # r, b + 1
    batch_s: Floats  # r, b + 1
    histogram: npt.NDArray[np.int32]  # r, WINDOW_STEPS, BINS
    epoch: Ints  # r, WINDOW_STEPS
    sample_s: Floats  # latencies of requests that ended since the last look
    channel: Ints  # long-lived connections: slot of each
    channel_until_s: Floats


def _compiled(function: _Function) -> _Function:
    return cast(_Function, njit(cache=True, error_model="numpy")(function))


def _inlined(function: _Function) -> _Function:
    """Compiled into its callers: handing over a Fleet, 300 words, costs more than most of these."""
    return cast(_Function, njit(error_model="numpy", inline="always")(function))


@_inlined
def _uniform(rng: npt.NDArray[np.uint64]) -> float:
    """xorshift64*, 0 <= u < 1."""
    x = rng[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    rng[0] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@_inlined
def _factor(f: Fleet, now_s: float) -> float:
    """Drift at ``now_s`` times the noise of one execution."""
    factor = 1.0
    times = f.drift_s
    n = times.size
    if n > 0:
        if now_s <= times[0]:
            factor = f.drift[0]
        elif now_s >= times[n - 1]:
            factor = f.drift[n - 1]
        else:
            i = 1
            while times[i] < now_s:
                i += 1
            share = (now_s - times[i - 1]) / (times[i] - times[i - 1])
            factor = f.drift[i - 1] + share * (f.drift[i] - f.drift[i - 1])
    sigma = f.params[NOISE]
    if sigma > 0:
        radius = math.sqrt(-2.0 * math.log(1.0 - _uniform(f.rng)))
        z = radius * math.cos(6.283185307179586 * _uniform(f.rng))
        factor *= math.exp(sigma * z - 0.5 * sigma * sigma)
    return factor


@_inlined
def _touch(f: Fleet, slot: int, now_s: float) -> None:
    """Bring the slot's integrals up to date, before anything changes."""
    elapsed_s = now_s - f.touched_s[slot]
    f.counters[slot, IN_FLIGHT_S] += elapsed_s * f.outstanding[slot]
    if f.idle[slot] < f.ends_s.shape[1]:
        f.counters[slot, BUSY_S] += elapsed_s
    f.touched_s[slot] = now_s


@_inlined
def _refuse(f: Fleet, request: int, slot: int, now_s: float) -> None:
    """A request the queue policy rejects: a failure to Triton, and perhaps a retry."""
    f.latency_s[request] = REJECTED
    f.counters[slot, FAILURE] += 1
    if f.params[RETRY_SHARE] > 0 and _uniform(f.rng) < f.params[RETRY_SHARE]:
        end = f.ints[RETRY_END]
        if end < f.arrival_s.size:
            f.arrival_s[end] = now_s + f.params[RETRY_DELAY_S]
            f.ints[RETRY_END] = end + 1
            f.ints[RETRIED] += 1


@_inlined
def _pop(f: Fleet, slot: int) -> int:
    """The next waiting request, most urgent level first."""
    level = 0
    while f.head[slot, level] < 0:
        level += 1
    request = f.head[slot, level]
    f.head[slot, level] = f.link[request]
    if f.link[request] < 0:
        f.tail[slot, level] = -1
    f.waiting[slot] -= 1
    return int(request)


@_inlined
def _expire(f: Fleet, slot: int, now_s: float) -> None:
    """Refuse what has waited too long, on every level."""
    limit_s = now_s - f.params[REJECT_AFTER_S]
    for level in range(f.head.shape[1]):
        request = f.head[slot, level]
        while request >= 0 and f.arrival_s[request] < limit_s:
            f.head[slot, level] = f.link[request]
            if f.link[request] < 0:
                f.tail[slot, level] = -1
            f.waiting[slot] -= 1
            _touch(f, slot, now_s)
            f.outstanding[slot] -= 1
            _refuse(f, request, slot, now_s)
            request = f.head[slot, level]


@_inlined
def _oldest_s(f: Fleet, slot: int) -> float:
    oldest_s = np.inf
    for level in range(f.head.shape[1]):
        request = f.head[slot, level]
        if request >= 0 and f.arrival_s[request] < oldest_s:
            oldest_s = f.arrival_s[request]
    return oldest_s


@_inlined
def _batch_size(f: Fleet, slot: int, now_s: float) -> int:
    """How many a free instance takes now; 0 when it waits for more (sets the timer)."""
    limit = f.service_s.size - 1
    most = min(f.waiting[slot], limit)
    delay_s = f.params[QUEUE_DELAY_S]
    preferred = f.best_preferred[most]
    if delay_s <= 0:
        return int(preferred if preferred > 0 else most)
    due_s = _oldest_s(f, slot) + delay_s
    if now_s >= due_s - _EPS_S:
        return int(most)
    if preferred > 0:
        return int(preferred)
    f.timer_s[slot] = due_s
    return 0


@_inlined
def _execute(f: Fleet, slot: int, size: int, now_s: float) -> None:
    """The next ``size`` requests onto a free instance."""
    instance = 0
    while f.ends_s[slot, instance] < np.inf:
        instance += 1
    _touch(f, slot, now_s)
    f.idle[slot] -= 1
    first = _pop(f, slot)
    last = first
    for _ in range(size - 1):
        request = _pop(f, slot)
        f.link[last] = request
        last = request
    f.first[slot, instance] = first
    f.size[slot, instance] = size
    f.starts_s[slot, instance] = now_s
    f.ends_s[slot, instance] = now_s + f.service_s[size] * f.speed[slot] * _factor(f, now_s)


@_inlined
def _take_closed(f: Fleet, slot: int, now_s: float) -> int:
    """Size of the batch a free instance makes of those closed ahead: the first, and what fits.

    A batch that is looked at for joining is closed for good, whether or not it fits.
    """
    size = f.closed[slot, 0]
    taken = 1
    offered = 1
    request = f.head[slot, 0]
    for _ in range(size):
        request = f.link[request]
    while taken < f.n_closed[slot] and now_s - f.arrival_s[request] > f.params[QUEUE_DELAY_S]:
        offered = taken + 1
        if size + f.closed[slot, taken] > f.service_s.size - 1:
            break
        for _ in range(f.closed[slot, taken]):
            request = f.link[request]
        size += f.closed[slot, taken]
        taken += 1
    if offered == f.n_closed[slot] and f.current[slot] == GROWS:
        f.current[slot] = RENEW
    for i in range(taken, f.n_closed[slot]):
        f.closed[slot, i - taken] = f.closed[slot, i]
    f.n_closed[slot] -= taken
    return int(size)


@_inlined
def _close_ahead(f: Fleet, slot: int, now_s: float) -> None:
    """One round of the batcher's thread: batches out of open requests, until it must wait."""
    limit = f.service_s.size - 1
    most = f.best_preferred[limit]
    delay_s = f.params[QUEUE_DELAY_S]
    f.sleep_s[slot] = np.inf
    while True:
        if f.current[slot] == RENEW:
            f.current[slot] = EMPTY
            f.enough[slot] = 0
        if f.n_open[slot] == 0:
            f.sleep_s[slot] = now_s + NAP_S
            break
        if f.n_closed[slot] >= f.closed.shape[1]:
            break  # the instance that takes one wakes it
        has = f.closed[slot, f.n_closed[slot] - 1] if f.current[slot] == GROWS else 0
        take = min(f.n_open[slot], limit - has)
        total = has + take
        due_s = f.arrival_s[f.first_open[slot]] + delay_s
        due = now_s >= due_s - _EPS_S
        full = False
        if f.best_preferred[total] > has and not due:
            take = f.best_preferred[total] - has
        elif has >= most or f.n_open[slot] > take or total >= most:
            full = True
        elif not due:
            f.enough[slot] = f.next_preferred[total] - has
            if has == 0 or f.best_preferred[has] == has:
                f.sleep_s[slot] = due_s
                break
        if take > 0:
            if f.current[slot] == GROWS:
                f.closed[slot, f.n_closed[slot] - 1] += take
            else:
                f.closed[slot, f.n_closed[slot]] = take
                f.n_closed[slot] += 1
                f.current[slot] = GROWS
            f.n_open[slot] -= take
            for _ in range(take):
                f.first_open[slot] = f.link[f.first_open[slot]]
        if full:
            f.current[slot] = RENEW
        if f.idle[slot] > 0 and f.n_closed[slot] > 0:
            _execute(f, slot, _take_closed(f, slot, now_s), now_s)


@_inlined
def _serve_ahead(f: Fleet, slot: int, now_s: float) -> None:
    """What happens in a replica that closes batches ahead, after an arrival, an end or a nap."""
    room = f.n_closed[slot] < f.closed.shape[1]
    awake = room and (f.current[slot] == RENEW or f.n_open[slot] >= f.enough[slot])
    if f.sleep_s[slot] <= now_s + _EPS_S:
        naps = math.ceil((now_s - f.sleep_s[slot]) / NAP_S)
        f.sleep_s[slot] += NAP_S * max(0, naps)
        awake = awake or f.sleep_s[slot] <= now_s + _EPS_S
    while f.idle[slot] > 0 and f.n_closed[slot] > 0:
        _execute(f, slot, _take_closed(f, slot, now_s), now_s)
        awake = True
    if awake and f.n_open[slot] > 0:
        _close_ahead(f, slot, now_s)
    f.timer_s[slot] = f.sleep_s[slot] if f.n_open[slot] > 0 else np.inf


@_inlined
def _next_event_s(f: Fleet, slot: int) -> float:
    event_s = f.timer_s[slot]
    for instance in range(f.ends_s.shape[1]):
        event_s = min(event_s, f.ends_s[slot, instance])
    return float(event_s)


@_inlined
def _serve(f: Fleet, slot: int, now_s: float) -> None:
    """Start what can be started, and note the slot's next event."""
    f.timer_s[slot] = np.inf
    if f.params[AHEAD] > 0:
        _serve_ahead(f, slot, now_s)
    while f.idle[slot] > 0 and f.waiting[slot] > 0 and f.params[AHEAD] == 0:
        if f.params[REJECT_AFTER_S] < np.inf:
            _expire(f, slot, now_s)
            if f.waiting[slot] == 0:
                break
        size = _batch_size(f, slot, now_s)
        if size == 0:
            break
        _execute(f, slot, size, now_s)
    f.event_s[slot] = _next_event_s(f, slot)


@_inlined
def _answered(f: Fleet, slot: int, latency_s: float, step: int) -> None:
    """Count one answer where scrapes and proxies will look for it."""
    if latency_s > SHORTEST_S:
        found = int(math.log(latency_s / SHORTEST_S) * BINS_PER_E)
        f.histogram[slot, step, min(found, BINS - 1)] += 1
    else:
        f.histogram[slot, step, 0] += 1
    seen = f.ints[SAMPLED]
    f.ints[SAMPLED] = seen + 1
    if seen < f.sample_s.size:
        f.sample_s[seen] = latency_s
    else:
        place = int(_uniform(f.rng) * (seen + 1))
        if place < f.sample_s.size:
            f.sample_s[place] = latency_s


@_inlined
def _complete(f: Fleet, slot: int, now_s: float) -> bool:
    """Answer the batches of a slot that end now; whether there were any."""
    ended = False
    for instance in range(f.ends_s.shape[1]):
        if f.ends_s[slot, instance] > now_s:
            continue
        ended = True
        _touch(f, slot, now_s)
        now_epoch = int(now_s / WINDOW_STEP_S)
        step = now_epoch % WINDOW_STEPS
        if f.epoch[slot, step] != now_epoch:
            f.epoch[slot, step] = now_epoch
            f.histogram[slot, step, :] = 0
        size = f.size[slot, instance]
        start_s = f.starts_s[slot, instance]
        request = f.first[slot, instance]
        request_s = 0.0
        queue_s = 0.0
        for _ in range(size):
            latency_s = now_s - f.arrival_s[request]
            f.latency_s[request] = latency_s
            request_s += latency_s
            queue_s += start_s - f.arrival_s[request]
            _answered(f, slot, latency_s, step)
            request = f.link[request]
        f.counters[slot, SUCCESS] += size
        f.counters[slot, EXECUTIONS] += 1
        f.counters[slot, REQUEST_S] += request_s
        f.counters[slot, QUEUE_S] += queue_s
        f.batch_count[slot, size] += 1
        f.batch_s[slot, size] += now_s - start_s
        f.outstanding[slot] -= size
        f.idle[slot] += 1
        f.ends_s[slot, instance] = np.inf
    return ended


@_inlined
def _route(f: Fleet, now_s: float) -> int:
    """The slot of a new request; -1 when no replica is ready."""
    n = f.ints[N_READY]
    if n == 0:
        return -1
    start = int(_uniform(f.rng) * n) if n > 1 else 0
    if f.ints[ROUTING] == LEAST:
        best = f.ready[start]
        fewest = f.outstanding[best]
        for step in range(1, n):
            if fewest == 0:
                break
            place = start + step
            if place >= n:
                place -= n
            slot = f.ready[place]
            if f.outstanding[slot] < fewest:
                best = slot
                fewest = f.outstanding[slot]
        return int(best)
    if f.ints[ROUTING] == RANDOM:
        return int(f.ready[start])
    channel = int(_uniform(f.rng) * f.channel.size)
    slot = f.channel[channel]
    if slot < 0 or f.state[slot] != READY or now_s >= f.channel_until_s[channel]:
        slot = f.ready[start]
        f.channel[channel] = slot
        f.channel_until_s[channel] = now_s + f.params[RECYCLE_S] * (0.5 + _uniform(f.rng))
    return int(slot)


@_inlined
def _admit(f: Fleet, request: int, now_s: float) -> int:
    """Put a request into a queue; -1 when it ended right there."""
    slot = _route(f, now_s)
    if slot < 0:
        f.latency_s[request] = FAILED
        return -1
    if f.waiting[slot] >= f.params[MAX_QUEUE]:
        _refuse(f, request, slot, now_s)
        return -1
    level = 0
    if f.priority.size > 1:
        drawn = _uniform(f.rng)
        while level < f.priority.size - 1 and drawn >= f.priority[level]:
            level += 1
    _touch(f, slot, now_s)
    f.outstanding[slot] += 1
    f.waiting[slot] += 1
    f.link[request] = -1
    if f.tail[slot, level] >= 0:
        f.link[f.tail[slot, level]] = request
    else:
        f.head[slot, level] = request
    f.tail[slot, level] = request
    f.n_open[slot] += 1
    if f.n_open[slot] == 1:
        f.first_open[slot] = request
    return slot


@_compiled
def advance(f: Fleet, until_s: float) -> None:
    """Everything that happens before ``until_s``; what happens just then is left for the next."""
    ints = f.ints
    ahead = f.params[AHEAD] > 0
    event_slot = 0
    for slot in range(ints[SLOTS_USED]):
        if f.event_s[slot] < f.event_s[event_slot]:
            event_slot = slot
    while True:
        event_s = f.event_s[event_slot]
        now_s = f.arrival_s[ints[NEXT]] if ints[NEXT] < ints[TRACE_END] else np.inf
        entry = NEXT
        if ints[RETRY_NEXT] < ints[RETRY_END] and f.arrival_s[ints[RETRY_NEXT]] < now_s:
            now_s = f.arrival_s[ints[RETRY_NEXT]]
            entry = RETRY_NEXT
        if min(now_s, event_s) >= until_s:
            return
        missed = False
        if now_s < event_s:
            slot = _admit(f, ints[entry], now_s)
            ints[entry] += 1
            if slot < 0 or not (ahead or f.idle[slot] > 0):
                continue
        else:
            now_s = event_s
            slot = event_slot
            ended = _complete(f, slot, now_s)
            if ended and f.params[LOST] > 0 and _uniform(f.rng) < f.params[LOST]:
                f.timer_s[slot] = now_s + NAP_S
                f.event_s[slot] = _next_event_s(f, slot)
                missed = True
        if not missed:
            _serve(f, slot, now_s)
        if f.state[slot] == DRAINING and f.outstanding[slot] == 0:
            f.empty_s[slot] = now_s
        if f.event_s[slot] < event_s:
            event_slot = slot
        elif slot == event_slot and f.event_s[slot] > event_s:
            for slot in range(ints[SLOTS_USED]):
                if f.event_s[slot] < f.event_s[event_slot]:
                    event_slot = slot


@_compiled
def kill(f: Fleet, slot: int, now_s: float) -> None:
    """A replica dies: what it holds fails."""
    _touch(f, slot, now_s)
    while f.waiting[slot] > 0:
        f.latency_s[_pop(f, slot)] = FAILED
    for instance in range(f.ends_s.shape[1]):
        if f.ends_s[slot, instance] < np.inf:
            request = f.first[slot, instance]
            for _ in range(f.size[slot, instance]):
                f.latency_s[request] = FAILED
                request = f.link[request]
            f.ends_s[slot, instance] = np.inf
    f.outstanding[slot] = 0
    f.idle[slot] = f.ends_s.shape[1]
    f.timer_s[slot] = np.inf
    f.event_s[slot] = np.inf


@_compiled
def latency_bins(
    histogram: npt.NDArray[np.int32], epoch: Ints, slots: Ints, now_epoch: int, share: float
) -> Ints:
    """Per slot the histogram's bin of the quantile ``share`` of the last minute; -1 without any."""
    found = np.full(slots.size, -1)
    for i in range(slots.size):
        slot = slots[i]
        total = 0
        for step in range(WINDOW_STEPS):
            if epoch[slot, step] > now_epoch - WINDOW_STEPS:
                total += histogram[slot, step, :].sum()
        if total == 0:
            continue
        rank = math.ceil(share * total)
        below = 0
        for place in range(BINS):
            for step in range(WINDOW_STEPS):
                if epoch[slot, step] > now_epoch - WINDOW_STEPS:
                    below += histogram[slot, step, place]
            if below >= rank:
                found[i] = place
                break
    return found


def form_anew(f: Fleet) -> None:
    """Forget what was closed ahead, when batches are formed in another way from now on."""
    f.n_closed[:] = 0
    f.current[:] = RENEW
    f.enough[:] = 0
    f.n_open[:] = f.waiting
    f.first_open[:] = f.head[:, 0]
    f.sleep_s[:] = np.inf


def clear(f: Fleet, slot: int, now_s: float, speed: float) -> None:
    """Make a slot a new replica: all counters from zero, not ready yet."""
    f.state[slot] = STARTING
    f.speed[slot] = speed
    f.touched_s[slot] = now_s
    f.empty_s[slot] = now_s
    for array in (f.counters, f.batch_count, f.batch_s, f.histogram, f.outstanding, f.waiting):
        array[slot] = 0
    f.n_closed[slot] = f.n_open[slot] = f.enough[slot] = 0
    f.current[slot] = RENEW
    f.epoch[slot] = -1
    f.head[slot] = f.tail[slot] = -1
    f.idle[slot] = f.ends_s.shape[1]
    f.ends_s[slot] = f.timer_s[slot] = f.event_s[slot] = f.sleep_s[slot] = np.inf
    f.ints[SLOTS_USED] = max(f.ints[SLOTS_USED], slot + 1)
