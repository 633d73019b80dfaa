"""Long holds: the GIL kept for a whole switch interval and more while others wait, as C code does that keeps it.

Definition: docs/analyses.md. In a `FoundRow`: more (timeouts, 0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tracekit.analyzers.finding import NAMED, Finding, Group, Story, ToArrow, span
from tracekit.model.arrays import integers
from tracekit.model.rows import FoundRow, Hold, Options, Rows
from tracekit.words import count, duration, percent

NEEDS: frozenset[str] = frozenset()
"""What a trace must tell for these to be seen (`tracekit.observed`)."""


def long_hold(hold: Hold, end_seq: int, end: int, timed_waiters: bool, options: Options) -> FoundRow | None:
    """The long hold that this one, ended now, was. `timed_waiters`: the trace is timed and others' waits contended."""
    held = end - hold.start
    asked_in_vain = max(hold.timeouts.values(), default=0) >= options.min_timeouts
    if not asked_in_vain and not (timed_waiters and held >= options.long_hold):
        return None
    return FoundRow(held, hold.seq, end_seq, hold.start, end, (hold.timeouts.total(), 0, 0), hold.thread)


def columns(rows: Rows, to: ToArrow) -> dict[str, pa.Array]:
    """The table `long_holds`."""
    return span(rows, to) | {
        "thread": to.thread(rows["thread"]),
        "duration": integers(rows["cost"]),
        "timeouts": integers(rows["more"][:, 0]),
    }


def explain(groups: Sequence[Group], story: Story) -> list[Finding]:
    """One finding for each thread that keeps the GIL."""
    found = []
    for group in groups:
        share, timeouts, thread = story.share(group.cost), group.more[0], str(group.thread)
        if share < NAMED:
            continue
        longest = duration(group.worst_cost, story.unit)
        holds = f"one hold of {longest}" if group.count == 1 else f"{group.count:,} long holds of up to {longest}"
        asked = f" and asked {count(timeouts, 'time')} in vain" if timeouts else ""
        name = story.names[thread]
        title = f"{name} kept the GIL for {percent(share)} of the trace in {holds}, while others waited{asked}."
        explanation, advice = _NEW if story.new_gil else _OLD
        advice = advice.format(thread=name)
        found.append(story.finding("long_holds", group.cost, title, explanation, advice, [group], (thread,)))
    return found


_OLD = (
    "A thread gives the GIL up after 100 ticks, but a tick can be a long call into C code, and C code keeps the GIL "
    "unless it releases it itself.",
    "Release the GIL in the C code that {thread} calls (Py_BEGIN_ALLOW_THREADS), split the calls, or move them to a "
    "process.",
)
_NEW = (
    "A waiting thread asks for the GIL once per switch interval, and Python code answers within microseconds. A thread "
    "that does not is inside C code that keeps the GIL.",
    "Release the GIL in the C code that {thread} calls (Py_BEGIN_ALLOW_THREADS), split the calls, or move them to a "
    "process.",
)
