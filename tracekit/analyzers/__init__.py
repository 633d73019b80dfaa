"""Analyzers, each one file: how a kind of finding is recognised (its plain-Python reading), its table, and its words.

`ANALYZERS` lists them; nothing registers itself. The native core's reading is in `_native/timeline.c`.
"""

from __future__ import annotations

from dataclasses import replace

from tracekit.analyzers import (
    battles,
    convoys,
    failed_retries,
    frozen_signals,
    long_holds,
    preemption,
    queueing,
    saturation,
    scheduling,
)
from tracekit.analyzers.finding import Analyzer, Finding, Story

ANALYZERS: dict[str, Analyzer] = {
    analyzer.kind: analyzer
    for analyzer in (
        battles.ANALYZER,
        convoys.ANALYZER,
        frozen_signals.ANALYZER,
        long_holds.ANALYZER,
        saturation.ANALYZER,
        queueing.ANALYZER,
        preemption.ANALYZER,
        scheduling.ANALYZER,
        failed_retries.ANALYZER,  # behind those that explain them
    )
}
"""By kind. Those that the state machine collects come first, in the native core's order."""

KINDS = tuple(ANALYZERS)
"""All kinds of findings."""

COLLECTED = tuple(kind for kind, analyzer in ANALYZERS.items() if analyzer.columns)
"""Those that have a table of their own."""


def explain(story: Story) -> tuple[Finding, ...]:
    """The findings worth naming, costliest first."""
    for analyzer in ANALYZERS.values():
        if not analyzer.needs & story.unobserved:
            story = replace(story, findings=(*story.findings, *analyzer.explain(story)))
    return tuple(sorted(story.findings, key=lambda finding: -finding.cost))
