"""Failed retries: a thread slept on the GIL, woke up, and found it taken again.

Definition: docs/analyses.md. Their rows are the table `failed_retries` of a trace in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from tracekit.analyzers import long_holds
from tracekit.analyzers.finding import NAMED, Analyzer, Finding, Loss, Story
from tracekit.words import count, percent

KIND = "failed_retries"


def losses(story: Story) -> Iterator[Loss]:
    for thread, row in story.threads.items():
        if row["failed_retries"]:
            yield Loss(thread, story.hogs.get(thread), row["failed_retries"], row["retried_waited"])


def measure(story: Story) -> tuple[int, int]:
    """All failed retries, and what the thread lost by them that lost most."""
    every = list(losses(story))
    return sum(loss.count for loss in every), max((loss.lost for loss in every), default=0)


def explain(story: Story) -> list[Finding]:
    """One finding for the threads that wait long for it and that no other finding explains."""
    if any(finding.kind == long_holds.KIND for finding in story.findings):
        return []
    explained = {thread for finding in story.findings for thread in finding.threads}
    rows = [
        row
        for row in sorted(story.threads.values(), key=lambda row: -int(row["retried_waited"]))
        if row["thread"] not in explained and story.share(row["retried_waited"]) >= NAMED
    ]
    if not rows:
        return []
    worst = rows[0]
    threads = tuple(row["thread"] for row in rows)
    cost = max(row["retried_waited"] for row in rows)
    retries = count(worst["failed_retries"], "failed retry", "failed retries")
    title = (
        f"{story.names[worst['thread']]} slept on the GIL in vain: {percent(story.share(cost))} {story.of_trace} in "
        f"waits with {retries}."
    )
    if len(rows) > 1:
        title += f" So did {count(len(rows) - 1, 'other thread')}."
    explanation, advice = _NEW if story.new_gil else _OLD
    return [story.finding(KIND, cost, title, explanation, advice, (), threads)]


_OLD = (
    "A thread that sleeps on the GIL is signalled when it is released, but whoever is awake can take it first.",
    "Run on Python 3.2 or newer, or move CPU-bound work to processes.",
)
_NEW = (
    "Several threads want to run Python code at the same time, and one can. Each waits a switch interval for the "
    "holder to run on before it may ask for the GIL.",
    "Move CPU-bound work to processes or to C code that releases the GIL; on Python 3.13 and newer a free-threaded "
    "build has no GIL.",
)

ANALYZER = Analyzer(
    kind=KIND,
    label="Failed retries",
    fleet="{thread} retries in vain behind {hog}",
    losses=losses,
    explain=explain,
    needs=frozenset({"retries"}),
    measure=measure,
)
