"""Why threads waited, in plain Python: every step of every wait has one cause. Definitions: docs/analyses.md."""

from __future__ import annotations

from collections import Counter

from tracekit.model.rows import CAUSES, NOBODY, Hold, Wait

PREEMPTED_FROM = 1_000_000
"""ns; a shorter hold is not asked how long it ran."""


class Causes:
    """Sums what waits lost, by thread, cause and holder."""

    def __init__(self) -> None:
        self._durations: Counter[tuple[int, int, int]] = Counter()
        self._waits: Counter[tuple[int, int, int]] = Counter()

    def settle(self, wait: Wait, convoy: bool) -> None:
        """A wait that has ended. convoy: it is one of the delayed ones of a convoy."""
        lost: Counter[tuple[int, int, int]] = Counter()
        for hold, duration in wait.steps.items():
            cause = CAUSES.index(cause_of(wait, hold, convoy))
            lost[wait.thread, cause, hold.thread if hold else NOBODY] += duration
        self._durations.update(lost)
        self._waits.update(dict.fromkeys(lost, 1))

    def rows(self) -> list[tuple[int, ...]]:
        """Those of `rows.CAUSE`."""
        return [
            (duration, self._waits[key], thread, holder, cause, 0)
            for key, duration in self._durations.items()
            for thread, cause, holder in (key,)
        ]


def cause_of(wait: Wait, hold: Hold | None, convoy: bool) -> str:
    """Of the steps of this wait that lie in this hold; None: while nobody held the GIL."""
    if hold is None:
        return "scheduling"
    if hold.preempted:
        return "preemption"
    if wait.battle:
        return "battle"
    if hold.long:
        return "long_hold"
    if convoy:
        return "convoy"
    return "saturation" if wait.after_check else "queueing"
