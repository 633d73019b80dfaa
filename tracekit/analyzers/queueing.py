"""Queueing: a thread comes back from a blocking call, and waits behind threads that hold the GIL for ordinary lengths.

Definition: docs/analyses.md. Told from the table `causes`; it is the cause of every wait that has no other.
"""

from __future__ import annotations

from functools import partial

from tracekit.analyzers.finding import Analyzer, Finding, Story
from tracekit.analyzers.waited import Hit, Holders, behind_whom, cause_findings, cause_losses, cause_measure
from tracekit.words import percent

KIND = CAUSE = "queueing"


def explain(story: Story) -> list[Finding]:
    return cause_findings(story, KIND, CAUSE, _words)


def _words(story: Story, hit: Hit, who: str, shares: str, behind: Holders) -> tuple[str, str, str]:
    verb = "each waited" if len(hit.threads) > 1 else "waited"
    title = f"{who} {verb} {shares} {story.of_trace} until the GIL was free again, {behind_whom(behind)}."
    explanation = _EXPLANATION if story.release_kinds_known else _UNKNOWN
    if behind.thread:
        held = story.share(story.threads[behind.thread]["held"])
        explanation += f" {behind.text} held the GIL for {percent(held)} {story.of_trace}."
        return title, explanation, _ONE.format(holder=behind.text)
    return title, explanation, _MANY


_EXPLANATION = (
    "A thread that comes back from a blocking call (I/O, a sleep, a lock), or begins, needs the GIL before it can go "
    "on, and these found it taken. No single hold was long: others were using it."
)
_UNKNOWN = (
    "The GIL was taken when these threads wanted it, and no single hold was long. Whether they came back from a "
    "blocking call or wanted to go on computing, the trace does not tell."
)
_ONE = (
    "Move the Python work of {holder} to a process, or do less of it at a time. If these waits do not make anything "
    "late that matters, leave it."
)
_MANY = (
    "The threads share one GIL, so the Python code that they run between blocking calls adds up: make that code "
    "cheaper, or spread the threads over several processes. Fewer threads in a process wait less each, and get as "
    "much done."
)

ANALYZER = Analyzer(
    kind=KIND,
    label="Queueing",
    cause=CAUSE,
    reason="came back from a blocking call, or began, while others were using the GIL",
    fleet="{thread} queues for the GIL behind {hog}",
    losses=partial(cause_losses, cause=CAUSE),
    measure=partial(cause_measure, cause=CAUSE),
    explain=explain,
)
