"""What the plain machine remembers for the waits that are open: who held the GIL meanwhile, and who passed them.

To charge each step to each of them would cost rows times threads. Steps are written down once, and a wait that ends
adds up those since it began. When there are many, each open wait takes its part as sums by holder, and they are
forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from tracekit.model.rows import NO_STACK, NOBODY, Hold, Part, Wait

MOST = 10_000
"""Steps and ACQUIREs that are remembered; more while one hold goes on."""
MOST_PARTS = 1 << 22
"""Of all open waits together, once they have been taken."""


class Journal:
    def __init__(self) -> None:
        self._steps: list[tuple[Hold | None, int]] = []  # the hold, if there is one, and the latest sample of it then
        self._lengths: list[int] = []
        self._acquirers: list[int] = []
        self._acquires = self._reacquires = 0

    def step(self, hold: Hold | None, length: int) -> None:
        of = hold, hold.sample if hold else NO_STACK
        if self._steps and self._steps[-1] == of:
            self._lengths[-1] += length
        else:
            self._steps.append(of)
            self._lengths.append(length)

    def acquired(self, thread: int, reacquire: bool) -> None:
        self._acquirers.append(thread)
        self._acquires += 1
        self._reacquires += reacquire

    def begin(self, wait: Wait, alone: bool) -> None:
        """alone: no other wait is open."""
        if alone:
            self._forget()
        wait.first_step = max(len(self._steps) - 1, 0)
        wait.skipped = self._lengths[-1] if self._lengths else 0

    def contend(self, wait: Wait) -> None:
        """At its first BUSY or RETRY."""
        wait.first_acquirer = len(self._acquirers)
        wait.acquires_at_busy = self._acquires

    def mark(self, wait: Wait) -> None:
        """At each of them."""
        wait.acquires_at_mark, wait.reacquires_at_mark = self._acquires, self._reacquires

    def since_mark(self, wait: Wait) -> tuple[int, int]:
        """ACQUIREs, and reacquires among them."""
        return self._acquires - wait.acquires_at_mark, self._reacquires - wait.reacquires_at_mark

    def passes(self, wait: Wait) -> int:
        return self._acquires - wait.acquires_at_busy if wait.contended else 0

    def rival(self, wait: Wait) -> int:
        passes = wait.taken_passes
        if wait.contended:
            passes = passes + Counter(self._acquirers[wait.first_acquirer :])
        return max(passes, key=lambda thread: (passes[thread], -thread), default=NOBODY)

    def parts(self, wait: Wait) -> Counter[Part]:
        """All that has been since it began. No hold may be open."""
        self._take(wait, self._since(wait.first_step))
        return wait.taken

    def _since(self, first: int) -> Counter[Part]:
        parts: Counter[Part] = Counter()
        for place in range(first, len(self._steps)):
            parts[self._part(place)] += self._lengths[place]
        return parts

    def _part(self, place: int) -> Part:
        hold, sample = self._steps[place]
        return Part(hold.thread, hold.stack_at(sample), hold.preempted, hold.long) if hold else Part()

    def _take(self, wait: Wait, parts: Counter[Part]) -> None:
        wait.taken.update(parts)
        if wait.skipped:
            part = self._part(wait.first_step)
            wait.taken[part] -= wait.skipped
            if not wait.taken[part]:
                del wait.taken[part]

    @property
    def full(self) -> bool:
        return len(self._steps) + len(self._acquirers) >= MOST

    def hand_out(self, waits: Collection[Wait]) -> bool:
        """To those that are open; no hold may be. False: they lost to too many others."""
        since: dict[int, Counter[Part]] = {}
        passed: dict[int, Counter[int]] = {}
        for wait in waits:
            if wait.first_step not in since:
                since[wait.first_step] = self._since(wait.first_step)
            self._take(wait, since[wait.first_step])
            if wait.contended:
                if wait.first_acquirer not in passed:
                    passed[wait.first_acquirer] = Counter(self._acquirers[wait.first_acquirer :])
                wait.taken_passes.update(passed[wait.first_acquirer])
            wait.first_step = wait.skipped = wait.first_acquirer = 0
        self._forget()
        return sum(len(wait.taken) + len(wait.taken_passes) for wait in waits) <= MOST_PARTS

    def _forget(self) -> None:
        self._steps.clear()
        self._lengths.clear()
        self._acquirers.clear()
