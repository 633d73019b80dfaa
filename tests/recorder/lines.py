"""Which lines were waited for, by a plain reading of docs/analyses.md of what the recorder wrote."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tracekit.model.source import Source
from tracekit.parsers.raw import RawRecording

Frame = tuple[str, str, int]
"""Function, file, line."""


@dataclass
class Hold:
    thread: str
    start: int
    end: int = 0
    samples: list[tuple[int, int]] = field(default_factory=list)
    stack: int | None = None
    cpu: int | None = None

    def is_preempted(self) -> bool:
        """Other programs had the CPU for most of it: on which line that was says nothing of the line."""
        length = self.end - self.start
        return length >= 1_000_000 and self.cpu is not None and 2 * self.cpu < length

    def stacks(self) -> list[tuple[int, int, int | None]]:
        """(from, to, stack) of its parts."""
        if not self.samples:
            return [(self.start, self.end, self.stack)]
        starts = [self.start, *(time for time, _ in self.samples[1:]), self.end]
        return [(a, b, stack) for (a, b), (_, stack) in zip(pairwise(starts), self.samples, strict=True)]


@dataclass
class Recorded:
    stream: RawRecording
    rows: list[dict[str, Any]]
    holds: list[Hold] = field(default_factory=list)
    waits: list[tuple[str, int, int, int | None]] = field(default_factory=list)
    """Thread, start, end, own stack."""

    def frames(self, stack: int | None) -> list[Frame]:
        """The innermost first."""
        told = self.stream.definitions.frames(stack) if stack else []
        return [(code.function, code.file, line) for code, line in told]

    def waited_for(self, waiter: str, holder: str | None = None, ran: bool = False) -> Counter[int | None]:
        """ns that this thread waited while another held (this one, if named), by the holder's stack.

        ran: only in holds that were not preempted.
        """
        waited: Counter[int | None] = Counter()
        for thread, start, end, _ in self.waits:
            if thread != waiter:
                continue
            for hold in self.holds:
                if hold.end <= start or hold.start >= end or hold.thread == waiter or holder not in (None, hold.thread):
                    continue
                if ran and hold.is_preempted():
                    continue
                for a, b, stack in hold.stacks():
                    waited[stack] += max(0, min(b, end) - max(a, start))
        return waited


def recorded(raw: Path) -> Recorded:
    stream = RawRecording(Source(str(raw)))
    rows = [row for batch in stream for row in batch.to_pylist()]
    found = Recorded(stream, rows)
    waiting: dict[str, list[Any]] = {}
    current: Hold | None = None
    for row in rows:
        thread, event, time = row["thread"], row["event"], row["time"]
        if event == "ENTRY":
            waiting[thread] = [time, None]
        elif event in ("BUSY", "RETRY"):
            if thread in waiting and waiting[thread][1] is None:
                waiting[thread][1] = row.get("stack")
            if current and row.get("sample"):
                current.samples.append((time, row["sample"]))
        elif event == "ACQUIRE":
            if thread in waiting:
                start, stack = waiting.pop(thread)
                found.waits.append((thread, start, time, stack))
            current = Hold(thread, time)
        elif current and current.thread == thread:
            current.end, current.stack, current.cpu = time, row.get("stack"), row.get("cpu")
            found.holds.append(current)
            current = None
    return found
