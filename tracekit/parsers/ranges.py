"""Sources that tell for how long each thread waited for the GIL and held it, in any order."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tracekit.model.source import Source
from tracekit.model.stream import ACQUIRE, ENTRY, RELEASE, TIME_LIMIT
from tracekit.parsers.imported import UNTOLD, ImportedEvents, Row, with_busy

WAITING, BRIEF, HOLDING = range(3)  # in this order where they begin at the same time
_PIECE = 1 << 16


class Ranges:
    """Waits and holds, in 25 bytes each."""

    def __init__(self) -> None:
        self._starts, self._ends = array("q"), array("q")
        self._threads = array("q")
        self._kinds = array("b")

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, kind: int, thread: int, start: float, end: float) -> bool:
        """Adds a range, WAITING or HOLDING, from `start` to `end` in ns; False if those are no times."""
        if not 0 <= start <= end <= TIME_LIMIT:
            return False
        self._starts.append(round(start))
        self._ends.append(round(end))
        self._threads.append(thread)
        self._kinds.append(kind)
        return True

    def rows(self) -> Iterator[Row]:
        """The events that these are: a wait begins with an ENTRY and ends when the thread's next hold begins.

        A hold that no wait leads to gets an ENTRY where it begins: the thread did not wait for it. A wait that no hold
        follows had one too short to be seen, for which whoever held the GIL at its end let go of it. Only a wait that
        lasts to the end of the trace stays open.
        """
        starts, ends, threads, kinds = self._with_brief_holds()
        timed = np.concatenate([starts, ends[kinds == HOLDING]])
        ranges = np.concatenate([np.arange(len(starts)), np.flatnonzero(kinds == HOLDING)])
        is_end = np.arange(len(timed)) >= len(starts)
        order = np.lexsort((kinds[ranges], is_end, starts[ranges], timed))
        holder: int | None = None
        waiting: set[int] = set()
        for at in range(0, len(order), _PIECE):
            piece = order[at : at + _PIECE]
            of = ranges[piece]
            columns = (timed[piece], threads[of], kinds[of], is_end[piece])
            for time, thread, kind, ends_here in zip(*(column.tolist() for column in columns), strict=True):
                if ends_here:
                    yield time, thread, RELEASE
                    holder = None if holder == thread else holder
                    continue
                if kind == WAITING:
                    yield time, thread, ENTRY
                    waiting.add(thread)
                    continue
                if kind == BRIEF and holder == thread:
                    continue
                if kind == BRIEF and holder is not None:
                    yield time, holder, RELEASE
                if thread not in waiting:
                    yield time, thread, ENTRY
                waiting.discard(thread)
                yield time, thread, ACQUIRE
                if kind == HOLDING:
                    holder = thread
                    continue
                yield time, thread, RELEASE
                if holder is not None:
                    yield time, holder, ENTRY
                    yield time, holder, ACQUIRE

    def _with_brief_holds(self) -> tuple[npt.NDArray[np.int64], ...]:
        """The columns starts, ends, threads, kinds, with what follows from waits without a hold."""
        starts, ends, threads = (np.array(column, np.int64) for column in (self._starts, self._ends, self._threads))
        kinds = np.array(self._kinds, np.int64)
        kinds[(kinds == HOLDING) & (starts == ends)] = BRIEF
        order = np.lexsort((kinds, starts, threads))
        follower = np.append(order[1:], -1)
        followed = (follower >= 0) & (threads[follower] == threads[order]) & (kinds[follower] != WAITING)
        alone = order[(kinds[order] == WAITING) & ~followed]
        alone = alone[ends[alone] < ends.max(initial=0)]
        return (
            np.concatenate([starts, ends[alone]]),
            np.concatenate([ends, ends[alone]]),
            np.concatenate([threads, threads[alone]]),
            np.concatenate([kinds, np.full(len(alone), BRIEF)]),
        )


class RangeEvents(ImportedEvents):
    """The events of such a source. All of it is read when it is opened."""

    repeatable = True

    def __init__(self, source: Source, written_by: str) -> None:
        super().__init__(source, written_by, UNTOLD)
        self._processes: dict[int, Ranges] = {}
        self._left_out = 0
        self.read()
        self._processes = {pid: ranges for pid, ranges in self._processes.items() if len(ranges)}
        if self._left_out:
            self.metadata["records-left-out"] = str(self._left_out)
        if self._processes:
            self._pid = max(self._processes, key=lambda pid: len(self._processes[pid]))
            self.metadata["pid"] = str(self._pid)
        if len(self._processes) > 1:
            self.metadata["processes-left-out"] = str(len(self._processes) - 1)

    @abstractmethod
    def read(self) -> None:
        """Calls `add` for each wait and hold. Raises SourceError."""

    def add(self, kind: int, pid: int | None, thread: int | None, start: float, end: float) -> None:
        """Adds a WAITING or HOLDING range in ns, or counts it where it has no thread or no times."""
        if (
            pid is None
            or thread is None
            or not (self._processes.setdefault(pid, Ranges()).add(kind, thread, start, end))
        ):
            self._left_out += 1

    def rows(self) -> Iterator[Row]:
        """Those of the process with the most ranges: each has a GIL of its own."""
        return with_busy(self._processes[self._pid].rows()) if self._processes else iter(())
