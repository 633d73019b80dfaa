"""Events to holds, waits, switches and blame: the state machine of docs/analyses.md, and the tables it fills.

`PlainMachine` is the executable reading of the definitions and the oracle of the native core's tests; it charges every
clock step to every open wait, which the core avoids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit import _native, schemas
from tracekit._native.timeline import NativeMachine
from tracekit.arrays import NULL, categories, flags, int64_values, integers, no_integers, numbers, strings
from tracekit.machine import (
    FAULT_CODES,
    LAYOUTS,
    NO_SEQ,
    NOBODY,
    RELEASE_KINDS,
    SEVERITIES,
    Faults,
    Machine,
    Rows,
    Totals,
)
from tracekit.stream import EventStream, Progress

ENTRY, ACQUIRE, RELEASE, BUSY, RETRY = range(5)
UNKNOWN, CHECK, BLOCKING = range(3)


@dataclass
class _Clock:
    """Monotonic, and counted from its first reading."""

    first: int | None = None
    now: int = 0

    def read(self, value: int) -> None:
        if self.first is None:
            self.first = value
        self.now = max(self.now, value - self.first)


@dataclass
class _Wait:
    thread: int
    entry_seq: int
    start: int
    busy_seq: int = NO_SEQ
    busy: int = 0
    failed_retries: int = 0
    lost_rounds: int = 0
    timeouts: int = 0
    hand_overs: int = 0
    acquires_since_mark: int = 0  # its last BUSY or RETRY
    reacquires_since_mark: int = 0
    passes: Counter[int] = field(default_factory=Counter)  # by thread, since its first BUSY or RETRY
    blame: Counter[int] = field(default_factory=Counter)

    @property
    def contended(self) -> bool:
        return self.busy_seq != NO_SEQ


@dataclass
class _Hold:
    thread: int
    seq: int
    start: int
    checks: int
    waited: int


@dataclass
class _Thread:
    first_seq: int = NO_SEQ
    counts: list[int] = field(default_factory=lambda: [0] * 5)
    contended_waits: int = 0
    lost_rounds: int = 0
    timeouts: int = 0
    hand_overs: int = 0
    releases: list[int] = field(default_factory=lambda: [0] * 3)
    held: int = 0
    waited: int = 0
    blame: Counter[int] = field(default_factory=Counter)


class PlainMachine:
    """See `machine.Machine`."""

    native_handle: int | None = None

    def __init__(self, interval: int, keep_rows: bool) -> None:
        self.keep_rows = keep_rows
        self._interval = interval
        self._threads: list[_Thread] = []
        self._waits: dict[int, _Wait] = {}
        self._hold: _Hold | None = None
        self._seq = 0
        self._timed = False
        self._time, self._ticks = _Clock(), _Clock()
        self._last_checks = NULL
        self._checks: tuple[int, int] | None = None
        self._last_acquirer = NOBODY
        self._last_change = (NOBODY, RELEASE)  # the last ACQUIRE or RELEASE
        self._last_release: int | None = None  # its clock, since the last ACQUIRE
        self._switches = 0
        self._faults: dict[tuple[int, int], list[int]] = {}
        self._rows: dict[str, list[tuple[int, ...]]] = {table: [] for table in LAYOUTS}
        self._clocks: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]] = []

    @property
    def _clock(self) -> int:
        return (self._time if self._timed else self._ticks).now

    def feed(self, batch: pa.RecordBatch) -> None:
        thread, event = batch.column("thread"), batch.column("event")
        while len(self._threads) < len(thread.dictionary):
            self._threads.append(_Thread())
        columns = [
            thread.indices.to_pylist(),
            event.indices.to_pylist(),
            *(int64_values(batch.column(name)).tolist() for name in ("ticks", "checks", "time")),
        ]
        if self._seq == 0 and batch.num_rows:
            self._timed = columns[4][0] != NULL
        clocks: list[int] = []
        tick_clocks: list[int] = []
        for row in zip(*columns, strict=True):
            self._step(*row)
            clocks.append(self._clock)
            tick_clocks.append(self._ticks.now)
        if self.keep_rows:
            self._clocks.append((np.array(clocks, np.int64), np.array(tick_clocks, np.int64) if self._timed else None))

    def _step(self, thread: int, event: int, ticks: int, checks: int, time: int) -> None:
        totals = self._threads[thread]
        first_row = totals.first_seq == NO_SEQ
        if first_row:
            totals.first_seq = self._seq
        totals.counts[event] += 1
        self._advance(ticks, checks, time)
        wait = self._waits.get(thread)
        holds = self._hold is not None and self._hold.thread == thread
        error = not first_row
        if event == ENTRY:
            if holds:
                self._fault("entry-while-holding", error, thread)
            if wait:
                self._fault("entry-while-waiting", error, thread)
            self._waits[thread] = _Wait(thread, self._seq, self._clock)
        elif event in (BUSY, RETRY):
            if not wait:
                self._fault("missing-entry", error, thread)
                wait = self._waits[thread] = _Wait(thread, NO_SEQ, self._clock)
            self._contend(wait, event)
        elif event == ACQUIRE:
            if wait:
                waited = self._close_wait(wait, self._seq)
            else:
                self._fault("missing-entry", error, thread)
                waited = NULL
            if self._hold:
                self._fault("overlapping-hold", True, thread)
                self._close_hold(self._seq, UNKNOWN, truncated=True)
            self._acquired(thread)
            self._hold = _Hold(thread, self._seq, self._clock, checks, waited)
        else:
            if holds:
                self._close_hold(self._seq, self._release_kind(checks))
            else:
                self._fault("release-without-acquire", error, thread)
            self._last_change = (thread, RELEASE)
            self._last_release = self._clock
        self._seq += 1

    def _advance(self, ticks: int, checks: int, time: int) -> None:
        """Reads the clocks, and charges the step to whoever held the GIL meanwhile."""
        before = self._clock
        if checks != NULL:
            self._last_checks = checks
            least, most = self._checks or (checks, checks)
            self._checks = min(least, checks), max(most, checks)
        if ticks != NULL and self._last_checks != NULL:
            passed = self._interval - min(max(ticks, 0), self._interval)
            self._ticks.read(self._last_checks * self._interval + passed)
        if time != NULL:
            self._time.read(time)
        step = self._clock - before
        if step:
            holder = self._hold.thread if self._hold else NOBODY
            for wait in self._waits.values():
                wait.blame[holder] += step

    def _fault(self, code: str, error: bool, thread: int) -> None:
        key = FAULT_CODES.index(code), int(error)
        self._faults.setdefault(key, [0, self._seq])[0] += 1
        self._keep("faults", self._seq, thread, *key)

    def _keep(self, table: str, *row: int) -> None:
        if self.keep_rows:
            self._rows[table].append(row)

    def _contend(self, wait: _Wait, event: int) -> None:
        totals = self._threads[wait.thread]
        if event == RETRY:
            wait.failed_retries += 1
            if wait.contended:
                if wait.reacquires_since_mark:
                    kind = "lost_rounds"
                elif not wait.acquires_since_mark:
                    kind = "timeouts"
                else:
                    kind = "hand_overs"
                setattr(wait, kind, getattr(wait, kind) + 1)
                setattr(totals, kind, getattr(totals, kind) + 1)
        if not wait.contended:
            wait.busy_seq, wait.busy = self._seq, self._clock
        wait.acquires_since_mark = wait.reacquires_since_mark = 0

    def _acquired(self, thread: int) -> None:
        reacquire = self._last_change == (thread, RELEASE)
        for wait in self._waits.values():
            if wait.contended:
                wait.passes[thread] += 1
                wait.acquires_since_mark += 1
                wait.reacquires_since_mark += reacquire
        if self._last_acquirer not in (NOBODY, thread):
            self._switches += 1
            gap = NULL if self._last_release is None else self._clock - self._last_release
            self._keep("switches", self._seq, gap, self._last_acquirer, thread)
        self._last_acquirer = thread
        self._last_change = (thread, ACQUIRE)
        self._last_release = None

    def _release_kind(self, checks: int) -> int:
        assert self._hold
        if NULL in (checks, self._hold.checks) or checks < self._hold.checks:
            return UNKNOWN
        return CHECK if checks > self._hold.checks else BLOCKING

    def _close_hold(self, end_seq: int, kind: int, truncated: bool = False) -> None:
        hold = self._hold
        assert hold
        totals = self._threads[hold.thread]
        totals.held += self._clock - hold.start
        totals.releases[kind] += 1
        is_open = end_seq == NO_SEQ
        self._keep(
            "holds", hold.seq, end_seq, hold.start, self._clock, hold.waited, hold.thread, kind, is_open, truncated
        )
        self._hold = None

    def _close_wait(self, wait: _Wait, end_seq: int) -> int:
        """Its duration."""
        del self._waits[wait.thread]
        totals = self._threads[wait.thread]
        waited = self._clock - wait.start
        totals.waited += waited
        totals.contended_waits += wait.contended
        totals.blame.update(wait.blame)
        rival = max(wait.passes, key=lambda thread: (wait.passes[thread], -thread), default=NOBODY)
        self._keep(
            "waits", wait.entry_seq, wait.busy_seq, end_seq, wait.start, wait.busy, self._clock,
            wait.failed_retries, wait.lost_rounds, wait.timeouts, wait.hand_overs, wait.passes.total(),
            wait.thread, rival, wait.contended, end_seq == NO_SEQ, wait.entry_seq == NO_SEQ,
        )  # fmt: skip
        return waited

    def finish(self) -> None:
        if self._hold:
            self._close_hold(NO_SEQ, UNKNOWN)
        for thread in sorted(self._waits):
            self._close_wait(self._waits[thread], NO_SEQ)

    def totals(self) -> Totals:
        return Totals(
            events=self._seq,
            timed=self._timed,
            first_clock=(self._time if self._timed else self._ticks).first,
            first_tick_clock=self._ticks.first if self._timed and self.keep_rows else None,
            duration=self._clock,
            switches=self._switches,
            checks=self._checks[1] - self._checks[0] if self._checks else None,
            faults=tuple(
                Faults(FAULT_CODES[code], SEVERITIES[error], count, first)
                for (code, error), (count, first) in sorted(self._faults.items())
            ),
        )

    def rows(self, table: str) -> Rows:
        rows = self._rows[table]
        if table == "threads":
            rows = [
                (*t.counts, t.contended_waits, t.counts[RETRY], t.lost_rounds, t.timeouts, t.hand_overs,
                 t.releases[CHECK], t.releases[BLOCKING], t.held, t.waited, t.first_seq)
                for t in self._threads
            ]  # fmt: skip
        elif table == "blame":
            rows = [
                (duration, waiter, holder)
                for waiter, t in enumerate(self._threads)
                for holder, duration in t.blame.items()
                if duration
            ]
        return np.array(rows, LAYOUTS[table])

    def clocks(self) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]]:
        return self._clocks


def new_machine(interval: int, keep_rows: bool) -> Machine:
    """A state machine of the core in use. `interval`: ticks between two checks."""
    return (NativeMachine if _native.library else PlainMachine)(interval, keep_rows)


@dataclass(frozen=True)
class Timeline:
    """What the state machine found in a whole trace.

    Attributes:
        totals: counts, duration and faults.
        unit: of the clock: `ns` or `ticks`.
        tables: `threads` and `blame`, and where rows were kept `events`, `holds`, `waits`, `switches`. All but
            `diagnostics`, which also knows the lines that are no events.
        faults: rows of `machine.FAULT`, where rows were kept.
    """

    totals: Totals
    unit: str
    tables: Mapping[str, pa.Table]
    faults: Rows


def run(stream: EventStream, progress: Progress | None = None) -> Timeline:
    """Streams a trace through the state machine and keeps totals only: memory does not grow with the trace."""
    machine = new_machine(stream.check_interval, keep_rows=False)
    stream.feed(machine, progress)
    machine.finish()
    return _assemble(machine, stream.threads, stream.names)


def run_kept(
    batches: Sequence[pa.RecordBatch], threads: list[str], names: Mapping[str, str], interval: int
) -> Timeline:
    """The same over batches in memory, with a row for every event, hold, wait and switch."""
    machine = new_machine(interval, keep_rows=True)
    for batch in batches:
        machine.feed(batch)
    machine.finish()
    return _assemble(machine, threads, names, batches)


def _assemble(
    machine: Machine, threads: list[str], names: Mapping[str, str], batches: Sequence[pa.RecordBatch] | None = None
) -> Timeline:
    totals = machine.totals()
    tables = _Tables(machine, totals, threads)
    made = {"threads": tables.threads(names), "blame": tables.blame()}
    faults = np.empty(0, LAYOUTS["faults"])
    if batches is not None:
        made |= {
            "events": tables.events(batches),
            "holds": tables.holds(),
            "waits": tables.waits(),
            "switches": tables.switches(),
        }
        faults = machine.rows("faults").copy()
    return Timeline(totals, tables.unit, made, faults)


class _Tables:
    """Rows to Arrow: codes become categories, clocks get their beginning back, -1 becomes null."""

    def __init__(self, machine: Machine, totals: Totals, threads: list[str]) -> None:
        self._machine = machine
        self.unit = "ns" if totals.timed else "ticks"
        self._first = totals.first_clock or 0
        self._threads = strings(threads)
        clocks = machine.clocks()
        if totals.timed:
            ticks = [ticks for _, ticks in clocks if ticks is not None]
            self._first_tick, known = totals.first_tick_clock or 0, totals.first_tick_clock is not None
        else:
            ticks = [clock for clock, _ in clocks]
            self._first_tick, known = self._first, totals.first_clock is not None
        self._clocks = np.concatenate([clock for clock, _ in clocks]) if clocks else np.empty(0, np.int64)
        self._ticks = np.concatenate(ticks) if ticks and known else None
        self._tick_batches = ticks if known else None

    def _thread(self, codes: npt.NDArray[Any]) -> pa.Array:
        return categories(codes, self._threads)

    @staticmethod
    def _seq(seqs: npt.NDArray[Any]) -> pa.Array:
        return integers(seqs, seqs == NO_SEQ)

    def _clock(self, clocks: npt.NDArray[Any], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
        return integers(clocks + self._first, null)

    def _tick_clock(self, seqs: npt.NDArray[Any], at_end: bool = False) -> pa.Array:
        """The tick clock at these events; of none the trace's last, or null."""
        if self._ticks is None or not len(self._ticks):
            return no_integers(len(seqs))
        values = self._ticks[seqs] + self._first_tick  # -1 takes the last
        return integers(values, None if at_end else seqs == NO_SEQ)

    def events(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        columns: dict[str, list[pa.Array]] = {name: [] for name in schemas.load("events").arrow(self.unit).names}
        seq = 0
        for place, batch in enumerate(batches):
            clock = self._machine.clocks()[place][0]
            columns["seq"].append(integers(np.arange(seq, seq + batch.num_rows)))
            columns["thread"].append(
                pa.DictionaryArray.from_arrays(batch.column("thread").indices, self._threads, safe=False)
            )
            event = batch.column("event")
            columns["event"].append(categories(numbers(event.indices), event.dictionary))
            for name in ("ticks", "checks", "time"):
                columns[name].append(batch.column(name))
            columns["clock"].append(integers(clock + self._first))
            columns["tick_clock"].append(
                integers(self._tick_batches[place] + self._first_tick)
                if self._tick_batches is not None
                else no_integers(batch.num_rows)
            )
            seq += batch.num_rows
        fields = schemas.load("events").arrow(self.unit)
        return schemas.table("events", self.unit, {f.name: pa.chunked_array(columns[f.name], f.type) for f in fields})

    def threads(self, names: Mapping[str, str]) -> pa.Table:
        rows = self._machine.rows("threads")
        columns: dict[str, Any] = {name: integers(rows[name]) for name in rows.dtype.names or () if name != "retries"}
        columns["thread"] = self._thread(np.arange(len(rows)))
        columns["name"] = strings([names.get(thread) for thread in self._threads.to_pylist()])
        return schemas.table("threads", self.unit, columns)

    def blame(self) -> pa.Table:
        rows = self._machine.rows("blame")
        rows = rows[np.lexsort((-rows["duration"], rows["waiter"]))]
        return schemas.table(
            "blame",
            self.unit,
            {
                "waiter": self._thread(rows["waiter"]),
                "holder": self._thread(rows["holder"]),
                "duration": integers(rows["duration"]),
            },
        )

    def holds(self) -> pa.Table:
        rows = self._machine.rows("holds")
        return schemas.table(
            "holds",
            self.unit,
            {
                "thread": self._thread(rows["thread"]),
                "start_seq": self._seq(rows["start_seq"]),
                "end_seq": self._seq(rows["end_seq"]),
                "start_clock": self._clock(rows["start_clock"]),
                "end_clock": self._clock(rows["end_clock"]),
                "start_tick_clock": self._tick_clock(rows["start_seq"]),
                "end_tick_clock": self._tick_clock(rows["end_seq"], at_end=True),
                "duration": integers(rows["end_clock"] - rows["start_clock"]),
                "waited": integers(rows["waited"], rows["waited"] == NULL),
                "release_kind": categories(rows["release_kind"], strings(RELEASE_KINDS)),
                "open": flags(rows["open"]),
                "truncated": flags(rows["truncated"]),
            },
        )

    def waits(self) -> pa.Table:
        rows = self._machine.rows("waits")
        counts = ("failed_retries", "lost_rounds", "timeouts", "hand_overs", "passes")
        return schemas.table(
            "waits",
            self.unit,
            {
                "thread": self._thread(rows["thread"]),
                "entry_seq": self._seq(rows["entry_seq"]),
                "busy_seq": self._seq(rows["busy_seq"]),
                "end_seq": self._seq(rows["end_seq"]),
                "entry_clock": self._clock(rows["entry_clock"], rows["entry_seq"] == NO_SEQ),
                "busy_clock": self._clock(rows["busy_clock"], rows["busy_seq"] == NO_SEQ),
                "end_clock": self._clock(rows["end_clock"]),
                "entry_tick_clock": self._tick_clock(rows["entry_seq"]),
                "busy_tick_clock": self._tick_clock(rows["busy_seq"]),
                "end_tick_clock": self._tick_clock(rows["end_seq"], at_end=True),
                "duration": integers(rows["end_clock"] - rows["entry_clock"]),
                "contended": flags(rows["contended"]),
                **{name: integers(rows[name]) for name in counts},
                "rival": self._thread(rows["rival"]),
                "open": flags(rows["open"]),
                "truncated": flags(rows["truncated"]),
            },
        )

    def switches(self) -> pa.Table:
        rows = self._machine.rows("switches")
        seqs = rows["seq"]
        return schemas.table(
            "switches",
            self.unit,
            {
                "seq": integers(seqs),
                "from": self._thread(rows["from_thread"]),
                "to": self._thread(rows["to_thread"]),
                "clock": self._clock(self._clocks[seqs]),
                "tick_clock": self._tick_clock(seqs),
                "gap": integers(rows["gap"], rows["gap"] == NULL),
            },
        )
