"""What regions (requests, tasks) held and waited, and whom for, in plain Python; `_native/regions.c` says the same."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from tracekit.model.rows import NO_REGION, Wait

REGION_LIMIT = 1 << 16
"""So many are kept, those that had a row last."""


@dataclass
class _Region:
    thread: int
    start: int
    end: int
    held: int = 0
    waited: int = 0
    waits: int = 0
    blame: Counter[tuple[int, int]] = field(default_factory=Counter)  # by holder and its stack


class RegionTimes:
    """A region spans the holds whose RELEASE names it, and the waits whose ENTRY does, with the off-GIL time before."""

    def __init__(self) -> None:
        self._regions: OrderedDict[int, _Region] = OrderedDict()
        self.dropped = 0

    def see(self, region: int, thread: int, start: int, end: int) -> _Region:
        """A row of the thread has it; from start to end it did what the row tells."""
        if region not in self._regions and len(self._regions) == REGION_LIMIT:
            self._regions.popitem(last=False)
            self.dropped += 1
        seen = self._regions.setdefault(region, _Region(thread, start, end))
        self._regions.move_to_end(region)
        seen.start, seen.end = min(seen.start, start), max(seen.end, end)
        return seen

    def held(self, region: int, thread: int, start: int, end: int) -> None:
        self.see(region, thread, start, end).held += end - start

    def waited(self, wait: Wait, end: int) -> None:
        if wait.region != NO_REGION:
            seen = self.see(wait.region, wait.thread, wait.start, end)
            seen.waited += end - wait.start
            seen.waits += 1

    def settle(self, wait: Wait) -> None:
        """Its holds have ended, so their stacks are known."""
        seen = self._regions.get(wait.region)
        if seen is None:
            return
        for part, duration in wait.parts.items():
            seen.blame[part.holder, part.stack] += duration

    def rows(self) -> list[tuple[int, ...]]:
        """Those of `rows.REGION_ROW`."""
        return [
            (region, seen.start, seen.end, seen.held, seen.waited, seen.waits, seen.thread, 0)
            for region, seen in self._regions.items()
        ]

    def blame_rows(self) -> list[tuple[int, ...]]:
        """Those of `rows.REGION_BLAME_ROW`."""
        return [
            (region, duration, stack, holder, 0)
            for region, seen in self._regions.items()
            for (holder, stack), duration in seen.blame.items()
        ]
