"""Analyzers, each one file: how a kind of finding is told (its plain-Python reading), its table, and its words.

`ANALYZERS` lists them; nothing registers itself. The native core's reading is in `_native/timeline.c`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tracekit.analyzers import battles, convoys, failed_retries, frozen_signals, long_holds
from tracekit.analyzers.finding import Finding, Group, Story, ToArrow
from tracekit.model.rows import Rows


@dataclass(frozen=True)
class Analyzer:
    """`needs`: what a trace must tell for these to be seen. `columns` makes the table of its rows, `explain` puts all
    its findings into words, costliest group first."""

    kind: str
    needs: frozenset[str]
    columns: Callable[[Rows, ToArrow], dict[str, pa.Array]]
    explain: Callable[[Sequence[Group], Story], list[Finding]]


ANALYZERS = (
    Analyzer("battles", battles.NEEDS, battles.columns, battles.explain),
    Analyzer("convoys", convoys.NEEDS, convoys.columns, convoys.explain),
    Analyzer("frozen_signals", frozen_signals.NEEDS, frozen_signals.columns, frozen_signals.explain),
    Analyzer("long_holds", long_holds.NEEDS, long_holds.columns, long_holds.explain),
)

KINDS = (*(analyzer.kind for analyzer in ANALYZERS), "failed_retries")
"""All kinds of findings. Failed retries have no table of their own in a streamed analysis."""

NEEDS = {**{analyzer.kind: analyzer.needs for analyzer in ANALYZERS}, "failed_retries": failed_retries.NEEDS}


def explain(groups: Mapping[str, Sequence[Group]], story: Story) -> tuple[Finding, ...]:
    """The findings worth naming, costliest first. `groups`: those of each analyzer, costliest first."""
    found = [finding for analyzer in ANALYZERS for finding in analyzer.explain(groups[analyzer.kind], story)]
    if not failed_retries.NEEDS & story.unobserved:
        found += failed_retries.explain(found, story)
    return tuple(sorted(found, key=lambda finding: -finding.cost))
