"""Convoys: short holds that each wait long behind the same hog.

bugs.python.org issue 7946. Definition: docs/analyses.md. In a `FoundRow`: other the hog, more (cycles, waited, held).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from tracekit.analyzers.finding import NAMED, Analyzer, Finding, Loss, Story, ToArrow, span
from tracekit.model.arrays import integers, ratios
from tracekit.model.rows import NOBODY, FoundRow, Hold, Options, Rows, Wait
from tracekit.words import count, duration, percent

KIND = "convoys"


@dataclass
class _Run:
    """Delayed short holds of one thread, with few others between."""

    start_seq: int
    start: int
    end_seq: int = 0
    end: int = 0
    cycles: int = 0
    gap: int = 0
    waited: int = 0
    held: int = 0
    hogs: Counter[int] = field(default_factory=Counter)
    waits: list[Wait] = field(default_factory=list)


class Convoys:
    """Follows each thread's holds. `settle` is told of each hold's wait, as soon as it is known, whether it was one of
    a convoy's delayed ones."""

    def __init__(self, options: Options, settle: Callable[[Wait, bool], None]) -> None:
        self._options = options
        self._settle = settle
        self._runs: dict[int, _Run] = {}

    def hold_ended(self, hold: Hold, end_seq: int, end: int, short: bool) -> FoundRow | None:
        """The convoy that this hold ends, if it does."""
        wait, held = hold.wait, end - hold.start
        if not short or wait is None:
            if wait:
                self._settle(wait, False)
            return self.end(hold.thread)
        run = self._runs.get(hold.thread)
        if wait.contended and hold.waited > 0 and hold.waited >= self._options.ratio * held:
            run = run or self._runs.setdefault(hold.thread, _Run(wait.start_seq, wait.start))
            run.end_seq, run.end = end_seq, end
            run.cycles += 1
            run.gap = 0
            run.waited += hold.waited
            run.held += held
            run.hogs.update(wait.blame)
            run.waits.append(wait)
            return None
        self._settle(wait, False)
        if run:
            run.gap += 1
            if run.gap > self._options.max_gap:
                return self.end(hold.thread)
        return None

    def end(self, thread: int) -> FoundRow | None:
        """Ends the thread's run; a convoy if it is long enough."""
        run = self._runs.pop(thread, None)
        if run is None:
            return None
        found = run.cycles >= self._options.min_cycles
        for wait in run.waits:
            self._settle(wait, found)
        if not found:
            return None
        run.hogs.pop(NOBODY, None)
        hog = max(run.hogs, key=lambda holder: (run.hogs[holder], -holder), default=NOBODY)
        more = (run.cycles, run.waited, run.held)
        return FoundRow(run.waited, run.start_seq, run.end_seq, run.start, run.end, more, thread, hog)


def columns(rows: Rows, to: ToArrow) -> dict[str, pa.Array]:
    """The table `convoys`."""
    waited, held = rows["more"][:, 1], rows["more"][:, 2]
    return span(rows, to) | {
        "thread": to.thread(rows["thread"]),
        "hog": to.thread(rows["other"]),
        "cycles": integers(rows["more"][:, 0]),
        "waited": integers(waited),
        "held": integers(held),
        "slowdown": ratios([(w + h) / h if h else None for w, h in zip(waited.tolist(), held.tolist(), strict=True)]),
    }


def losses(story: Story) -> Iterator[Loss]:
    for group in story.groups[KIND]:
        yield Loss(group.thread, group.other, group.count, group.lost, story.called[group.other])


def explain(story: Story) -> list[Finding]:
    """One finding for each hog. It costs what the thread waited that waited most."""
    groups = story.groups[KIND]
    found = []
    for hog in dict.fromkeys(group.other for group in groups):
        behind = [group for group in groups if group.other == hog]
        worst = behind[0]
        cycles, waited, held = worst.more
        if story.share(waited) < NAMED:
            continue
        thread, more = str(worst.thread), len(behind) - 1
        words = {
            "thread": story.names[thread],
            "hog": "nobody" if hog is None else story.names[hog],
            "interval": story.switch_interval,
        }
        title = (
            f"{words['thread']} (short holds) waited {percent(story.share(waited))} of the trace behind "
            f"{words['hog']}: {count(cycles, 'wait')} of {duration(waited // cycles, story.unit)} each, on "
            f"average, for {duration(held // cycles, story.unit)} of work."
        )
        if more:
            title += f" {count(more, 'other thread')} waited so too."
        explanation, advice = (text.format(**words) for text in (_NEW if story.new_gil else _OLD))
        threads = [name for name in (thread, hog, *(group.thread for group in behind[1:])) if name is not None]
        subject = story.called[hog]
        found.append(story.finding(KIND, waited, title, explanation, advice, [worst], threads, subject))
    return found


_OLD = (
    "{thread} gives the GIL up around each blocking call. When it comes back {hog} has it, and although {hog} releases "
    "it at every check it mostly takes it again before {thread} is awake.",
    "Move {hog} to a process, or run on Python 3.2 or newer, where the wait is at most one switch interval.",
)
_NEW = (
    "{thread} gives the GIL up around each blocking call, and {hog} takes it. A thread that wants it back sleeps for "
    "the switch interval ({interval}) before it may ask {hog} to drop it, every single time.",
    "Move {hog} to a process, lower sys.setswitchinterval, or release the GIL in the C code that {hog} runs.",
)

ANALYZER = Analyzer(
    kind=KIND,
    label="Convoys",
    fleet="{thread} convoys behind {hog}",
    losses=losses,
    explain=explain,
    needs=frozenset({"checks"}),
    columns=columns,
    colour="mark2",
)
