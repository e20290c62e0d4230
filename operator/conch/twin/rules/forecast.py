"""The small forecasters that stand in for ARIMA, N-HiTS and an LSTM in the rules that need one.

Each takes the past at equal distances, newest last, and gives the next ``steps`` values, never
below zero. The networks themselves are not part of this repository: their trained weights belong to
other traces.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def constant(past: Sequence[float], steps: int) -> list[float]:
    """The newest value again."""
    return [past[-1] if past else 0.0] * steps


def arima110(past: Sequence[float], steps: int) -> list[float]:
    """ARIMA(1,1,0) without drift: the next difference is φ times the last one.

    φ by least squares over the past differences, kept within ±0.95; constant below four values.
    """
    if len(past) < 4:
        return constant(past, steps)
    differences = [b - a for a, b in itertools.pairwise(past)]
    squares = sum(d * d for d in differences[:-1])
    products = sum(a * b for a, b in itertools.pairwise(differences))
    phi = min(max(products / squares, -0.95), 0.95) if squares > 0 else 0.0
    found, value, difference = [], past[-1], differences[-1]
    for _ in range(steps):
        difference *= phi
        value += difference
        found.append(max(0.0, value))
    return found


def trend(past: Sequence[float], steps: int) -> list[float]:
    """A straight line through the past by least squares, continued."""
    count = len(past)
    if count < 2:
        return constant(past, steps)
    middle, mean = (count - 1) / 2, sum(past) / count
    spread = sum((i - middle) ** 2 for i in range(count))
    slope = sum((i - middle) * (value - mean) for i, value in enumerate(past)) / spread
    return [max(0.0, mean + slope * (count - 1 + k - middle)) for k in range(1, steps + 1)]


def quantile(values: Sequence[float], q: float) -> float:
    """The ``q``-quantile (0..1), linear between order statistics; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
