"""From what happened in a trace to the scripts and the behaviour that a replay runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracekit.whatif.observing import Observed
from tracekit.whatif.programs import CONTINUES, GOES_ON, LONGEST, NONE, Behaviour, Integers, Programs, Run, Script

LATE = 300_000
"""ns; a request that is answered later than this was made while something ran that does not look for requests, unless
the operating system had the thread wait meanwhile."""
LATE_SHARE = 0.3
"""So many late answers of a thread tell of C code that keeps the GIL; fewer may be the operating system's doing."""
FEW = 10
"""Fewer samples of a thread than this tell nothing about it alone."""
DEFAULT_INTERVAL = 5_000_000
DEFAULT_OVERSHOOT, DEFAULT_WAKE, DEFAULT_ANSWER, DEFAULT_RETURN = 65_000, 60_000, 5_000, 60_000
"""ns, where the trace has no sample."""
MOST_OVERSHOOT = 2_000_000
JOIN_AWAY, JOIN_LATE, JOIN_LATEST = 1_000_000, 10, 10_000_000
"""A thread that was away for longer than this (ns) and comes back behind another's end had waited for that end, if it
is late by at most that part of its time away, and by no more than the last (ns): on busy cores it takes ms to run."""


@dataclass(frozen=True)
class _Pieces:
    """Thread by thread; `first` is where each thread's begin, and where the last one's end."""

    first: Integers
    work: Integers
    released: Integers
    outside: Integers

    @classmethod
    def of(cls, rows: Integers, threads: int) -> _Pieces:
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        return cls(np.searchsorted(rows[:, 0], np.arange(threads + 1)), rows[:, 1], rows[:, 2], rows[:, 3])

    def place(self, threads: Integers, pieces: Integers) -> Integers:
        places: Integers = self.first[threads] + pieces
        return places


@dataclass(frozen=True)
class _Edges:
    """Waits that another thread's work ends: the piece behind which the waiter is, the piece that it needs and how far
    that must come, and what it takes then."""

    waiter: Integers
    needed: Integers
    progress: Integers
    outside: Integers


def learn(seen: Observed, told_interval: int | None) -> Programs:
    """told_interval: ns, the switch interval that the metadata tell."""
    first, last, waited, stops, _, _ = seen.threads.T
    threads = len(seen.threads)
    interval, overshoot = _interval(seen.timeouts[:, 0], told_interval)
    while_running = np.column_stack([seen.answers[:, 0], seen.answers[:, 1] - seen.answers[:, 2]])
    lates = [answer > LATE for answer in _by_thread(while_running, threads)]
    late = np.array([float(answer.mean()) if len(answer) else 0.0 for answer in lates])
    answers = _by_thread(seen.answers[:, :2], threads)
    atomic = (late >= LATE_SHARE) & (np.array([len(answer) for answer in answers]) >= 3)
    pieces = _Pieces.of(seen.pieces, threads)
    edges = _lock_edges(seen, pieces)
    script, ends = _script(seen, pieces, edges, atomic)
    waits_for = np.full(len(pieces.work), NONE)
    waits_for[edges.waiter] = edges.needed
    behind = pieces.place(seen.away[:, 0], seen.away[:, 1])
    away = np.column_stack([pieces.released[behind], seen.away[:, 2], ends[behind]])
    of_its_own = waits_for[behind] == NONE
    return Programs(
        script,
        _behaviour(seen, pieces, waits_for, answers, interval + overshoot),
        Run(first, last, waited, seen.waits[:, 1], seen.waits[:, 0].astype(np.int32), int(stops.sum())),
        np.array([work.sum() for work in np.split(pieces.work, pieces.first[1:-1])], np.int64),
        late,
        stops,
        tuple(_by_thread(np.column_stack([seen.away[:, 0], away])[of_its_own], threads)),
        np.bincount(seen.locks[seen.locks[:, 2] == NONE, 0], minlength=threads),
        interval,
        overshoot,
        len(seen.timeouts),
    )


def _interval(timeouts: Integers, told: int | None) -> tuple[int, int]:
    """What the timers were set to, and how late they are. A program may have changed what the metadata tell."""
    if not len(timeouts):
        return told or DEFAULT_INTERVAL, DEFAULT_OVERSHOOT
    measured = int(np.percentile(timeouts, 25))
    if told and 0 <= measured - told < MOST_OVERSHOOT:
        return told, measured - told
    overshoot = min(DEFAULT_OVERSHOOT, measured - 1)
    return measured - overshoot, overshoot


def _by_thread(rows: Integers, threads: int) -> list[Integers]:
    """The other columns, of each thread; one of them alone is no row."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    values = rows[:, 1] if rows.shape[1] == 2 else rows[:, 1:]
    return np.split(values, np.searchsorted(rows[:, 0], np.arange(1, threads)))


def _lock_edges(seen: Observed, pieces: _Pieces) -> _Edges:
    """A lock was unlocked somewhere in a hold: as long before the waiter came back as a sleeper takes to run."""
    thread, piece, unlocker, hold, entry = seen.locks[seen.locks[:, 2] != NONE].T
    needed, wake = pieces.place(unlocker, hold), _median(seen.wakes[:, 2], DEFAULT_WAKE)
    began = pieces.released[needed] - pieces.work[needed]
    unlocked = np.clip(entry - wake, began, pieces.released[needed])
    return _Edges(pieces.place(thread, piece), needed, unlocked - began, np.maximum(0, entry - unlocked))


def _median(values: Integers, default: int) -> int:
    return int(np.median(values)) if len(values) else default


def _script(seen: Observed, pieces: _Pieces, edges: _Edges, atomic: npt.NDArray[np.bool_]) -> tuple[Script, Integers]:
    """The script, in which a piece is cut where others wait for its progress; and where each piece ends in it."""
    count, threads = len(pieces.work), len(seen.threads)
    within = edges.progress < pieces.work[edges.needed]
    cuts, cut = _different(np.column_stack([edges.needed, edges.progress])[within])
    points = np.concatenate([cuts, np.column_stack([np.arange(count), pieces.work])])
    order = np.lexsort((points[:, 1], points[:, 0]))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    ends = places[len(cuts) :]
    piece, until = points[order].T
    goes_on = order < len(cuts)
    before = np.concatenate([[False], goes_on])[: len(order)]
    work = until - np.where(before, np.concatenate([[0], until])[: len(order)], 0)
    outside, needs = np.where(goes_on, GOES_ON, pieces.outside[piece]), np.full(len(order), NONE, np.int64)
    needed = ends[edges.needed]
    needed[within] = places[cut]
    waiter = ends[edges.waiter]
    needs[waiter], outside[waiter] = needed, edges.outside
    _joins(seen, pieces, ends, needs, outside)
    start, started_by = seen.threads[:, 0].copy(), np.full(threads, NONE, np.int64)
    starter, begun = seen.threads[:, 4:6].T
    known = (starter != NONE) & (np.diff(pieces.first) > 0) & (begun > 0)
    known[known] = begun[known] <= np.diff(pieces.first)[starter[known]]
    by = pieces.place(starter[known], begun[known] - 1)
    started_by[known], start[known] = ends[by], np.maximum(0, start[known] - pieces.released[by])
    first = np.concatenate([[0], ends + 1])[pieces.first]
    return Script(
        start, first, started_by, work, outside, needs, np.full(len(order), NONE, np.int64), atomic,
        np.zeros(threads, bool),
    ), ends  # fmt: skip


def _different(pairs: Integers) -> tuple[Integers, Integers]:
    """The different rows in ascending order, and for each row its place among them: a faster np.unique."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    ascending = pairs[order]
    new = np.concatenate([[True], (ascending[1:] != ascending[:-1]).any(axis=1)])[: len(order)]
    places = np.empty(len(order), np.int64)
    places[order] = np.cumsum(new) - 1
    return ascending[new], places


def _joins(seen: Observed, pieces: _Pieces, ends: Integers, needs: Integers, outside: Integers) -> None:
    """Waits for a thread's end, of which no lock tells."""
    thread, piece, entry = seen.away.T
    place = pieces.place(thread, piece)
    released = pieces.released[place]
    away = entry - released
    late = np.clip(away // JOIN_LATE, JOIN_AWAY, JOIN_LATEST)
    long = (away > JOIN_AWAY) & (needs[ends[place]] == NONE)
    lasts = [(int(pieces.released[last - 1]), x) for x, last in enumerate(pieces.first[1:]) if pieces.first[x] < last]
    for end, x in sorted(lasts):  # where several ended, the last is it
        began = pieces.released[pieces.first[x]]
        joined = (
            long & (thread != x) & (released < end) & (end <= entry + JOIN_AWAY) & (entry - end <= late)
            & (seen.threads[thread, 0] < began)
        )  # fmt: skip
        needs[ends[place[joined]]] = ends[pieces.first[x + 1] - 1]
        outside[ends[place[joined]]] = np.maximum(0, entry[joined] - end)


def _behaviour(seen: Observed, pieces: _Pieces, waits_for: Integers, answers: list[Integers], delay: int) -> Behaviour:
    threads = len(answers)
    outside = np.where((pieces.outside == CONTINUES) | (waits_for != NONE), LONGEST, pieces.outside)

    def beside_outside(rows: Integers) -> Integers:
        """Thread, piece and time as rows of how long that was outside, and the time."""
        return np.column_stack([outside[pieces.place(rows[:, 0], rows[:, 1])], rows[:, 2]])

    def enough(*choices: Integers, default: Sequence[int] | int) -> Integers:
        """The first of them that has enough samples; else the last that has any. Sorted."""
        of_enough = [choice for choice in choices if len(choice) >= FEW]
        of_any = [choice for choice in reversed(choices) if len(choice)]
        chosen = (of_enough or of_any or [np.array([default], np.int64)])[0]
        return np.sort(chosen) if chosen.ndim == 1 else chosen[np.lexsort((chosen[:, 1], chosen[:, 0]))]

    wakes = beside_outside(seen.wakes)
    returns = np.column_stack([seen.returns[:, 0], beside_outside(seen.returns[:, 1:])])
    stalls, gaps = _by_thread(seen.stalls, threads), _by_thread(seen.gaps, threads)
    return Behaviour(
        delay,
        enough(wakes, default=(LONGEST, DEFAULT_WAKE)),
        tuple(enough(own, seen.answers[:, 1], default=DEFAULT_ANSWER) for own in answers),
        tuple(
            enough(own, gap, seen.stalls[:, 1], seen.gaps[:, 1], default=DEFAULT_RETURN)
            for own, gap in zip(stalls, gaps, strict=True)
        ),
        tuple(enough(own, returns[:, 1:], default=(LONGEST, DEFAULT_RETURN)) for own in _by_thread(returns, threads)),
    )
