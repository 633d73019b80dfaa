"""Predictions computed beforehand, for a page on which one moves a slider and sees what would change."""

from __future__ import annotations

from dataclasses import dataclass

from tracekit.trace import Trace
from tracekit.whatif.gate import Gate
from tracekit.whatif.prediction import Prediction
from tracekit.whatif.preparing import hogs, prepare
from tracekit.whatif.scenarios import Change, Interval, Move, Together

STEPS = tuple(ms * 1_000_000 // 10 for ms in (1, 2, 5, 10, 20, 50, 100, 200, 500))
"""ns: from 0.1 to 50 ms."""
MOST_HOGS = 3
WORTH_MOVING = 0.1
"""A thread for which less of what was waited for others was waited is not worth a process."""


@dataclass(frozen=True)
class Ladder:
    """What other switch intervals would change, with all threads together and with one hog in a process of its own.

    Attributes:
        gate: how well the unchanged trace was replayed; where it did not pass, `gate.reason` says why nothing is
            predicted, and `rungs` is empty.
        interval: ns, the switch interval of the trace as measured; None where the gate did not pass.
        intervals: ns, ascending; 0.1 to 50 ms.
        hogs: ids of the threads that may be moved, the costliest first; at most three.
        rungs: the prediction for each interval and each hog moved, or None for nobody. Its `confidence` may be
            `refused`, with a `reason`; else `threads` has `before` and `after` of each thread, in ns.
    """

    gate: Gate
    interval: int | None
    intervals: tuple[int, ...]
    hogs: tuple[str, ...]
    rungs: dict[tuple[int, str | None], Prediction]


def ladder(trace: Trace, intervals: tuple[int, ...] = STEPS) -> Ladder:
    """All predictions at once. It takes some ten replays for each rung, of about 20 million events a second."""
    prepared = prepare(trace, {})
    if prepared.replayable is None:
        return Ladder(prepared.gate, None, (), (), {})
    programs, _ = prepared.replayable
    movable = tuple(hogs(trace, WORTH_MOVING)[:MOST_HOGS])
    rungs: dict[tuple[int, str | None], Prediction] = {}
    for ns in intervals:
        for hog in (None, *movable):
            change: Change = Interval(ns) if hog is None else Together(Interval(ns), Move(hog))
            rungs[ns, hog] = prepared.predicted(change)
    return Ladder(prepared.gate, programs.interval, intervals, movable, rungs)
