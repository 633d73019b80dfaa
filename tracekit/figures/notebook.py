"""An analysis as a notebook shows it: its findings, and what its busiest threads did."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Protocol

from tracekit.analyzers.finding import Finding
from tracekit.figures.content import Drawable, bars, label
from tracekit.figures.plotly import COLOURS
from tracekit.words import percent

THREADS_SHOWN = 8
_CELL = "padding:1px 8px;text-align:left"
_BAR = f"width:260px;line-height:1;text-align:left;white-space:nowrap;background:{COLOURS['off']}"
_PART = "display:inline-block;height:11px"


class Summarised(Drawable, Protocol):
    @property
    def findings(self) -> Sequence[Finding]: ...


def render(analysis: Summarised) -> str:
    """HTML of a few lines, without script or style sheet."""
    findings = [
        f"<li><b>{finding.severity.upper()} {percent(finding.cost)}</b> {escape(finding.title)}<br>"
        f"{''.join(f'<small>{escape(line)}</small><br>' for line in finding.lines)}"
        f"<small>&rarr; {escape(finding.advice)}</small></li>"
        for finding in analysis.findings
    ]
    told = f"<ul>{''.join(findings)}</ul>" if findings else "<p>No contention worth naming.</p>"
    return f"<p><b>{escape(repr(analysis)[1:-1])}</b></p>{told}{_threads(analysis)}"


def _threads(analysis: Drawable) -> str:
    rows = bars(analysis).rows
    whole = max(1, analysis.duration)
    lines = []
    for thread, held, waited in rows[:THREADS_SHOWN]:
        shares = [held / whole, waited / whole]
        bar = "".join(
            f'<span style="{_PART};width:{100 * share:.2f}%;background:{COLOURS[state]}"></span>'
            for share, state in zip(shares, ("held", "busy"), strict=True)
        )
        lines.append(
            f'<tr><th style="{_CELL}">{escape(label(analysis, thread))}</th><td><div style="{_BAR}">{bar}</div></td>'
            f'<td style="{_CELL}">held {percent(shares[0])}, waited {percent(shares[1])}</td></tr>'
        )
    more = analysis.tables["threads"].num_rows - len(lines)
    rest = f"<p><small>and {more:,} more</small></p>" if more > 0 else ""
    return f"<table>{''.join(lines)}</table>{rest}"
