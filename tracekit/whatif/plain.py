"""CPython's GIL replayed in plain Python: the one to read, and the oracle of `_native/replay.c`.

It follows `take_gil` and `drop_gil` of CPython's Python/ceval_gil.c: each waiter's own timer, the switch number that
tells whether somebody got the GIL meanwhile, the request to drop it, one sleeper woken by each release, and the
releaser that waits until another has it (forced switching).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import deque

import numpy as np

from tracekit.whatif.programs import GOES_ON, LONGEST, NONE, Behaviour, Integers, Run, Script

ENTER, TIMER, WAKE, END, FORCED = range(5)
NEAR = 8
"""So many samples are near enough to choose one of."""
_MULTIPLIER, _INCREMENT, _MASK = 6364136223846793005, 1442695040888963407, (1 << 64) - 1


def replay(script: Script, behaviour: Behaviour, seed: int) -> Run:
    """One run of the programs under this behaviour; the same seed gives the same run."""
    return _Replay(script, behaviour, seed).run()


class _Beside:
    def __init__(self, rows: Integers) -> None:
        self.outside, self.values = rows[:, 0].tolist(), rows[:, 1].tolist()


class _Replay:
    def __init__(self, script: Script, behaviour: Behaviour, seed: int) -> None:
        threads = len(script.start)
        self.start, self.first = script.start.tolist(), script.first.tolist()
        self.started_by, self.needs = script.started_by.tolist(), script.needs.tolist()
        self.arrives = script.arrives.tolist()
        self.work, self.outside = script.work.tolist(), script.outside.tolist()
        self.atomic, self.free = script.atomic.tolist(), script.free.tolist()
        self.delay = behaviour.delay
        self.wakes = _Beside(behaviour.wakes)
        self.answers = [samples.tolist() for samples in behaviour.answers]
        self.stalls = [samples.tolist() for samples in behaviour.stalls]
        self.returns = [_Beside(samples) for samples in behaviour.returns]
        self.state = seed
        self.events: list[tuple[int, int, int, int, int]] = []
        self.order = 0
        self.stamp = [0] * threads
        self.piece = self.first[:-1]
        self.done = [0] * threads  # of the piece's work
        self.running_since = [0] * threads
        self.entry = [0] * threads
        self.contended = [False] * threads
        self.switches_seen = [0] * threads
        self.dropped = [NONE] * threads  # who took the GIL from a thread that was made to stop and has not come back
        self.sleepers: deque[int] = deque()
        self.waiting_for_switch: list[tuple[int, bool]] = []  # and whether it leaves then
        self.coming_back: list[int] = []
        self.blocked: dict[int, list[int]] = {}  # by the piece that they need
        self.ended = [NONE] * len(self.work)
        self.holder = self.last_holder = NONE
        self.switches = 0
        self.requested = False
        self.answer_at = 0
        self.begins, self.ends = [NONE] * threads, [0] * threads
        self.waited = [0] * threads
        self.waits: list[int] = []
        self.waiters: list[int] = []
        self.stops = 0

    def run(self) -> Run:
        for thread, start in enumerate(self.start):
            if self.first[thread] == self.first[thread + 1]:
                continue
            if self.started_by[thread] == NONE:
                self.at(start, thread, ENTER)
            else:
                self.blocked.setdefault(self.started_by[thread], []).append(thread)
        while self.events:
            now, _, thread, kind, stamp = heapq.heappop(self.events)
            if stamp == self.stamp[thread]:
                (self.enter, self.timer, self.woken, self.end, self.forced)[kind](thread, now)
        return Run(
            np.array(self.begins, np.int64),
            np.array(self.ends, np.int64),
            np.array(self.waited, np.int64),
            np.array(self.waits, np.int64),
            np.array(self.waiters, np.int32),
            self.stops,
        )

    def at(self, time: int, thread: int, kind: int) -> None:
        """A thread has one event to come: this replaces it."""
        self.stamp[thread] += 1
        self.order += 1
        heapq.heappush(self.events, (time, self.order, thread, kind, self.stamp[thread]))

    def pick(self, samples: list[int]) -> int:
        self.state = (self.state * _MULTIPLIER + _INCREMENT) & _MASK
        return samples[(self.state >> 33) * len(samples) >> 31]

    def pick_beside(self, samples: _Beside, outside: int) -> int:
        """One of those whose releaser was outside for about as long as this one will be."""
        near = bisect_left(samples.outside, outside)
        low = max(0, min(near - NEAR // 2, len(samples.values) - NEAR))
        return self.pick(samples.values[low : low + NEAR])

    def enter(self, thread: int, now: int) -> None:
        if self.begins[thread] == NONE:
            self.begins[thread] = now
        if self.dropped[thread] != NONE:
            self.dropped[thread] = NONE
            self.coming_back.remove(thread)
        self.entry[thread], self.contended[thread] = now, False
        if self.free[thread]:
            self.at(now + self.work[self.piece[thread]], thread, END)
        elif self.holder == NONE:
            self.take(thread, now)
        else:
            self.contended[thread] = True
            self.sleep(thread, now)

    def sleep(self, thread: int, now: int) -> None:
        self.sleepers.append(thread)
        self.switches_seen[thread] = self.switches
        self.at(now + self.delay, thread, TIMER)

    def timer(self, thread: int, now: int) -> None:
        self.sleepers.remove(thread)
        if self.holder == NONE:
            self.take(thread, now)
            return
        if self.switches_seen[thread] == self.switches and not self.requested:
            self.requested = True
            if not self.atomic[self.holder]:
                self.answer_at = now + self.pick(self.answers[self.holder])
                self.compute(self.holder)
        self.sleep(thread, now)

    def woken(self, thread: int, now: int) -> None:
        if self.holder == NONE:
            self.take(thread, now)
        else:
            self.sleep(thread, now)

    def take(self, thread: int, now: int) -> None:
        self.holder = thread
        if self.last_holder != thread:
            self.switches += 1
            self.last_holder = thread
        self.waited[thread] += now - self.entry[thread]
        if self.contended[thread]:
            self.waits.append(now - self.entry[thread])
            self.waiters.append(thread)
        self.requested = False
        for other, leaves in self.waiting_for_switch:
            if leaves:
                self.leave(other, now)
            else:
                self.dropped[other] = thread
                self.coming_back.append(other)
                self.at(now + self.pick(self.stalls[other]), other, ENTER)
        self.waiting_for_switch.clear()
        self.running_since[thread] = now
        self.compute(thread)

    def compute(self, thread: int) -> None:
        """Until the piece ends, or the thread answers a request before that."""
        piece = self.piece[thread]
        end = self.running_since[thread] + self.work[piece] - self.done[thread]
        if self.requested and not self.atomic[thread] and self.answer_at < end:
            self.at(max(self.answer_at, self.running_since[thread]), thread, FORCED)
        else:
            self.at(end, thread, END)

    def end(self, thread: int, now: int) -> None:
        piece = self.piece[thread]
        self.done[thread] = self.work[piece]
        self.tell_ended(piece, now)
        last = piece + 1 == self.first[thread + 1]
        if self.free[thread]:
            self.leave(thread, now)
        elif not last and (self.outside[piece] < 0 or self.has_nothing_to_wait_for(piece)):
            self.piece[thread], self.done[thread] = piece + 1, 0
            if self.requested and self.atomic[thread] and self.outside[piece] != GOES_ON:
                self.give_up(thread, now, False)
            else:
                self.running_since[thread] = now
                self.compute(thread)
        elif self.requested and not last:
            self.give_up(thread, now, True)
        else:
            self.release(thread, now)
            self.leave(thread, now)

    def has_nothing_to_wait_for(self, piece: int) -> bool:
        needed: int = self.needs[piece]
        return needed != NONE and self.ended[needed] != NONE

    def forced(self, thread: int, now: int) -> None:
        self.done[thread] += now - self.running_since[thread]
        self.give_up(thread, now, False)

    def give_up(self, thread: int, now: int, leaves: bool) -> None:
        """Obeys a request, and waits until another has the GIL. leaves: it then goes outside, else on computing."""
        self.requested = False
        self.stops += not leaves
        self.waiting_for_switch.append((thread, leaves))
        self.release(thread, now)

    def release(self, thread: int, now: int) -> None:
        self.holder = NONE
        piece = self.piece[thread]
        stays = self.done[thread] < self.work[piece] or self.outside[piece] < 0 or self.needs[piece] != NONE
        outside = LONGEST if stays else self.outside[piece]
        for other in self.coming_back:
            if self.dropped[other] == thread:
                self.dropped[other] = other  # only its first release counts
                self.at(now + self.pick_beside(self.returns[other], outside), other, ENTER)
        if self.sleepers:
            self.at(now + self.pick_beside(self.wakes, outside), self.sleepers.popleft(), WAKE)

    def leave(self, thread: int, now: int) -> None:
        """Outside, behind its piece."""
        piece = self.piece[thread]
        self.ends[thread] = now
        if piece + 1 == self.first[thread + 1]:
            return
        self.piece[thread], self.done[thread] = piece + 1, 0
        needed = self.needs[piece]
        outside = max(0, self.outside[piece])
        if needed == NONE:
            self.at(max(now + outside, self.arrives[piece]), thread, ENTER)
        elif self.ended[needed] != NONE:
            self.at(max(now, self.ended[needed] + outside), thread, ENTER)
        else:
            self.blocked.setdefault(needed, []).append(thread)

    def tell_ended(self, piece: int, now: int) -> None:
        self.ended[piece] = now
        for thread in self.blocked.pop(piece, ()):
            before = self.piece[thread] - 1
            started = before < self.first[thread]
            outside = self.start[thread] if started else max(0, self.outside[before])
            self.at(now + outside, thread, ENTER)
