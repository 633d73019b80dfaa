"""Frozen signals: the interpreter checks after every tick, because only the main thread may handle a pending signal.

Beazley, "Inside the Python GIL" (2009). Definition: docs/analyses.md. In a `FoundRow`: more (checks, 0, 0, 0).
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tracekit.analyzers.finding import Analyzer, Finding, Loss, Story, ToArrow, span
from tracekit.model.arrays import integers
from tracekit.model.rows import FoundRow, Options, Rows
from tracekit.words import count, percent

KIND = "frozen_signals"


class FrozenSignals:
    """Follows the check releases of all threads."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._checks = 0
        self._first = self._last = (0, 0)  # seq and clock

    def check_release(self, ticks: int, seq: int, clock: int) -> FoundRow | None:
        """The run that this check release interrupts, if it does."""
        if ticks != 0:
            return self.end()
        self._last = seq, clock
        if not self._checks:
            self._first = self._last
        self._checks += 1
        return None

    def end(self) -> FoundRow | None:
        checks, self._checks = self._checks, 0
        if checks < self._options.min_frozen:
            return None
        (start_seq, start), (end_seq, end) = self._first, self._last
        return FoundRow(checks, start_seq, end_seq, start, end, (checks, 0, 0, 0))


def columns(rows: Rows, to: ToArrow) -> dict[str, pa.Array]:
    """The table `frozen_signals`."""
    return span(rows, to) | {"checks": integers(rows["cost"])}


def losses(story: Story) -> Iterator[Loss]:
    for group in story.groups[KIND]:
        yield Loss(None, None, group.count, group.lost)


def explain(story: Story) -> list[Finding]:
    """One finding for all runs. It costs their whole spans."""
    groups = story.groups[KIND]
    if not groups:
        return []
    (group,) = groups
    runs = "in a row" if group.count == 1 else f"in {group.count:,} runs, the longest of {group.worst_cost:,}"
    title = (
        f"Signals were frozen: {count(group.more[0], 'check')} found the tick countdown at 0, {runs}, from event "
        f"{group.start_seq:,} on."
    )
    if story.unit == "ticks":
        title += f" They last {percent(story.share(group.lost))} of a clock that counts ticks, not time."
    return [story.finding(KIND, group.lost, title, _EXPLANATION, _ADVICE, groups, ())]


_EXPLANATION = (
    "A signal is pending that only the main thread may handle, and the main thread sleeps in a lock that no signal "
    "interrupts, such as join(). Until it runs the interpreter checks after every tick, so the other threads crawl."
)
_ADVICE = (
    "Let the main thread wait with a timeout, in a loop (join(0.1)), or run on Python 3.2 or newer, where signals "
    "interrupt locks."
)

ANALYZER = Analyzer(
    kind=KIND,
    label="Frozen signals",
    fleet="signals are frozen",
    losses=losses,
    explain=explain,
    needs=frozenset({"ticks", "checks"}),
    columns=columns,
    costs_span=True,
    colour="mark3",
)
