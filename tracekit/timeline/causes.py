"""Why threads waited, and at which lines, in plain Python: every step of every wait has one cause. Definitions:
docs/analyses.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.analyzers import convoys
from tracekit.model.rows import BLOCKING, CAUSES, NOBODY, Options, Part, Rows, Wait

PREEMPTED_FROM = 1_000_000
"""ns; a shorter hold is not asked how long it ran."""


class _Key(NamedTuple):
    """Of a row of `rows.STACK_BLAME_ROW`."""

    holder_stack: int
    waiter_stack: int
    waiter: int
    holder: int
    cause: int


class Causes:
    """Sums what waits lost, by thread, cause and holder, and what they lost while somebody held, by the stacks too."""

    def __init__(self) -> None:
        self._durations: Counter[tuple[int, int, int]] = Counter()
        self._waits: Counter[tuple[int, int, int]] = Counter()
        self._by_stack: Counter[_Key] = Counter()
        self._by_stack_waits: Counter[_Key] = Counter()
        self._shared: Counter[frozenset[_Key]] = Counter()
        self.stacks_told = False

    def settle(self, wait: Wait, convoy: bool) -> None:
        """A wait that has ended. convoy: it is one of the delayed ones of a convoy."""
        lost: Counter[tuple[int, int, int]] = Counter()
        by_stack: Counter[_Key] = Counter()
        for part, duration in wait.parts.items():
            cause = CAUSES.index(cause_of(wait, part, convoy))
            lost[wait.thread, cause, part.holder] += duration
            if part.holder != NOBODY:
                by_stack[_Key(part.stack, wait.stack, wait.thread, part.holder, cause)] += duration
        self._durations.update(lost)
        self._waits.update(dict.fromkeys(lost, 1))
        self._by_stack.update(by_stack)
        self._by_stack_waits.update(dict.fromkeys(by_stack, 1))
        for cause in {key.cause for key in by_stack}:
            keys = frozenset(key for key in by_stack if key.cause == cause)
            if len(keys) > 1:
                self._shared[keys] += 1

    def rows(self) -> list[tuple[int, ...]]:
        """Those of `rows.CAUSE_ROW`."""
        return [
            (duration, self._waits[key], thread, holder, cause, 0)
            for key, duration in self._durations.items()
            for thread, cause, holder in (key,)
        ]

    def stack_rows(self) -> list[tuple[int, ...]]:
        """Those of `rows.STACK_BLAME_ROW`; none of a trace that tells no stacks."""
        rows = self._by_stack.items() if self.stacks_told else ()
        return [(duration, self._by_stack_waits[key], *key, 0) for key, duration in rows]

    def shared_rows(self) -> list[tuple[int, ...]]:
        """Those of `rows.SHARED_ROW`."""
        if not self.stacks_told:
            return []
        places = {key: place for place, key in enumerate(self._by_stack)}
        return [
            (waits, number, places[key]) for number, (keys, waits) in enumerate(self._shared.items()) for key in keys
        ]


def cause_of(wait: Wait, part: Part, convoy: bool) -> str:
    """Of what a wait lost to a holder, or to nobody."""
    if part.holder == NOBODY:
        return "scheduling"
    if part.preempted:
        return "preemption"
    if wait.battle:
        return "battle"
    if part.long:
        return "long_hold"
    if convoy:
        return "convoy"
    return "saturation" if wait.after_check else "queueing"


FROM_TABLE = convoys.KIND
"""The kind of findings whose waits are known by its table alone, which may have only the costliest."""


def preempted(holds: Rows, timed: bool) -> npt.NDArray[np.bool_]:
    """Which of these holds of a picture were; see `cause_of`."""
    held, cpu = holds["end"] - holds["start"], holds["cpu"]
    known = (cpu >= 0) & timed & (held >= PREEMPTED_FROM)
    return np.asarray(known & (cpu < held - np.where(known, cpu, 0)), np.bool_)


def in_convoys(
    waits: Rows, holds: Rows, tables: Mapping[str, pa.Table], threads: Sequence[str], options: Options
) -> npt.NDArray[np.bool_]:
    """Which of a picture's waits are the delayed ones of a convoy that the tables have. threads: their ids."""
    found = tables[FROM_TABLE].select(["thread", "start_seq", "end_seq"]).to_pylist()
    within = np.zeros(len(waits), np.bool_)
    if not found or not len(holds):
        return within
    after = holds[np.minimum(np.searchsorted(holds["start_seq"], waits["end_seq"]), len(holds) - 1)]
    waited = waits["end"] - waits["entry"]
    delayed = (after["start_seq"] == waits["end_seq"]) & (after["kind"] == BLOCKING) & (waited > 0)
    delayed &= waited >= options.ratio * (after["end"] - after["start"])
    begins = np.where(waits["entry_seq"] >= 0, waits["entry_seq"], waits["busy_seq"])
    for code in np.unique(waits["thread"]).tolist():
        spans = sorted((row["start_seq"], row["end_seq"]) for row in found if row["thread"] == threads[code])
        mine = waits["thread"] == code
        last = np.searchsorted([start for start, _ in spans], begins[mine], "right") - 1
        ends = np.array([end for _, end in spans] or [NOBODY])
        within[mine] = (last >= 0) & (after["end_seq"][mine] <= ends[last])
    return np.asarray(delayed & within, np.bool_)
