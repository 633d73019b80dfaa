"""The state machine of docs/analyses.md in plain Python: the executable reading of the definitions.

It is the oracle of the native core's tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.analyzers import COLLECTED
from tracekit.analyzers.battles import battle
from tracekit.analyzers.convoys import Convoys
from tracekit.analyzers.frozen_signals import FrozenSignals
from tracekit.analyzers.long_holds import long_hold
from tracekit.model.arrays import NULL, int64_values
from tracekit.model.attributes import NO_ATTRIBUTES, of_rows
from tracekit.model.rows import (
    BLOCKING,
    CHECK,
    FAULT_CODES,
    FINDING_ROW,
    GROUP_ROW,
    LAYOUTS,
    NO_REGION,
    NO_SEQ,
    NO_STACK,
    NOBODY,
    SEVERITIES,
    UNKNOWN,
    Faults,
    Found,
    FoundRow,
    Hold,
    Options,
    PictureLimits,
    RawPicture,
    Rows,
    TooManyPairs,
    Totals,
    Wait,
)
from tracekit.model.stream import ACQUIRE, BUSY, ENTRY, RELEASE, RETRY
from tracekit.timeline.causes import PREEMPTED_FROM, Causes
from tracekit.timeline.distributions import buckets, quantile
from tracekit.timeline.grouping import group_rows
from tracekit.timeline.journal import Journal
from tracekit.timeline.locks import LockWaits
from tracekit.timeline.picture import DrawnHold, DrawnRetry, DrawnWait, PlainPicture, drawn_hold, drawn_wait
from tracekit.timeline.regions import RegionTimes
from tracekit.timeline.state import Clock, ThreadState

ALONE, LOST_ROUND, TIMEOUT, HAND_OVER = range(4)
WAIT_TIME, CONTENDED_WAIT_TIME, HOLD_TIME, SWITCH_LATENCY = range(4)


class PlainMachine:
    """See `rows.Machine`."""

    native_handle: int | None = None

    def __init__(self, interval: int, kept: Collection[str], options: Options) -> None:
        self.kept = kept
        self._options = options
        self._interval = interval
        self._threads: list[ThreadState] = []
        self._waits: dict[int, Wait] = {}
        self._hold: Hold | None = None
        self._seq = 0
        self._told = NO_ATTRIBUTES  # by the row
        self._timed = self._has_ticks = False
        self._time, self._ticks = Clock(), Clock()
        self._last_checks = NULL
        self._checks: tuple[int, int] | None = None
        self._last_acquirer = NOBODY
        self._last_change = (NOBODY, RELEASE)  # the last ACQUIRE or RELEASE
        self._last_release: int | None = None  # its clock, since the last ACQUIRE
        self._switches = 0
        self._handoffs: Counter[tuple[int, int]] = Counter()
        self._waiting: Counter[int] = Counter()
        self._free_wanted = self._free_wanted_at_release = 0
        self._journal = Journal()
        self._contended = 0  # of the open waits
        self._causes = Causes()
        self._locks = LockWaits()
        self._summed = {"causes": self._causes.rows, "stack_blame": self._causes.stack_rows}
        self._summed |= {"shared_waits": self._causes.shared_rows, "locks": self._locks.rows}
        self._regions = RegionTimes()
        self._summed |= {"regions": self._regions.rows, "region_blame": self._regions.blame_rows}
        self._convoys = Convoys(options, self._settle)
        self._frozen = FrozenSignals(options)
        self._found: dict[str, list[FoundRow]] = {kind: [] for kind in COLLECTED}
        self._forgotten = dict.fromkeys(COLLECTED, 0)
        self._faults: dict[tuple[int, int], list[int]] = {}
        self._rows: dict[str, list[tuple[int, ...]]] = {table: [] for table in LAYOUTS}
        self._clocks: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]] = []
        self._picture: PlainPicture | None = None

    def draw(self, limits: PictureLimits) -> None:
        self._picture = PlainPicture(limits)

    def picture(self) -> RawPicture:
        assert self._picture
        return self._picture.finish(self._clock)

    @property
    def _clock(self) -> int:
        return (self._time if self._timed else self._ticks).now

    def feed(self, batch: pa.RecordBatch) -> None:
        thread, event = batch.column("thread"), batch.column("event")
        while len(self._threads) < len(thread.dictionary):
            self._threads.append(ThreadState())
        columns = [
            thread.indices.to_pylist(),
            event.indices.to_pylist(),
            *(int64_values(batch.column(name)).tolist() for name in ("ticks", "checks", "time")),
        ]
        if self._seq == 0 and batch.num_rows:
            self._timed = columns[4][0] != NULL
        clocks: list[int] = []
        tick_clocks: list[int] = []
        told = of_rows(batch)
        for place, row in enumerate(zip(*columns, strict=True)):
            self._told = told.get(place, NO_ATTRIBUTES)
            self._causes.stacks_told |= bool(self._told.stack or self._told.sample)
            self._step(*row)
            clocks.append(self._clock)
            tick_clocks.append(self._ticks.now)
        if self.kept:
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
                if self._hold:
                    self._hold.timeouts.pop(thread, None)
            if totals.forced_at is not None:
                totals.not_running += self._clock - totals.forced_at
            totals.forced_at = None
            self._locks.entry(thread, self._clock, self._hold is not None and not holds)
            self._waits[thread] = self._new_wait(thread, self._seq)
        elif event in (BUSY, RETRY):
            if not wait:
                self._fault("missing-entry", error, thread)
                wait = self._waits[thread] = self._new_wait(thread, NO_SEQ)
            self._contend(wait, event)
            wait.stack = wait.stack or self._told.stack or NO_STACK
            if self._hold and self._told.sample:
                self._hold.sample = self._told.sample
                self._hold.first_sample = self._hold.first_sample or self._told.sample
        elif event == ACQUIRE:
            if not wait:
                self._fault("missing-entry", error, thread)
            if self._hold:
                self._fault("overlapping-hold", True, thread)
                self._close_hold(self._seq, UNKNOWN, truncated=True)
            waited = self._close_wait(wait, self._seq) if wait else NULL
            totals.forced_at = totals.let_go_at = None
            self._acquired(thread)
            self._hold = Hold(thread, self._seq, self._clock, self._ticks.now, checks, wait, waited)
        else:
            totals.last_release = UNKNOWN
            if holds and self._hold:
                totals.last_release = self._release_kind(checks)
                totals.let_go_at = self._clock
                totals.forced_at = self._clock if totals.last_release == CHECK else None
                self._hold.cpu, self._hold.stack = self._told.cpu, self._told.stack or NO_STACK
                self._locks.release(self._told, self._hold, self._seq, self._clock)
                if self._told.region:
                    self._regions.held(self._told.region, thread, self._hold.start, self._clock)
                self._close_hold(self._seq, totals.last_release, ticks)
            else:
                self._fault("release-without-acquire", error, thread)
            self._last_change = (thread, RELEASE)
            self._last_release = self._clock
            self._free_wanted_at_release = self._free_wanted
        self._seq += 1

    def _advance(self, ticks: int, checks: int, time: int) -> None:
        """Reads the clocks, and charges the step to whoever held the GIL meanwhile."""
        before = self._clock
        if checks != NULL:
            self._last_checks = checks
            least, most = self._checks or (checks, checks)
            self._checks = min(least, checks), max(most, checks)
        self._has_ticks |= ticks != NULL
        if ticks != NULL and self._last_checks != NULL:
            self._ticks.read(self._tick_clock(ticks))
        if time != NULL:
            self._time.read(time)
        step = self._clock - before
        if step:
            self._waiting[len(self._waits)] += step
            if not self._hold and self._waits:
                self._free_wanted += step
            if self._waits:
                self._journal.step(self._hold, step)

    def _new_wait(self, thread: int, entry_seq: int) -> Wait:
        totals = self._threads[thread]
        after_check = totals.last_release == CHECK
        region = self._told.region or NO_REGION
        if region != NO_REGION:
            # Only who holds the GIL begins a region: since it let go of it, it has been in this one.
            since = self._clock if totals.let_go_at is None else totals.let_go_at
            self._regions.see(region, thread, since, self._clock)
        totals.let_go_at = None
        wait = Wait(thread, entry_seq, self._clock, self._ticks.now, after_check=after_check, region=region)
        if dropped := self._waits.pop(thread, None):
            self._contended -= dropped.contended
        self._journal.begin(wait, alone=not self._waits)
        return wait

    def _tick_clock(self, ticks: int) -> int:
        return self._last_checks * self._interval + self._interval - min(max(ticks, 0), self._interval)

    def _fault(self, code: str, error: bool, thread: int) -> None:
        key = FAULT_CODES.index(code), int(error)
        self._faults.setdefault(key, [0, self._seq])[0] += 1
        self._keep("faults", self._seq, thread, *key)

    def _keep(self, table: str, *row: int) -> None:
        if self.kept:
            self._rows[table].append(row)

    def _contend(self, wait: Wait, event: int) -> None:
        totals = self._threads[wait.thread]
        if event == RETRY:
            wait.failed_retries += 1
            if wait.failed_retries == 1:
                wait.retry = self._clock
            kind = ALONE
            if wait.contended:
                acquires, reacquires = self._journal.since_mark(wait)
                if reacquires:
                    kind = LOST_ROUND
                    wait.lost_rounds += 1
                    totals.lost_rounds += 1
                elif not acquires:
                    kind = TIMEOUT
                    wait.timeouts += 1
                    totals.timeouts += 1
                    if self._hold:
                        if not self._hold.timeouts:
                            self._hold.asked = self._clock
                        self._hold.timeouts[wait.thread] += 1
                else:
                    kind = HAND_OVER
                    wait.hand_overs += 1
                    totals.hand_overs += 1
            holder = self._hold.thread if self._hold else NOBODY
            row = self._seq, self._clock, self._told.sample or NO_STACK, wait.thread, holder, kind, 0
            self._keep("retries", *row)
            if self._picture:
                self._picture.retries.append(DrawnRetry(*row))
                self._draw_beginning()
        if not wait.contended:
            wait.busy_seq, wait.busy, wait.busy_ticks = self._seq, self._clock, self._ticks.now
            wait.busy_switches = self._switches
            wait.sample = self._told.sample or NO_STACK
            self._contended += 1
            self._journal.contend(wait)
        self._journal.mark(wait)

    def _acquired(self, thread: int) -> None:
        self._journal.acquired(thread, self._last_change == (thread, RELEASE))
        if self._last_acquirer not in (NOBODY, thread):
            self._switches += 1
            self._handoffs[self._last_acquirer, thread] += 1
            if self._last_release is not None:
                latency = self._free_wanted - self._free_wanted_at_release
                self._threads[thread].durations[SWITCH_LATENCY][latency] += 1
            gap = NULL if self._last_release is None else self._clock - self._last_release
            self._keep("switches", self._seq, gap, self._clock, self._ticks.now, self._last_acquirer, thread)
        self._last_acquirer = thread
        self._last_change = (thread, ACQUIRE)
        self._last_release = None

    def _release_kind(self, checks: int) -> int:
        assert self._hold
        if NULL in (checks, self._hold.checks) or checks < self._hold.checks:
            return UNKNOWN
        return CHECK if checks > self._hold.checks else BLOCKING

    def _close_hold(self, end_seq: int, kind: int, ticks: int = NULL, truncated: bool = False) -> None:
        hold = self._hold
        assert hold
        totals = self._threads[hold.thread]
        held = self._clock - hold.start
        totals.held += held
        totals.releases[kind] += 1
        totals.durations[HOLD_TIME][held] += 1
        is_open = end_seq == NO_SEQ
        self._keep(
            "holds", hold.seq, end_seq, hold.start, self._clock, hold.start_ticks, self._ticks.now, hold.waited,
            NULL if hold.cpu is None else hold.cpu, hold.thread, kind, is_open, truncated,
        )  # fmt: skip
        own = self._waits.get(hold.thread)
        others_wait = self._contended > (own is not None and own.contended)
        timed_waiters = others_wait and self._timed
        hold.preempted = self._timed and hold.cpu is not None and held >= PREEMPTED_FROM and 2 * hold.cpu < held
        long = long_hold(hold, end_seq, self._clock, timed_waiters, self._options)
        hold.long = long is not None
        if self._picture:
            self._picture.holds.append(drawn_hold(hold, end_seq, self._clock, kind, truncated))
            self._draw_beginning()
            if self._timed and NULL not in (ticks, self._last_checks):
                self._picture.knots.append((self._clock, self._tick_clock(ticks)))
        self._find("long_holds", long)
        self._find("convoys", self._convoys.hold_ended(hold, end_seq, self._clock, kind == BLOCKING))
        if kind == CHECK and ticks != NULL:
            self._find("frozen_signals", self._frozen.check_release(ticks, end_seq, self._clock))
        self._hold = None
        if self._journal.full and not self._journal.hand_out(self._waits.values()):
            raise TooManyPairs

    def _close_wait(self, wait: Wait, end_seq: int) -> int:
        """Its duration."""
        del self._waits[wait.thread]
        self._contended -= wait.contended
        wait.parts = self._journal.parts(wait)
        self._tell_passes(wait)
        totals = self._threads[wait.thread]
        waited = self._clock - wait.start
        totals.waited += waited
        self._regions.waited(wait, self._clock)
        totals.contended_waits += wait.contended
        totals.retried_waited += waited if wait.failed_retries else 0
        totals.blame.update(wait.blame)
        totals.durations[WAIT_TIME][waited] += 1
        if wait.contended:
            totals.durations[CONTENDED_WAIT_TIME][waited] += 1
        self._keep(
            "waits", wait.entry_seq, wait.busy_seq, end_seq, wait.start, wait.busy, self._clock,
            wait.start_ticks, wait.busy_ticks, self._ticks.now,
            wait.failed_retries, wait.lost_rounds, wait.timeouts, wait.hand_overs, wait.passes, wait.stack,
            wait.thread, wait.rival, wait.contended, end_seq == NO_SEQ, wait.entry_seq == NO_SEQ,
        )  # fmt: skip
        if self._picture:
            drawn = drawn_wait(wait, end_seq, self._clock)
            quick = self._switches - wait.busy_switches <= self._picture.limits.rival_switches
            wanted = quick or not self._picture.partial or wait.lost_rounds >= self._options.min_rounds
            self._picture.wait(drawn if wanted else drawn._replace(rival=NOBODY))
            self._draw_beginning()
        fought = battle(wait, end_seq, self._clock, self._options)
        wait.battle = fought is not None
        self._find("battles", fought)
        return waited

    def _tell_passes(self, wait: Wait) -> None:
        wait.passes = self._journal.passes(wait)
        if self.kept or self._picture or wait.lost_rounds >= self._options.min_rounds:
            wait.rival = self._journal.rival(wait)

    def _settle(self, wait: Wait, convoy: bool) -> None:
        self._causes.settle(wait, convoy)
        self._regions.settle(wait)

    def _find(self, kind: str, row: FoundRow | None) -> None:
        if not row:
            return
        self._found[kind].append(row)
        if self._picture:
            self._picture.finding(kind, row, *self._open_rows())

    def _draw_beginning(self) -> None:
        if self._picture and self._picture.begins:
            self._picture.beginning(self._clock, *self._open_rows())

    def _open_rows(self) -> tuple[list[DrawnHold], list[DrawnWait]]:
        """What is open, as far as it has come."""
        holding = []
        if self._hold:  # what it was is known when it has ended
            drawn = drawn_hold(self._hold, NO_SEQ, self._clock, UNKNOWN, False)
            holding = [drawn._replace(cpu=NULL, stack=NO_STACK, long=False)]
        waiting = [wait for wait in self._waits.values() if wait.contended]
        for wait in waiting:
            self._tell_passes(wait)
        return holding, [drawn_wait(wait, NO_SEQ, self._clock) for wait in waiting]

    def finish(self) -> None:
        self._locks.finish(self._clock)
        if self._hold:
            self._close_hold(NO_SEQ, UNKNOWN)
        self._journal.hand_out(self._waits.values())
        for thread in range(len(self._threads)):
            if wait := self._waits.get(thread):
                self._close_wait(wait, NO_SEQ)
                self._settle(wait, convoy=False)
            self._find("convoys", self._convoys.end(thread))
        self._find("frozen_signals", self._frozen.end())

    def totals(self) -> Totals:
        return Totals(
            events=self._seq,
            timed=self._timed,
            first_clock=(self._time if self._timed else self._ticks).first,
            first_tick_clock=self._ticks.first if self._timed else None,
            duration=self._clock,
            switches=self._switches,
            held=sum(thread.held for thread in self._threads),
            free_wanted=self._free_wanted,
            regions_dropped=self._regions.dropped,
            exact=True,
            has_ticks=self._has_ticks,
            found={kind: Found(len(rows), min(len(rows), self._options.worst)) for kind, rows in self._found.items()},
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
                 t.releases[CHECK], t.releases[BLOCKING], t.held, t.waited, t.retried_waited,
                 t.not_running, t.first_seq)
                for t in self._threads
            ]  # fmt: skip
        elif table == "blame":
            rows = [
                (duration, waiter, holder)
                for waiter, t in enumerate(self._threads)
                for holder, duration in t.blame.items()
                if duration
            ]
        elif table in self._summed:
            rows = self._summed[table]()
        elif table == "distributions":
            rows = [
                (durations.total(), *(quantile(durations, q) for q in (50, 90, 99, 100)), thread, kind)
                for thread, t in enumerate(self._threads)
                for kind, durations in enumerate(t.durations)
                if durations
            ]
        elif table == "histograms":
            rows = [
                (*bucket, count, thread, kind)
                for thread, t in enumerate(self._threads)
                for kind, durations in enumerate(t.durations)
                for bucket, count in sorted(buckets(durations).items())
            ]
        elif table == "handoffs":
            rows = [(count, *threads) for threads, count in sorted(self._handoffs.items())]
        elif table == "waiting":
            rows = sorted(self._waiting.items())
        return np.array(rows, LAYOUTS[table])

    def groups(self, kind: str) -> Rows:
        return np.array(group_rows(self._found[kind]), GROUP_ROW)

    def findings(self, kind: str) -> Rows:
        costliest = sorted(self._found[kind][self._forgotten[kind] :], key=lambda row: (-row.cost, row.start_seq))
        return np.array(costliest[: self._options.worst], FINDING_ROW)

    def clocks(self) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]]:
        return self._clocks

    def forget(self) -> None:
        self._clocks.clear()
        for rows in self._rows.values():
            rows.clear()
        self._forgotten = {kind: len(rows) for kind, rows in self._found.items()}
