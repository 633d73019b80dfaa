"""Shared by the writers for trace viewers: a trace as slices, findings and a counter track, in row order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tracekit.analysis import Analysis
from tracekit.analyzers import ANALYZERS, COLLECTED
from tracekit.analyzers.finding import Finding
from tracekit.model.definitions import Code
from tracekit.words import at_line, whole_number
from tracekit.writers.tablestream import TableStream

HOLDS, WAITS, WAKES = "holds the GIL", "waits for the GIL", "wakes up"
WAITERS = "threads waiting for the GIL"
FINDINGS = "Findings"
TICK = 1000
"""ns per tick in viewers; the first tick is at 0."""
Fact = int | float | str


class Slice(NamedTuple):
    """Something that lasts, on a track.

    track: a thread's id; of a finding the words for its track. start, end: in ns. facts: to show with it. flow: of a
    hold and of the contended wait that ended when this hold had: the same number. freed: of such a wait, when that was.
    stack: of a wait, that of the thread that waits; of a hold the one that it was in for longest, as those saw it who
    waited, or at its RELEASE; by its id; None where the trace does not tell.
    """

    track: str
    name: str
    start: int
    end: int
    facts: Mapping[str, Fact]
    flow: int | None = None
    freed: int | None = None
    stack: int | None = None


def shown_clock(analysis: Analysis) -> Callable[[int], int]:
    """Converts the trace's clock to the viewer's ns, 0 to 2^63."""
    if analysis.unit == "ns":
        return int
    first, unit = analysis.totals.first_clock or 0, TICK if analysis.duration < 2**62 // TICK else 1
    return lambda ticks: (ticks - first) * unit


def start_of(analysis: Analysis) -> int:
    """The trace's start in the viewer's ns."""
    return shown_clock(analysis)(analysis.totals.first_clock or 0)


def slices(trace: TableStream) -> Iterator[Slice]:
    """Holds and contended waits, as they end. Those of one thread do not overlap."""
    names, shown = trace.analysis.names, shown_clock(trace.analysis)

    @lru_cache(1 << 12)
    def told(stack: int) -> str:
        return "\n".join(frame(*one) for one in trace.header.definitions.frames(stack))

    ends: dict[str, int] = {}
    last: Slice | None = None  # the hold that ended last
    for number, row in enumerate(_as_they_end(trace)):
        start, end = max(shown(row.start), ends.get(row.thread, 0)), shown(row.end)
        ends[row.thread] = end
        words = told(row.stack) if row.stack is not None else ""
        facts = row.facts | ({"stack": words} if words else {})
        stack = row.stack if words else None
        if row.name == HOLDS:
            if last:
                yield last
            last = Slice(row.thread, HOLDS, start, end, facts, stack=stack)
            continue
        wait = Slice(row.thread, WAITS, start, end, facts, stack=stack)
        if last and last.track != row.thread and row.seq is not None:
            last = last._replace(flow=number)
            wait = wait._replace(facts=facts | {"behind": names[last.track]}, flow=number, freed=last.end)
        if last:
            yield last
            last = None
        yield wait
    if last:
        yield last


def with_wake_ups(rows: Iterable[Slice]) -> Iterator[Slice]:
    """The flows end in a slice of their own: from when the holder let go until the waiter has the GIL.

    An arrow leads from the slice that begins first to the other, and a wait may begin before the hold it is behind.
    """
    for slice in rows:
        if slice.freed is None:
            yield slice
            continue
        yield slice._replace(flow=None, freed=None)
        yield Slice(slice.track, WAKES, max(slice.freed, slice.start), slice.end, {}, slice.flow)


class _Row(NamedTuple):
    """Of `holds` or `waits`."""

    seq: int | None  # where it ends
    name: str
    thread: str
    start: int
    end: int
    facts: dict[str, Fact]
    stack: int | None = None


def _as_they_end(trace: TableStream) -> Iterator[_Row]:
    rows: list[_Row] = []
    looks = _Looks()
    events = ["events"] if {"stack", "sample"} & set(trace.attributes) else []
    for table, piece in trace.pieces(*events, "holds", "waits"):
        if table == "events":
            looks.add(piece)
            continue
        if table == "holds":  # all that ended before is here
            yield from _in_order(rows)
            rows.clear()
        rows += _holds(piece, looks) if table == "holds" else _waits(piece)
    yield from _in_order(rows)


class _Looks:
    """In which stacks threads were seen that hold the GIL, of the holds that have not come yet."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, int, int | None, int | None]] = deque()

    def add(self, events: pa.Table) -> None:
        is_release = pc.equal(events.column("event"), "RELEASE")
        told = pc.or_(pc.is_valid(events.column("sample")), pc.and_(is_release, pc.is_valid(events.column("stack"))))
        self._rows.extend(_columns(events.filter(told), "seq", "clock", "sample", "stack"))

    def of(self, start_seq: int, end_seq: int | None, start: int, end: int) -> int | None:
        """The stack in which this hold, later than all before, was for longest."""
        spent: Counter[int] = Counter()
        since, seen, last = start, None, None
        while self._rows and (end_seq is None or self._rows[0][0] <= end_seq):
            seq, clock, sample, stack = self._rows.popleft()
            if seq < start_seq:
                continue
            if sample is None:
                last = stack
                continue
            if seen is not None:
                spent[seen] += clock - since
                since = clock
            seen = sample
        if seen is None:
            return last
        spent[seen] += end - since
        return spent.most_common(1)[0][0]


def _in_order(rows: list[_Row]) -> list[_Row]:
    return sorted(rows, key=lambda row: 2**63 if row.seq is None else row.seq)


def _columns(piece: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(piece.column(name).to_pylist() for name in names), strict=True)


def _holds(piece: pa.Table, looks: _Looks) -> Iterator[_Row]:
    for first, seq, thread, start, end, kind, cpu in _columns(
        piece, "start_seq", "end_seq", "thread", "start_clock", "end_clock", "release_kind", "cpu"
    ):
        facts: dict[str, Fact] = {} if kind == "unknown" else {"release": kind}
        stack = looks.of(first, seq, start, end)
        yield _Row(seq, HOLDS, thread, start, end, facts if cpu is None else facts | {"cpu ns": cpu}, stack)


def _waits(piece: pa.Table) -> Iterator[_Row]:
    columns = ("contended", "end_seq", "thread", "entry_clock", "busy_clock", "end_clock", "failed_retries", "stack")
    for contended, seq, thread, entry, busy, end, retries, stack in _columns(piece, *columns):
        if contended:
            facts = {} if retries is None else {"failed retries": retries}
            yield _Row(seq, WAITS, thread, busy if entry is None else entry, end, facts, stack)


def frame(code: Code, line: int) -> str:
    """A frame in words."""
    return at_line(code.function, code.file, line)


def waiters(trace: TableStream) -> Iterator[tuple[int, int]]:
    """(ns, how many threads sleep on the GIL from then on)."""
    shown = shown_clock(trace.analysis)
    waiting: set[str] = set()
    for _, piece in trace.pieces("events"):
        for thread, event, clock in _columns(piece, "thread", "event", "clock"):
            if event in ("BUSY", "RETRY"):
                if thread in waiting:
                    continue
                waiting.add(thread)
            elif thread in waiting and event in ("ACQUIRE", "ENTRY"):
                waiting.discard(thread)
            else:
                continue
            yield shown(clock), len(waiting)


def findings(analysis: Analysis) -> Iterator[Slice]:
    """The costliest findings of each kind, those of one track one after the other. Words stand at the costliest."""
    names, clock = analysis.names, shown_clock(analysis)
    whole = [finding for finding in analysis.findings if finding.start_seq is None]
    words = {(finding.kind, finding.start_seq): finding for finding in analysis.findings if finding not in whole}
    for kind in COLLECTED:
        shown = ANALYZERS[kind].words
        for row in analysis.tables[kind].to_pylist():
            finding = words.pop((kind, row["start_seq"]), None)
            facts = _words(finding) if finding else {}
            thread = row.get("waiter") or row.get("thread")
            for fact, value in row.items():
                if value is not None and fact in ("rival", "hog"):
                    facts[fact] = names[value]
                elif value is not None and fact not in ("waiter", "thread") and not fact.endswith(("_seq", "_clock")):
                    facts[fact.replace("_", " ")] = value
            track = f"{shown} of {names[thread]}" if thread else shown
            yield Slice(track, shown, clock(row["start_clock"]), clock(row["end_clock"]), facts)
    start = start_of(analysis)
    end = clock((analysis.totals.first_clock or 0) + analysis.duration)
    for finding in (*words.values(), *whole):
        facts = _words(finding)
        shown = ANALYZERS[finding.kind].words
        track = f"{shown} of {finding.subject}" if finding.subject else shown
        yield Slice(track, shown, start, end, facts)


def _words(finding: Finding) -> dict[str, Fact]:
    lines = {"lines": " ".join(finding.lines)} if finding.lines else {}
    return {"finding": finding.title, **lines, "why": finding.explanation, "advice": finding.advice}


def process(analysis: Analysis) -> tuple[int, str]:
    """Its id, 1 where the metadata tell none, and a name."""
    pid = whole_number(analysis.metadata.get("pid", ""), 2**31 - 2) or 1
    return pid, analysis.metadata.get("workload", analysis.path)
