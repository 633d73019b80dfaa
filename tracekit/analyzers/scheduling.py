"""Scheduling: the GIL is free, and the thread that wants it is not yet running.

Definition: docs/analyses.md. Told from the table `causes`.
"""

from __future__ import annotations

from functools import partial

from tracekit.analyzers.finding import Analyzer, Finding, Story
from tracekit.analyzers.waited import Hit, Holders, cause_findings, cause_losses, cause_measure
from tracekit.words import count, duration

KIND = CAUSE = "scheduling"
LOCK_COST = 1000
"""ns; who gets the free GIL sooner than this did not sleep: no operating system wakes a thread so fast."""
SLOW = 200_000
"""ns; the GIL stays free for so long at a switch only where no core is."""


def explain(story: Story) -> list[Finding]:
    return cause_findings(story, KIND, CAUSE, _words, lambda waited: _class(story, waited.duration, waited.waits))


def _class(story: Story, total: int, waits: int) -> str:
    """What such waits are. A wait can last over many switches to others, so how long it takes to wake a thread is not
    told by its length, but by how long the GIL stays free at a switch."""
    if story.unit == "ns" and total < LOCK_COST * waits:
        return "lock"
    return "slow" if story.unit == "ns" and (story.free_gap or 0) >= SLOW else "waking"


def _words(story: Story, hit: Hit, who: str, shares: str, behind: Holders) -> tuple[str, str, str]:
    total, waits = sum(each.duration for each in hit.waited), sum(each.waits for each in hit.waited)
    verb = "each spent" if len(hit.threads) > 1 else "spent"
    fewer = _FEWER if story.new_gil else _FEWER_OLD
    of_what = _class(story, total, waits)
    if of_what == "lock":
        each = f"{count(waits, 'wait')} of {duration(total // waits, story.unit)} each on average"
        title = f"{who} {verb} {shares} {story.of_trace} on taking a GIL that was free: {each}."
        return title, _LOCK, fewer
    gap = "" if story.free_gap is None else f": {duration(story.free_gap, story.unit)} on average at each switch"
    told = f"{shares} {story.of_trace} waiting while the GIL was free, until somebody had woken up to take it{gap}"
    title = f"{who} {verb} {told}."
    return (title, _BUSY, _CORES) if of_what == "slow" else (title, _WAKING, fewer)


_LOCK = (
    "Nobody was in the way. Taking and releasing a lock takes its time even when it is free, as does recording it, and "
    "this happened very often."
)
_WAKING = (
    "When the GIL becomes free, the operating system has to wake a thread that sleeps on it. Until that thread runs, "
    "nobody uses the GIL. A few microseconds are usual; each switch from thread to thread costs them."
)
_BUSY = (
    "When the GIL becomes free, the operating system has to wake a thread that sleeps on it. That takes microseconds, "
    "unless all cores are busy or the process has used up its CPU quota: here it took far longer."
)
_FEWER = (
    "Switch less often: do more at a time between blocking calls (batch them, buffer them), and use fewer threads for "
    "the same work."
)
_FEWER_OLD = (
    "Switch less often: raise sys.setcheckinterval where threads compute, do more at a time between blocking calls, "
    "and use fewer threads for the same work."
)
_CORES = (
    "Look at the machine's load, the CPU quota of the container (nr_throttled in cpu.stat) and the cores that the "
    "process may use; then switch less often, with fewer threads."
)

ANALYZER = Analyzer(
    kind=KIND,
    label="Scheduling",
    cause=CAUSE,
    reason="was not yet running, while the GIL was free",
    fleet="{thread} is slow to wake up for a free GIL",
    losses=partial(cause_losses, cause=CAUSE),
    measure=partial(cause_measure, cause=CAUSE),
    explain=explain,
)
