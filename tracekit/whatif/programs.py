"""What each thread of a trace does apart from the GIL: the scripts that a replay runs, learned from its events.

A script is a row of pieces. A piece computes for a while with the GIL held; behind it the thread goes on with its next
piece at once (it was only made to stop there), or is outside for a while, in a blocking call. How fast the machine
wakes threads, how fast a request to drop the GIL is answered, and what the interval is, are measured in the trace too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.model.stream import ACQUIRE, ENTRY, RELEASE, RETRY

Integers = npt.NDArray[np.int64]

NONE = -1
CONTINUES = -1
"""The `outside` of a piece behind which the thread goes on computing."""
LATE = 300_000
"""ns; a request that is answered later than this was made while something ran that does not look for requests."""
LATE_SHARE = 0.3
"""So many late answers of a thread tell of C code that keeps the GIL; fewer may be the operating system's doing."""
FEW = 10
"""Fewer samples of a thread than this tell nothing about it alone."""
DEFAULT_INTERVAL = 5_000_000
DEFAULT_OVERSHOOT, DEFAULT_WAKE, DEFAULT_ANSWER, DEFAULT_RETURN = 65_000, 60_000, 5_000, 60_000
"""ns, where the trace has no sample."""
MOST_OVERSHOOT = 2_000_000
LONGEST = 1 << 62
"""Stands for the time outside of a releaser that does not come back by itself: it was made to stop."""
JOIN_AWAY, JOIN_LATE, JOIN_LATEST = 1_000_000, 10, 10_000_000
"""A thread that was away for longer than this (ns) and comes back behind another's end had waited for that end, if it
is late by at most that part of its time away, and by no more than the last (ns): on busy cores it takes ms to run."""


@dataclass(frozen=True)
class Script:
    """All threads' pieces, thread by thread.

    Attributes:
        start: ns, when each thread wants the GIL first; counted from the end of piece `started_by` if that is not NONE.
        first: where each thread's pieces begin, and where the last one's end.
        work: ns of each piece with the GIL held.
        outside: ns behind it, or CONTINUES; counted from the end of the piece that it `needs` if that is not NONE.
        arrives: ns, before which the outside time behind a piece does not end: when its request comes; or NONE.
        atomic: of each thread whether it answers requests at the ends of its pieces only.
        free: of each thread whether it needs no GIL.
    """

    start: Integers
    first: Integers
    started_by: Integers
    work: Integers
    outside: Integers
    needs: Integers
    arrives: Integers
    atomic: npt.NDArray[np.bool_]
    free: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Behaviour:
    """How the interpreter and the machine behave; each array has samples in ns.

    Attributes:
        delay: ns until a waiter's time is up: the switch interval, and how late its timer is.
        wakes: from a RELEASE until a thread that slept for it runs, beside how long the releaser was outside: the two
            race for the GIL, and what slows one down slows the other down. Rows of both, in ascending order.
        answers: of each thread, from a request until it lets go.
        stalls: of each thread that was made to stop, from another's ACQUIRE until it wants the GIL again while that one
            holds it.
        returns: the same from that other's RELEASE, where it has let go before, beside how long that one was outside.
    """

    delay: int
    wakes: Integers
    answers: tuple[Integers, ...]
    stalls: tuple[Integers, ...]
    returns: tuple[Integers, ...]

    def with_interval(self, delay: int) -> Behaviour:
        return replace(self, delay=delay)

    def slower(self, factor: float) -> Behaviour:
        """The same with threads that wake in `factor` times the time."""

        def scaled(samples: Integers) -> Integers:
            faster: Integers = (samples * np.array([1, factor])).astype(np.int64)
            return faster

        return replace(self, wakes=scaled(self.wakes), returns=tuple(map(scaled, self.returns)))


@dataclass(frozen=True)
class Run:
    """What a replay gives, or a trace: of each thread when it began and ended and what it waited; of each contended
    wait its duration and its thread. ns."""

    begins: Integers
    ends: Integers
    waited: Integers
    waits: Integers
    waiters: npt.NDArray[np.int32]

    @property
    def durations(self) -> Integers:
        return self.ends - self.begins


@dataclass(frozen=True)
class Programs:
    """What was learned.

    Attributes:
        traced: what happened in the trace itself.
        held: ns of each thread.
        late: of each thread the share of requests that it answered late.
        stops: how often each thread was made to stop.
        away: of each thread when it was away: from RELEASE to ENTRY, of blocking releases. A row of two ns each.
        interval, overshoot: ns, as measured. timeouts: from how many samples.
    """

    script: Script
    behaviour: Behaviour
    traced: Run
    held: Integers
    late: npt.NDArray[np.float64]
    stops: Integers
    away: tuple[Integers, ...]
    interval: int
    overshoot: int
    timeouts: int


@dataclass
class _Thread:
    first: int
    last: int
    started_by: tuple[int, int] | None = None  # a thread and how many pieces it had begun
    work: list[int] = field(default_factory=list)
    outside: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    stalls: list[int] = field(default_factory=list)
    returns: list[tuple[int, int, int]] = field(default_factory=list)  # the taker, its piece, ns
    gaps: list[int] = field(default_factory=list)  # stalls, or from an ACQUIRE where its thread had let go before
    away: list[tuple[int, int]] = field(default_factory=list)
    stops: int = 0
    waited: int = 0
    entry: int | None = None
    contended: bool = False
    mark: int = 0  # the last BUSY or RETRY of its wait
    switches_at_mark: int = 0
    signalled: tuple[int, int, int] | None = None  # the RELEASE that woke it: its thread, its piece, ns
    acquired: int = 0
    checks_at_acquire: int | None = None
    made_to_stop: bool = False
    taken: int | None = None  # when another got the GIL from it
    taker: int = NONE
    taker_released: tuple[int, int, int] | None = None  # its thread, its piece, ns


class _Learner:
    def __init__(self) -> None:
        self.threads: dict[int, _Thread] = {}
        self.sleepers: deque[int] = deque()
        self.woken: dict[int, None] = {}
        self.stopped: set[int] = set()
        self.holder = self.last_holder = NONE
        self.switches = 0
        self.request: int | None = None
        self.timeouts: list[int] = []
        self.wakes: list[tuple[int, int, int]] = []  # the releaser, its piece, ns
        self.waits: list[int] = []
        self.waiters: list[int] = []

    def take(self, code: int, event: int, time: int, checks: int | None) -> None:
        thread = self.threads.get(code)
        if thread is None:
            thread = self.threads[code] = _Thread(time, time)
            if self.last_holder != NONE and self.last_holder != code:
                pieces = len(self.threads[self.last_holder].work) + (self.holder == self.last_holder)
                thread.started_by = (self.last_holder, pieces)
        thread.last = time
        if event == ENTRY:
            self.wants(code, thread, time)
        elif event == ACQUIRE:
            self.acquires(code, thread, time, checks)
        elif event == RELEASE:
            if self.holder == code:
                self.releases(code, thread, time, checks)
        else:
            self.sleeps(code, thread, time, event == RETRY)

    def wants(self, code: int, thread: _Thread, time: int) -> None:
        thread.entry, thread.contended = time, False
        if not thread.released:
            return
        if thread.made_to_stop and thread.taken is not None:
            self.stopped.discard(code)
            thread.gaps.append(time - thread.taken)
            if thread.taker_released is None:
                thread.stalls.append(time - thread.taken)
            else:
                thread.returns.append(_since(thread.taker_released, time))
        else:  # outside; or it was made to stop, but nobody wanted the GIL any more
            self.stopped.discard(code)
            thread.outside[-1] = time - thread.released[-1]
            thread.away.append((thread.released[-1], time))
        thread.made_to_stop = False

    def sleeps(self, code: int, thread: _Thread, time: int, again: bool) -> None:
        if again and thread.contended:
            if thread.signalled is not None:
                self.wakes.append(_since(thread.signalled, time))
                thread.signalled = None
                del self.woken[code]
            else:
                self.sleepers.remove(code)
                self.timeouts.append(time - thread.mark)
                if self.request is None and self.holder != NONE and thread.switches_at_mark == self.switches:
                    self.request = time
        elif thread.contended:
            return
        if thread.entry is None:
            thread.entry = time
        thread.contended, thread.mark, thread.switches_at_mark = True, time, self.switches
        self.sleepers.append(code)

    def acquires(self, code: int, thread: _Thread, time: int, checks: int | None) -> None:
        if thread.entry is not None:
            thread.waited += time - thread.entry
            if thread.contended:
                self.waits.append(time - thread.entry)
                self.waiters.append(code)
                self.wakes_up(code, thread, time)
        thread.entry, thread.contended = None, False
        for other in self.stopped:
            stopped = self.threads[other]
            if other != code and stopped.taken is None:
                stopped.taken, stopped.taker, stopped.taker_released = time, code, None
        self.switches += self.last_holder != code
        self.holder = self.last_holder = code
        thread.acquired, thread.checks_at_acquire = time, checks
        self.request = None

    def wakes_up(self, code: int, thread: _Thread, time: int) -> None:
        if thread.signalled is None:
            self.sleepers.remove(code)
            if not self.woken:
                return  # its time was up
            other = next(iter(self.woken))  # sleepers are not always woken in their order
            thread.signalled, self.threads[other].signalled = self.threads[other].signalled, None
            del self.woken[other]
            self.sleepers.appendleft(other)
        else:
            del self.woken[code]
        assert thread.signalled is not None
        self.wakes.append(_since(thread.signalled, time))
        thread.signalled = None

    def releases(self, code: int, thread: _Thread, time: int, checks: int | None) -> None:
        thread.work.append(time - thread.acquired)
        here = (code, len(thread.released), time)
        thread.released.append(time)
        if checks is not None and thread.checks_at_acquire is not None and checks > thread.checks_at_acquire:
            thread.outside.append(CONTINUES)
            thread.made_to_stop, thread.taken = True, None
            thread.stops += 1
            self.stopped.add(code)
            if self.request is not None:
                thread.answers.append(time - self.request)
        else:
            thread.outside.append(0)
        for other in self.stopped:
            stopped = self.threads[other]
            if stopped.taken is not None and stopped.taker == code and stopped.taker_released is None:
                stopped.taker_released = here
        if self.sleepers:
            first = self.sleepers.popleft()
            self.threads[first].signalled = here
            self.woken[first] = None
        self.holder = NONE
        self.request = None


def _since(release: tuple[int, int, int], time: int) -> tuple[int, int, int]:
    thread, piece, released = release
    return thread, piece, time - released


def learn(
    threads: int,
    codes: Sequence[int],
    events: Sequence[int],
    times: Sequence[int],
    checks: Sequence[int | None],
    told_interval: int | None,
) -> Programs:
    """The programs of a trace of the new GIL.

    codes, events, times, checks: of its rows, in their order; threads are numbered from 0 and events as in `EVENTS`.
    told_interval: ns, the switch interval that the metadata tell.
    """
    learner = _Learner()
    for row in zip(codes, events, times, checks, strict=True):
        learner.take(*row)
    known = [learner.threads.get(code) or _Thread(0, 0) for code in range(threads)]
    interval, overshoot = _interval(learner.timeouts, told_interval)
    late = [sum(answer > LATE for answer in t.answers) / len(t.answers) if t.answers else 0.0 for t in known]
    atomic = [share >= LATE_SHARE and len(t.answers) >= 3 for share, t in zip(late, known, strict=True)]
    return Programs(
        _script(known, atomic),
        _behaviour(known, learner.wakes, interval + overshoot),
        Run(
            np.array([t.first for t in known], np.int64),
            np.array([t.last for t in known], np.int64),
            np.array([t.waited for t in known], np.int64),
            np.array(learner.waits, np.int64),
            np.array(learner.waiters, np.int32),
        ),
        np.array([sum(t.work) for t in known], np.int64),
        np.array(late),
        np.array([t.stops for t in known], np.int64),
        tuple(np.array(t.away, np.int64).reshape(-1, 2) for t in known),
        interval,
        overshoot,
        len(learner.timeouts),
    )


def _interval(timeouts: Sequence[int], told: int | None) -> tuple[int, int]:
    """What the timers were set to, and how late they are. A program may have changed what the metadata tell."""
    if not timeouts:
        return told or DEFAULT_INTERVAL, DEFAULT_OVERSHOOT
    measured = int(np.percentile(timeouts, 25))
    if told and 0 <= measured - told < MOST_OVERSHOOT:
        return told, measured - told
    overshoot = min(DEFAULT_OVERSHOOT, measured - 1)
    return measured - overshoot, overshoot


def _script(threads: Sequence[_Thread], atomic: Sequence[bool]) -> Script:
    first = np.cumsum([0, *(len(thread.work) for thread in threads)])
    needs = np.full(first[-1], NONE, np.int64)
    outside = np.array([time for thread in threads for time in thread.outside], np.int64)
    start = np.array([thread.first for thread in threads], np.int64)
    started_by = np.full(len(threads), NONE, np.int64)
    for code, thread in enumerate(threads):
        if thread.started_by and thread.work:
            starter, pieces = thread.started_by
            if 0 < pieces <= len(threads[starter].work):
                started_by[code] = first[starter] + pieces - 1
                start[code] = max(0, thread.first - threads[starter].released[pieces - 1])
    ends = [(thread.released[-1], code) for code, thread in enumerate(threads) if thread.released]
    for code, thread in enumerate(threads):
        entered = dict(thread.away)
        for piece, released in enumerate(thread.released):
            entry = entered.get(released, released)
            away = entry - released
            late = min(max(JOIN_AWAY, away // JOIN_LATE), JOIN_LATEST)
            if away <= JOIN_AWAY:
                continue
            joined = max(
                ((end, x) for end, x in ends if x != code and released < end <= entry + JOIN_AWAY), default=None
            )
            if joined and entry - joined[0] <= late and threads[joined[1]].released[0] > thread.first:
                needs[first[code] + piece] = first[joined[1] + 1] - 1
                outside[first[code] + piece] = max(0, entry - joined[0])
    work = np.array([time for thread in threads for time in thread.work], np.int64)
    return Script(
        start, first.astype(np.int64), started_by, work, outside, needs, np.full(len(work), NONE, np.int64),
        np.array(atomic, bool), np.zeros(len(threads), bool),
    )  # fmt: skip


def _behaviour(threads: Sequence[_Thread], wakes: Sequence[tuple[int, int, int]], delay: int) -> Behaviour:
    def enough(*choices: Sequence[Any], default: Any) -> Sequence[Any]:
        """The first of them that has enough samples; else the last that has any."""
        of_enough = next((choice for choice in choices if len(choice) >= FEW), None)
        return of_enough or next((choice for choice in reversed(choices) if choice), None) or [default]

    def beside_outside(*choices: Sequence[tuple[int, int, int]], default: int) -> Integers:
        rows = []
        for thread, piece, time in enough(*choices, default=(NONE, 0, default)):
            outside = CONTINUES if thread == NONE else threads[thread].outside[piece]
            rows.append((LONGEST if outside == CONTINUES else outside, time))
        return np.array(sorted(rows), np.int64)

    def plain(*choices: Sequence[int], default: int) -> Integers:
        return np.sort(np.array(enough(*choices, default=default), np.int64))

    answers, stalls, gaps = (
        [value for thread in threads for value in getattr(thread, name)] for name in ("answers", "stalls", "gaps")
    )
    returns = [value for thread in threads for value in thread.returns]
    return Behaviour(
        delay,
        beside_outside(wakes, default=DEFAULT_WAKE),
        tuple(plain(t.answers, answers, default=DEFAULT_ANSWER) for t in threads),
        tuple(plain(t.stalls, t.gaps, stalls, gaps, default=DEFAULT_RETURN) for t in threads),
        tuple(beside_outside(t.returns, returns, default=DEFAULT_RETURN) for t in threads),
    )
