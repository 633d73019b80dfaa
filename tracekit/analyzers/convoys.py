"""Convoys: short holds that each wait long behind the same hog.

bugs.python.org issue 7946. Definition: docs/analyses.md. In a `FoundRow`: other the hog, more (cycles, waited, held,
0).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from tracekit.analyzers.finding import NAMED, Analyzer, Finding, Loss, Story, ToArrow, Waited, span
from tracekit.analyzers.waited import behind_whom, holders, shares_of, who_are
from tracekit.model.arrays import integers, ratios
from tracekit.model.rows import NOBODY, FoundRow, Hold, Options, Rows, Wait
from tracekit.words import count, duration

KIND = "convoys"
CAUSE = "convoy"


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
        enough = run.cycles >= self._options.min_cycles
        for wait in run.waits:
            self._settle(wait, enough)
        if not enough:
            return None
        run.hogs.pop(NOBODY, None)
        hog = max(run.hogs, key=lambda holder: (run.hogs[holder], -holder), default=NOBODY)
        more = (run.cycles, run.waited, run.held, 0)
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
    subjects = {thread: _subject(story, waited) for thread, waited in story.causes[CAUSE].items()}
    for group in story.groups[KIND]:
        subject = subjects.get(str(group.thread), story.called[group.other])
        yield Loss(group.thread, group.other, group.count, group.lost, subject)


def _subject(story: Story, waited: Waited) -> str:
    """The hog, where there is one: who waits behind it is one finding."""
    behind = holders(story, [waited])
    return story.called[behind.thread] if behind.thread else ""


def explain(story: Story) -> list[Finding]:
    """One finding for each hog, and one for those who wait behind many. It costs what the thread waited that waited
    most; waits behind long holds are not told here, though they are in the table."""
    lost = story.causes[CAUSE]
    together: dict[str, list[str]] = {}
    for thread, waited in lost.items():
        if story.share(waited.duration) >= NAMED:
            together.setdefault(_subject(story, waited), []).append(thread)
    findings = []
    for subject, threads in together.items():
        worst = threads[0]
        behind = holders(story, [lost[thread] for thread in threads], threads)
        groups = [group for group in story.groups[KIND] if group.thread in threads]
        cycles, spent, held = (sum(group.more[place] for group in groups) for place in range(3))
        who, verb = " and ".join(who_are(story, threads)), "each waited" if len(threads) > 1 else "waited"
        shares = shares_of(story, [lost[thread].duration for thread in threads])
        title = (
            f"{who} {verb} {shares} {story.of_trace} {behind_whom(behind)}, time and again for a little work: "
            f"{count(cycles, 'wait')} of {duration(spent // cycles, story.unit)} each on average, for "
            f"{duration(held // cycles, story.unit)} of work."
        )
        explanation, advice = _NEW if story.new_gil else _OLD
        explanation = explanation.format(interval=story.shown_interval)
        advice = advice.format(holder=behind.text) if behind.thread else _MANY
        named = list(dict.fromkeys([worst, *([behind.thread] if behind.thread else []), *threads]))
        cost, worsts = lost[worst].duration, [group for group in groups if group.thread == worst]
        told = story.places.of(CAUSE, waiters=threads)
        findings.append(story.finding(KIND, cost, title, explanation, advice, worsts, named, subject, told))
    return findings


_OLD = (
    "A thread that gives the GIL up around each blocking call finds it taken when it comes back. Who computes "
    "releases it at every check, but mostly takes it again before the thread that was signalled is awake.",
    "Move the computing of {holder} to a process, or run on Python 3.2 or newer, where the wait is at most one switch "
    "interval.",
)
_NEW = (
    "A thread that gives the GIL up around each blocking call finds it taken when it comes back. It waits until the "
    "holder blocks too, or for the switch interval ({interval}), after which it may ask the holder to let go. So it "
    "goes every single time.",
    "Move the computing of {holder} to a process, or lower sys.setswitchinterval: each wait gets shorter, for more "
    "switches.",
)
_MANY = (
    "No single thread is to blame: the Python code that the threads run between blocking calls adds up. Make it "
    "cheaper, spread the threads over several processes, or use fewer."
)

ANALYZER = Analyzer(
    kind=KIND,
    label="Convoys",
    cause=CAUSE,
    reason="came back for a little work after a blocking call, and each time waited far longer than it worked",
    fleet="{thread} convoys behind {hog}",
    losses=losses,
    explain=explain,
    needs=frozenset({"checks"}),
    columns=columns,
    colour="mark2",
)
