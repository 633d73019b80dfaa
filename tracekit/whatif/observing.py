"""What happened in a trace, row by row, as a replay wants to know it; in plain Python: the
oracle of `_native/observe.c`.

Waiters sleep in the order in which they came, and a RELEASE wakes the first: so it is known from which RELEASE a
sleeper woke, when a request to drop the GIL was made, and who took the GIL from a thread that was made to stop.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tracekit.model.attributes import NO_ATTRIBUTES, Attributes, Sparse, by_row
from tracekit.model.stream import ACQUIRE, ENTRY, RELEASE, RETRY
from tracekit.whatif.programs import CONTINUES, NONE, Integers

Piece = tuple[int, int]
"""A thread, and the number of one of its holds, from 0."""


@dataclass(frozen=True)
class Observed:
    """Rows of integers; times in ns. Threads, pieces (holds) and rows are numbered from 0.

    Attributes:
        threads: of each when it began and ended, what it waited, how often it was made to stop, the thread that
            started it (or NONE) and how many pieces that had begun.
        pieces: in the order in which they ended: thread, with the GIL, end, and outside behind it or CONTINUES.
        away: thread, piece, ENTRY: when it came back.
        wakes: the releaser, its piece, and how long a sleeper took to run.
        answers: thread, such a time of it, and how long it had not run in that hold (0: not known).
        stalls, gaps: thread, and such a time of it.
        returns: thread, another thread, its piece, and such a time. `Behaviour` says what these are.
        timeouts: how long sleepers slept whose time was up.
        waits: contended ones: thread, duration.
        locks: thread, piece behind which it waited for a lock, the unlocker and its piece, or NONE, and ENTRY.
    """

    threads: Integers
    pieces: Integers
    away: Integers
    wakes: Integers
    answers: Integers
    stalls: Integers
    gaps: Integers
    returns: Integers
    timeouts: Integers
    waits: Integers
    locks: Integers


COLUMNS = {
    "pieces": 4, "away": 3, "wakes": 3, "answers": 3, "stalls": 2, "gaps": 2, "returns": 4, "timeouts": 1, "waits": 2,
    "locks": 5,
}  # fmt: skip
"""How many each of the tables has but `threads`, in the order of observe.h."""
OF_THREADS = 6


@dataclass(frozen=True)
class Events:
    """The rows of a trace of the new GIL, in their order: threads are numbered from 0, and events as in `EVENTS`.

    attributes: `cpu`, `lock` and `unlocks`, of `attributes.SPARSE`.
    """

    threads: int
    thread: npt.NDArray[np.int32]
    event: npt.NDArray[np.uint8]
    time: Integers
    checks: Integers
    attributes: Sparse


@dataclass
class _Thread:
    first: int
    last: int
    started_by: Piece = (NONE, 0)
    pieces: int = 0
    released: int = 0  # when its last piece ended
    piece: list[int] = field(default_factory=list)  # its row
    stops: int = 0
    waited: int = 0
    entry: int | None = None
    contended: bool = False
    mark: int = 0  # the last BUSY or RETRY of its wait
    switches_at_mark: int = 0
    signalled: tuple[int, int, int] | None = None  # the RELEASE that woke it: its thread, its piece, ns
    acquired: int = 0
    checks_at_acquire: int = 0
    made_to_stop: bool = False
    lock: int | None = None  # for which it gave up the GIL
    taken: int | None = None  # when another got the GIL from it
    taker: int = NONE
    taker_released: tuple[int, int, int] | None = None  # its thread, its piece, ns


class _Observer:
    def __init__(self) -> None:
        self.threads: dict[int, _Thread] = {}
        self.sleepers: OrderedDict[int, None] = OrderedDict()
        self.woken: dict[int, None] = {}
        self.stopped: dict[int, None] = {}
        self.holder = self.last_holder = NONE
        self.switches = 0
        self.request: int | None = None
        self.unlocked: dict[int, tuple[int, int, int]] = {}  # by lock, the last hold in which it was: thread, piece, ns
        self.came_back: list[tuple[int, int, int, int, int]] = []  # in this hold: thread, piece, lock, RELEASE, ENTRY
        self.rows: dict[str, list[list[int]]] = {name: [] for name in COLUMNS}

    def take(self, code: int, event: int, time: int, checks: int, told: Attributes) -> None:
        thread = self.threads.get(code)
        if thread is None:
            thread = self.threads[code] = _Thread(time, time)
            if self.last_holder != NONE and self.last_holder != code:
                pieces = self.threads[self.last_holder].pieces + (self.holder == self.last_holder)
                thread.started_by = (self.last_holder, pieces)
        thread.last = time
        if event == ENTRY:
            self.wants(code, thread, time)
        elif event == ACQUIRE:
            self.acquires(code, thread, time, checks)
        elif event == RELEASE:
            if self.holder == code:
                self.releases(code, thread, time, checks, told)
        else:
            self.sleeps(code, thread, time, event == RETRY)

    def wants(self, code: int, thread: _Thread, time: int) -> None:
        thread.entry, thread.contended = time, False
        if not thread.pieces:
            return
        if thread.made_to_stop and thread.taken is not None:
            self.stopped.pop(code, None)
            self.rows["gaps"].append([code, time - thread.taken])
            if thread.taker_released is None:
                self.rows["stalls"].append([code, time - thread.taken])
            else:
                self.rows["returns"].append([code, *_since(thread.taker_released, time)])
        else:  # outside; or it was made to stop, but nobody wanted the GIL any more
            self.stopped.pop(code, None)
            thread.piece[3] = time - thread.released
            self.rows["away"].append([code, thread.pieces - 1, time])
            if thread.lock is not None:
                back = (code, thread.pieces - 1, thread.lock, thread.released, time)
                if self.holder == NONE:
                    self.was_unlocked(back)
                else:
                    self.came_back.append(back)
        thread.made_to_stop, thread.lock = False, None

    def was_unlocked(self, back: tuple[int, int, int, int, int]) -> None:
        """For a thread that comes back: by whom is the last that did so since it gave up the GIL."""
        code, piece, lock, released, entry = back
        unlocker, hold, time = self.unlocked.get(lock, (NONE, 0, 0))
        if unlocker == NONE or time < released:
            unlocker, hold = NONE, 0
        self.rows["locks"].append([code, piece, unlocker, hold, entry])

    def sleeps(self, code: int, thread: _Thread, time: int, again: bool) -> None:
        if again and thread.contended:
            if thread.signalled is not None:
                self.rows["wakes"].append([*_since(thread.signalled, time)])
                thread.signalled = None
                del self.woken[code]
            else:
                del self.sleepers[code]
                self.rows["timeouts"].append([time - thread.mark])
                if self.request is None and self.holder != NONE and thread.switches_at_mark == self.switches:
                    self.request = time
        elif thread.contended:
            return
        if thread.entry is None:
            thread.entry = time
        thread.contended, thread.mark, thread.switches_at_mark = True, time, self.switches
        self.sleepers[code] = None

    def acquires(self, code: int, thread: _Thread, time: int, checks: int) -> None:
        if thread.entry is not None:
            thread.waited += time - thread.entry
            if thread.contended:
                self.rows["waits"].append([code, time - thread.entry])
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
            del self.sleepers[code]
            if not self.woken:
                return  # its time was up
            other = next(iter(self.woken))  # sleepers are not always woken in their order
            thread.signalled, self.threads[other].signalled = self.threads[other].signalled, None
            del self.woken[other]
            self.sleepers[other] = None
            self.sleepers.move_to_end(other, last=False)
        else:
            del self.woken[code]
        assert thread.signalled is not None
        self.rows["wakes"].append([*_since(thread.signalled, time)])
        thread.signalled = None

    def releases(self, code: int, thread: _Thread, time: int, checks: int, told: Attributes) -> None:
        here = (code, thread.pieces, time)
        thread.piece = [code, time - thread.acquired, time, 0]
        self.rows["pieces"].append(thread.piece)
        thread.pieces += 1
        thread.released, thread.lock = time, told.lock
        for one in told.unlocks:
            self.unlocked[one] = here
        for back in self.came_back:
            self.was_unlocked(back)
        self.came_back.clear()
        if checks > thread.checks_at_acquire and told.lock is None:
            thread.piece[3] = CONTINUES
            thread.made_to_stop, thread.taken = True, None
            thread.stops += 1
            self.stopped[code] = None
            if self.request is not None:
                not_running = 0 if told.cpu is None else max(0, time - thread.acquired - told.cpu)
                self.rows["answers"].append([code, time - self.request, not_running])
        for other in self.stopped:
            stopped = self.threads[other]
            if stopped.taken is not None and stopped.taker == code and stopped.taker_released is None:
                stopped.taker_released = here
        if self.sleepers:
            first, _ = self.sleepers.popitem(last=False)
            self.threads[first].signalled = here
            self.woken[first] = None
        self.holder = NONE
        self.request = None


def _since(release: tuple[int, int, int], time: int) -> tuple[int, int, int]:
    thread, piece, released = release
    return thread, piece, time - released


def observe(events: Events) -> Observed:
    observer = _Observer()
    told = by_row(events.attributes)
    threads, kinds = events.thread.tolist(), events.event.tolist()
    for place, (code, event, time, checks) in enumerate(
        zip(threads, kinds, events.time.tolist(), events.checks.tolist(), strict=True)
    ):
        observer.take(code, event, time, checks, told.get(place, NO_ATTRIBUTES))
    for back in observer.came_back:
        observer.was_unlocked(back)
    known = [observer.threads.get(code) or _Thread(0, 0) for code in range(events.threads)]
    of_threads = [[t.first, t.last, t.waited, t.stops, *t.started_by] for t in known]
    return Observed(
        np.array(of_threads, np.int64).reshape(-1, OF_THREADS),
        **{name: np.array(observer.rows[name], np.int64).reshape(-1, columns) for name, columns in COLUMNS.items()},
    )
