"""What a timeline draws of a trace of any length: each state's share in bins over everything, and exact rows.

A picture is collected in the one pass that also finds everything else, in bounded memory. While there are few rows it
has all of them; of a longer trace it has those around the costliest findings, and where it begins and ends.
`PlainPicture` is the executable reading, and the oracle of `_native/picture.c`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tracekit.analyzers import COLLECTED
from tracekit.model.arrays import NULL
from tracekit.model.rows import (
    BLOCKING,
    CHECK,
    NO_SEQ,
    PICTURE_LAYOUTS,
    FoundRow,
    Hold,
    PictureLimits,
    RawPicture,
    Rows,
    Wait,
)

LEAST_BINS = 64


@dataclass(frozen=True)
class Picture:
    """Clocks count from the trace's first, in its unit; -1 is none; a thread is its place in the threads table.

    Attributes:
        duration: the last clock.
        width: of a bin, a power of two; bin b is from `b * width` to below `(b + 1) * width`.
        cells: a row for each thread and bin in which it did anything, by thread, then bin: how long it held the GIL;
            how long it waited (`entering` before its BUSY or uncontended, `busy` up to its first failed retry,
            `retried` from then on); the longest hold and wait that reach into the bin, with their whole durations;
            failed retries, check and blocking releases. For the rest of the bin it was off, in I/O or C code.
        holds: by their start, with their seqs and release kind; `waited` and `after_check` (it had been made to let go)
            are of the wait before, `waited` null (the least integer) where there was none; `cpu` and `stack` as its
            RELEASE tells them, null and 0 where it does not; `long`: it is a long hold.
        waits: contended ones, by their start (BUSY where truncated). `retry` is the clock of the first failed retry,
            `stack` its own, `sample` what its BUSY tells of the holder's.
        retries: in order, with the kind of `rows.RETRY_KINDS`, who held the GIL and what they tell of its stack.
        whole: all holds, contended waits and failed retries of the trace are here;
        windows: otherwise all that reach into one of these spans (start, end), sorted, without overlaps, but for waits
            whose BUSY came later. A row marked open here may only be cut at a window's end.
        knots: of a timed trace that also has ticks: clock and tick clock, about one pair a bin.
    """

    duration: int
    width: int
    cells: Rows
    holds: Rows
    waits: Rows
    retries: Rows
    whole: bool
    windows: tuple[tuple[int, int], ...]
    knots: Rows

    @property
    def bins(self) -> int:
        return self.duration // self.width + 1


def picture(duration: int, raw: RawPicture) -> Picture:
    """From what a machine collected. Windows may overlap, and then have the same rows."""
    shift, whole, rows = raw
    holds, waits, retries = rows["holds"], rows["waits"], rows["retries"]
    if not whole:
        holds = _latest(holds, "start_seq")
        waits = _latest(waits, "busy_seq")
        retries = retries[np.unique(retries["seq"], return_index=True)[1]]
    knots = rows["knots"].copy()
    knots["ticks"] = np.maximum.accumulate(knots["ticks"])
    return Picture(
        duration,
        1 << shift,
        rows["cells"].copy(),
        holds[np.argsort(holds["start_seq"], kind="stable")],
        waits[np.lexsort((waits["busy_seq"], waits["entry"]))],
        retries.copy(),
        whole,
        _united(rows["windows"]),
        knots,
    )


def _latest(rows: Rows, seq: str) -> Rows:
    """Of rows with the same seq the one that was seen last."""
    ordered = rows[np.lexsort((rows["end_seq"] != NO_SEQ, rows["end"], rows[seq]))]
    last = np.ones(len(ordered), bool)
    last[:-1] = ordered[seq][1:] != ordered[seq][:-1]
    return ordered[last]


def _united(windows: Rows) -> tuple[tuple[int, int], ...]:
    united: list[tuple[int, int]] = []
    for start, end in sorted(windows.tolist()):
        if united and start <= united[-1][1]:
            united[-1] = united[-1][0], max(end, united[-1][1])
        else:
            united.append((start, end))
    return tuple(united)


class DrawnHold(NamedTuple):
    """A row of `rows.PICTURE_HOLD`."""

    start_seq: int
    end_seq: int
    start: int
    end: int
    waited: int
    cpu: int
    stack: int
    thread: int
    kind: int
    open: bool
    truncated: bool
    long: bool
    after_check: bool


class DrawnWait(NamedTuple):
    """A row of `rows.PICTURE_WAIT`."""

    entry_seq: int
    busy_seq: int
    end_seq: int
    start: int
    busy: int
    end: int
    failed_retries: int
    lost_rounds: int
    timeouts: int
    hand_overs: int
    passes: int
    thread: int
    rival: int
    contended: bool
    open: bool
    truncated: bool
    after_check: bool
    retry: int
    stack: int
    sample: int


class DrawnRetry(NamedTuple):
    """A row of `rows.RETRY`."""

    seq: int
    end: int
    sample: int
    thread: int
    holder: int
    kind: int
    padding: int

    @property
    def start(self) -> int:
        return self.end


def drawn_hold(hold: Hold, end_seq: int, end: int, kind: int, truncated: bool) -> DrawnHold:
    return DrawnHold(
        hold.seq, end_seq, hold.start, end, hold.waited, NULL if hold.cpu is None else hold.cpu, hold.stack,
        hold.thread, kind, end_seq == NO_SEQ, truncated, hold.long, hold.wait is not None and hold.wait.after_check,
    )  # fmt: skip


def drawn_wait(wait: Wait, end_seq: int, end: int) -> DrawnWait:
    return DrawnWait(
        wait.entry_seq, wait.busy_seq, end_seq, wait.start, wait.busy, end,
        wait.failed_retries, wait.lost_rounds, wait.timeouts, wait.hand_overs, wait.passes,
        wait.thread, wait.rival, wait.contended, end_seq == NO_SEQ, wait.entry_seq == NO_SEQ, wait.after_check,
        wait.retry, wait.stack, wait.sample,
    )  # fmt: skip


class _Snapshot(NamedTuple):
    cost: int
    start_seq: int
    window: tuple[int, int]
    rows: list[list[Any]]  # holds, waits, retries


class PlainPicture:
    """Keeps everything it is given, in the order in which it ended, and chooses at the end."""

    def __init__(self, limits: PictureLimits) -> None:
        self.limits = limits
        self.holds: list[DrawnHold] = []
        self.waits: list[DrawnWait] = []  # also the uncontended ones, which only count in the cells
        self.retries: list[DrawnRetry] = []
        self.knots: list[tuple[int, int]] = []
        self._contended: list[DrawnWait] = []
        self._snapshots: dict[str, list[_Snapshot]] = {kind: [] for kind in COLLECTED}
        self._begun = False
        self._beginning: list[_Snapshot] = []

    def wait(self, row: DrawnWait) -> None:
        self.waits.append(row)
        if row.contended:
            self._contended.append(row)

    @property
    def partial(self) -> bool:
        """Whether the trace has more rows than a picture of all of it may have."""
        return self._most_rows > self.limits.rows

    @property
    def begins(self) -> bool:
        """Whether there are just as many rows as the window at the trace's beginning shall have."""
        return not self._begun and self._most_rows >= self.limits.edge_rows

    def beginning(self, clock: int, holding: Sequence[DrawnHold], waiting: Sequence[DrawnWait]) -> None:
        """See `finding`."""
        self._begun = True
        if len(waiting) <= self.limits.window_waiters:
            self._beginning = [self._snapshot(0, 0, (0, clock), self.limits.edge_rows, holding, waiting)]

    def finding(self, kind: str, row: FoundRow, holding: Sequence[DrawnHold], waiting: Sequence[DrawnWait]) -> None:
        """`holding` and `waiting`: what is still open, with the finding's moment as its end."""
        if len(waiting) > self.limits.window_waiters:
            return
        start = max(row.start_clock - (row.end_clock - row.start_clock) // 8, 0)
        window = start, row.end_clock
        self._snapshots[kind].append(
            self._snapshot(row.cost, row.start_seq, window, self.limits.window_rows, holding, waiting)
        )

    @property
    def _most_rows(self) -> int:
        return max(len(self.holds), len(self._contended), len(self.retries))

    def _snapshot(
        self,
        cost: int,
        start_seq: int,
        window: tuple[int, int],
        limit: int,
        holding: Sequence[DrawnHold],
        waiting: Sequence[DrawnWait],
    ) -> _Snapshot:
        covered, end = window
        rows = []
        kept: tuple[Sequence[Any], ...] = (self.holds, self._contended, self.retries)
        for all_rows, still in zip(kept, (holding, waiting, ()), strict=True):
            chosen, bound = self._choose(all_rows, *window, limit)
            rows.append([*chosen, *still])
            covered = max(covered, bound)
        return _Snapshot(cost, start_seq, (covered, end), rows)

    def _choose(self, rows: Sequence[Any], start: int, end: int, limit: int) -> tuple[list[Any], int]:
        """The rows of this window among the newest, and from when on none of them is missing."""
        room = 1
        while room < max(self.limits.rows, self.limits.window_rows + 1, self.limits.edge_rows + 1):
            room *= 2
        oldest = max(0, len(rows) - room)
        beyond = next((place for place in range(oldest, len(rows)) if rows[place].end > end), len(rows))
        first = beyond
        while first > oldest and beyond - first < limit and rows[first - 1].end >= start:
            first -= 1
        bound = 0
        if first:
            before = first - 1 if first > oldest else oldest
            if before < len(rows):
                bound = rows[before].end
        return [*rows[first:beyond], *(row for row in rows[beyond:] if row.start <= end)], bound

    def finish(self, duration: int) -> RawPicture:
        shift = self._shift(duration)
        knots: dict[int, tuple[int, int]] = {}
        for clock, ticks in self.knots:
            knots.setdefault(clock >> shift, (clock, ticks))
        rows: dict[str, Sequence[Any]] = {
            "cells": self._cells(shift),
            "holds": self.holds,
            "waits": self._contended,
            "retries": self.retries,
            "windows": [],
            "knots": list(knots.values()),
        }
        if self.partial:
            edges = [*self._beginning, self._snapshot(0, 0, (0, duration), self.limits.edge_rows, (), ())]
            costliest = [
                snapshot
                for kept in self._snapshots.values()
                for snapshot in sorted(kept, key=lambda s: (-s.cost, s.start_seq))[: self.limits.windows]
            ]
            chosen = [snapshot for snapshot in edges + costliest if snapshot.window[0] <= snapshot.window[1]]
            for place, name in enumerate(("holds", "waits", "retries")):
                rows[name] = [row for snapshot in chosen for row in snapshot.rows[place]]
            rows["windows"] = [snapshot.window for snapshot in chosen]
        return RawPicture(
            shift,
            not self.partial,
            {name: np.array([tuple(row) for row in rows[name]], PICTURE_LAYOUTS[name]) for name in rows},
        )

    def _shift(self, duration: int) -> int:
        shift = 0
        while duration >> shift >= self.limits.bins or (
            duration >> shift >= LEAST_BINS and len(self._cells(shift)) > self.limits.cells
        ):
            shift += 1
        return shift

    def _cells(self, shift: int) -> list[tuple[int, ...]]:
        states = ("held", "entering", "busy", "retried")
        sums: dict[tuple[int, int], Counter[str]] = {}

        def add(thread: int, start: int, end: int, state: str, longest: str, whole: int) -> None:
            for bin_ in range(start >> shift, ((end - 1 if end > start else end) >> shift) + 1):
                cell = sums.setdefault((thread, bin_), Counter())
                cell[state] += min(end, bin_ + 1 << shift) - max(start, bin_ << shift)
                cell[longest] = max(cell[longest], whole)

        def count(thread: int, clock: int, what: str) -> None:
            sums.setdefault((thread, clock >> shift), Counter())[what] += 1

        for hold in self.holds:
            add(hold.thread, hold.start, hold.end, "held", "longest_hold", hold.end - hold.start)
            if hold.kind in (CHECK, BLOCKING):
                count(hold.thread, hold.end, "checks" if hold.kind == CHECK else "blocking")
        for wait in self.waits:
            busy = wait.busy if wait.contended else wait.end
            retry = wait.end if wait.retry < 0 else wait.retry
            spans = zip((wait.start, busy, retry), (busy, retry if wait.contended else busy, wait.end), strict=True)
            for state, (start, end) in zip(states[1:], spans, strict=True):
                if end > start:
                    add(wait.thread, start, end, state, "longest_wait", wait.end - wait.start)
        for retry_row in self.retries:
            count(retry_row.thread, retry_row.end, "retries")
        names = (*states, "longest_hold", "longest_wait")
        counts = ("retries", "checks", "blocking")
        return [
            (*(sums[key][name] for name in names), key[1], key[0], *(sums[key][name] for name in counts), 0)
            for key in sorted(sums)
        ]
