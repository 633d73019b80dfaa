"""Long holds: the GIL kept for a whole switch interval and more while others wait, as C code does that keeps it.

Definition: docs/analyses.md. In a `FoundRow`: more (timeouts, CPU time or 0, whether it is known), other the thread
itself where the hold was preempted: those are rows of the table, and in no finding.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tracekit.analyzers.finding import NAMED, Analyzer, Finding, Group, Loss, Story, ToArrow, span
from tracekit.model.arrays import flags, integers
from tracekit.model.rows import NOBODY, FoundRow, Hold, Options, Rows
from tracekit.words import count, duration, percent

KIND = "long_holds"


def long_hold(hold: Hold, end_seq: int, end: int, timed_waiters: bool, options: Options) -> FoundRow | None:
    """The long hold that this one, ended now, was. `timed_waiters`: the trace is timed and others' waits contended."""
    held = end - hold.start
    asked_in_vain = max(hold.timeouts.values(), default=0) >= options.min_timeouts
    if not asked_in_vain and not (timed_waiters and held >= options.long_hold):
        return None
    more = hold.timeouts.total(), hold.cpu or 0, int(hold.cpu is not None)
    other = hold.thread if hold.preempted else NOBODY
    return FoundRow(held, hold.seq, end_seq, hold.start, end, more, hold.thread, other)


def columns(rows: Rows, to: ToArrow) -> dict[str, pa.Array]:
    """The table `long_holds`."""
    return span(rows, to) | {
        "thread": to.thread(rows["thread"]),
        "duration": integers(rows["cost"]),
        "timeouts": integers(rows["more"][:, 0]),
        "cpu": integers(rows["more"][:, 1], rows["more"][:, 2] == 0),
        "preempted": flags(rows["other"] != NOBODY),
    }


def kept(story: Story) -> list[Group]:
    """The holds whose threads kept the GIL themselves, not the operating system that had taken the CPU away."""
    return [group for group in story.groups[KIND] if group.other is None]


def losses(story: Story) -> Iterator[Loss]:
    """To the threads that keep the GIL; who waited for it is not told apart."""
    for group in kept(story):
        yield Loss(None, group.thread, group.count, group.lost, story.called[group.thread])


def explain(story: Story) -> list[Finding]:
    """One finding for each thread that keeps the GIL."""
    found = []
    for group in kept(story):
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
        subject = story.called[thread]
        found.append(story.finding(KIND, group.cost, title, explanation, advice, [group], (thread,), subject))
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

ANALYZER = Analyzer(
    kind=KIND,
    label="Long holds",
    fleet="{hog} keeps the GIL in long holds",
    losses=losses,
    explain=explain,
    columns=columns,
    colour="mark4",
)
