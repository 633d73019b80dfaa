"""Saturation: threads that compute take turns, since more of them want the GIL than the one that can have it.

Definition: docs/analyses.md. Told from the table `causes`.
"""

from __future__ import annotations

from functools import partial

from tracekit.analyzers.finding import Analyzer, Finding, Story
from tracekit.analyzers.waited import Hit, Holders, behind_whom, cause_findings, cause_losses, cause_measure

KIND = CAUSE = "saturation"


def explain(story: Story) -> list[Finding]:
    return cause_findings(story, KIND, CAUSE, _words)


def _words(story: Story, hit: Hit, who: str, shares: str, behind: Holders) -> tuple[str, str, str]:
    verb = "each waited" if len(hit.threads) > 1 else "waited"
    title = f"{who} {verb} {shares} {story.of_trace} for a turn to go on computing, {behind_whom(behind)}."
    rows = [story.threads[thread] for thread in story.threads]
    wanted = sum(row["held"] + row["waited"] for row in rows) / story.duration
    explanation, advice = _NEW if story.new_gil else _OLD
    if wanted >= 1:
        explanation += (
            f" On average {wanted:.1f} of the {len(rows):,} threads held or wanted the GIL at the same time, and "
            "only one can have it: more threads will not help."
        )
    return title, explanation, advice


_NEW = (
    "Only the thread that holds the GIL runs Python code. One that computes has to let go of it once per switch "
    "interval when others want it, and then waits for its turn to come again. It would be computing, if it could.",
    "Move the computing to processes (ProcessPoolExecutor), or into native code that releases the GIL (NumPy, or "
    "your own C, Cython or Rust). From Python 3.13 on a free-threaded build has no GIL, and from 3.14 on "
    "InterpreterPoolExecutor gives each interpreter its own. Using fewer threads costs nothing: one computes as fast "
    "as all of them.",
)
_OLD = (
    "Only the thread that holds the GIL runs Python code. One that computes has to let go of it at every check, and "
    "then waits for its turn to come again. It would be computing, if it could.",
    "Move the computing to processes (multiprocessing), or into native code that releases the GIL. A larger "
    "sys.setcheckinterval makes the turns longer and wastes less on switching. Using fewer threads costs nothing: one "
    "computes as fast as all of them.",
)

ANALYZER = Analyzer(
    kind=KIND,
    label="Saturation",
    cause=CAUSE,
    reason="had to let others run, and wanted to go on computing",
    fleet="{thread} waits for a turn to compute, behind {hog}",
    losses=partial(cause_losses, cause=CAUSE),
    measure=partial(cause_measure, cause=CAUSE),
    explain=explain,
    needs=frozenset({"checks"}),
)
