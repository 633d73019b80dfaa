"""Failed retries: a thread slept on the GIL, woke up, and found it taken again.

Definition: docs/analyses.md. Their rows are the table `failed_retries` of a trace in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracekit.analyzers.finding import NAMED, Finding, Story
from tracekit.words import count, percent

NEEDS = frozenset({"retries"})
"""What a trace must tell for these to be seen (`tracekit.observed`)."""


def explain(others: Sequence[Finding], story: Story) -> list[Finding]:
    """One finding for the threads that wait long for it and that no other finding explains."""
    if any(finding.kind == "long_holds" for finding in others):
        return []
    explained = {thread for finding in others for thread in finding.threads}
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
        f"{story.names[worst['thread']]} slept on the GIL in vain: {percent(story.share(cost))} of the trace in "
        f"waits with {retries}{_mostly_behind(worst, story)}."
    )
    if len(rows) > 1:
        title += f" So did {count(len(rows) - 1, 'other thread')}."
    explanation, advice = _NEW if story.new_gil else _OLD
    return [story.finding("failed_retries", cost, title, explanation, advice, (), threads)]


def _mostly_behind(waiter: Mapping[str, Any], story: Story) -> str:
    holder = next((row["holder"] for row in story.blamed(waiter["thread"]) if row["holder"] is not None), None)
    return "" if holder is None else f", mostly behind {story.names[holder]}"


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
