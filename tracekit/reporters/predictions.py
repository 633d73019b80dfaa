"""What a what-if says, in words and for the report's page."""

from __future__ import annotations

from typing import Any

from tracekit.whatif.ladder import Ladder
from tracekit.whatif.prediction import Outcome, Prediction, ThreadPrediction
from tracekit.whatif.scenarios import Change, Cores, Interval, Move, Split, Together, milliseconds
from tracekit.words import count, duration, printable

THREADS_TOLD = 3
"""In words; tables have more."""
THREADS_SHOWN = 20
SAME = 0.02
"""A change of a duration, or of a share waited, that is not worth a word."""
_PAGE = ("duration", "waited", "wait_p90")


def for_page(ladder: Ladder) -> dict[str, Any]:
    """What the report's page needs to move a slider: for each interval, then each hog or nobody, what is said, the
    confidence, and threads: id, then duration, waited and the 90th percentile of its waits, before and after, in ns."""
    return {
        "reason": None if ladder.gate.passed else printable(ladder.gate.reason or ""),
        "interval": ladder.interval,
        "intervals": ladder.intervals,
        "hogs": [printable(hog) for hog in ladder.hogs],
        "rungs": [[_rung(ladder.rungs[ns, hog]) for hog in (None, *ladder.hogs)] for ns in ladder.intervals],
    }


def _rung(scenario: Prediction) -> dict[str, Any]:
    told = "" if scenario.confidence == "refused" else printable(told_of(scenario))
    shown = sorted(scenario.threads, key=size, reverse=True)[:THREADS_SHOWN]
    return {
        "condition": condition(scenario.change),
        "told": told,
        "confidence": scenario.confidence,
        "reason": scenario.reason and printable(scenario.reason),
        "threads": [
            [
                printable(thread.thread),
                *(getattr(when, name) for when in (thread.before, thread.after) for name in _PAGE),
            ]
            for thread in shown
        ],
    }


def condition(change: Change) -> str:
    if isinstance(change, Interval):
        return f"With a switch interval of {milliseconds(change.ns)} ms"
    if isinstance(change, Move):
        return f"With {printable(change.thread)} in a process of its own"
    if isinstance(change, Together):
        return f"{condition(change.interval)} and {printable(change.move.thread)} in a process of its own"
    if isinstance(change, Split):
        return f"With the C calls of {printable(change.thread)} in ten parts"
    if isinstance(change, Cores):
        return f"On {count(change.cores, 'core')}"
    slower = f", each thread {change.slowdown:g} times as slow" if change.slowdown != 1 else ""
    return f"Without the GIL{slower}"


def told_of(scenario: Prediction) -> str:
    changed = [thread for thread in scenario.threads if size(thread) > SAME]
    changed.sort(key=size, reverse=True)
    clauses = [_clause(thread) for thread in changed[:THREADS_TOLD]]
    rest = len(scenario.threads) - len(clauses)
    if not clauses:
        return "every thread would wait and finish as before."
    if rest:
        less = "the others less changed" if len(changed) > THREADS_TOLD else "the others as before"
        clauses.append(less if rest > 1 else less.replace("others", "other"))
    return f"{'; '.join(clauses)}."


def _clause(thread: ThreadPrediction) -> str:
    after, before = thread.after, thread.before
    name = thread.name or thread.thread
    waits = f"{name} would wait {share_waited(after)} of its time instead of {share_waited(before)}"
    change = after.duration / max(1, before.duration) - 1
    if abs(change) <= SAME:
        return f"{waits}, and be done as before"
    return f"{waits}, and be done in {duration(after.duration, 'ns')} instead of {duration(before.duration, 'ns')}"


def size(thread: ThreadPrediction) -> float:
    """How much a thread's life changes."""
    shares = [outcome.waited / max(1, outcome.duration) for outcome in (thread.after, thread.before)]
    durations = max(1, thread.after.duration) / max(1, thread.before.duration)
    return max(abs(shares[0] - shares[1]), abs(durations - 1), abs(1 / durations - 1))


def share_waited(outcome: Outcome) -> str:
    return f"{100 * outcome.waited / max(1, outcome.duration):.1f} %"
