"""Preemption: threads wait for one that holds the GIL and does not run either.

Definition: docs/analyses.md. Told from the table `causes`; only traces that tell the CPU time of holds have it.
"""

from __future__ import annotations

from functools import partial

from tracekit.analyzers.finding import Analyzer, Finding, Story
from tracekit.analyzers.waited import Hit, Holders, behind_whom, cause_findings, cause_losses, cause_measure

KIND = CAUSE = "preemption"


def explain(story: Story) -> list[Finding]:
    return cause_findings(story, KIND, CAUSE, _words)


def _words(story: Story, hit: Hit, who: str, shares: str, behind: Holders) -> tuple[str, str, str]:
    verb = "each waited" if len(hit.threads) > 1 else "waited"
    title = f"{who} {verb} {shares} {story.of_trace} for a GIL whose holder was not running, {behind_whom(behind)}."
    return title, _EXPLANATION, _ADVICE


_EXPLANATION = (
    "In each of these holds, of 1 ms or longer, the holder used the CPU for less than half of the time. It kept the "
    "GIL while it did not run: most often because the machine's cores were busy with other work, or the process had "
    "used up its CPU quota; else because it slept in C code that does not release the GIL."
)
_ADVICE = (
    "First look at the machine: its load, the CPU quota of the container (nr_throttled in cpu.stat), the cores that "
    "the process may use. Give it more CPU, or run fewer busy processes beside it. Only if the cores were idle, look "
    "for a blocking call in C code that keeps the GIL."
)

ANALYZER = Analyzer(
    kind=KIND,
    label="Preemption",
    cause=CAUSE,
    reason="wanted the GIL while the one that held it was not running either",
    fleet="{thread} waits while {hog} holds the GIL without running",
    losses=partial(cause_losses, cause=CAUSE),
    measure=partial(cause_measure, cause=CAUSE),
    explain=explain,
)
