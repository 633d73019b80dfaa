"""How often each duration came, in plain Python: its quantiles and buckets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator


def quantile(durations: Counter[int], per_cent: int) -> int:
    """Nearest rank: the smallest value that at least this share of all values do not exceed."""
    rank = -(-durations.total() * per_cent // 100)
    return next(value for value, below in _cumulated(durations) if below >= rank)


def buckets(durations: Counter[int]) -> Counter[tuple[int, int]]:
    """How many lie from the first of a pair to below the second: four pairs from one power of two to the next."""
    counts: Counter[tuple[int, int]] = Counter()
    for value, count in durations.items():
        width = 1 << max(value.bit_length() - 3, 0)
        low = value // width * width
        counts[low, low + width] += count
    return counts


def _cumulated(durations: Counter[int]) -> Iterator[tuple[int, int]]:
    below = 0
    for value, count in sorted(durations.items()):
        below += count
        yield value, below
