"""All findings of a kind by their threads, in plain Python."""

from __future__ import annotations

from collections.abc import Sequence

from tracekit.model.rows import FoundRow


def group_rows(found: Sequence[FoundRow]) -> list[tuple[object, ...]]:
    """Those of `rows.GROUP_ROW`."""
    groups: dict[tuple[int, int], list[FoundRow]] = {}
    for row in found:
        groups.setdefault((row.thread, row.other), []).append(row)
    rows: list[tuple[object, ...]] = []
    for (thread, other), summed in groups.items():
        worst = min(summed, key=lambda row: (-row.cost, row.start_seq))
        sums = tuple(sum(row.more[place] for row in summed) for place in range(4))
        span = sum(row.end_clock - row.start_clock for row in summed)
        cost = sum(row.cost for row in summed)
        rows.append((len(summed), cost, span, sums, worst.cost, worst.start_seq, worst.end_seq, thread, other))
    return rows
