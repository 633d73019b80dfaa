"""The analysis as text, to be read in ten seconds."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tracekit.analyzers import ANALYZERS, KINDS
from tracekit.model.arrays import numbers
from tracekit.reporters import requests
from tracekit.reporters.sentences import (
    beside,
    facts,
    healthy,
    locks_behind_the_gil,
    not_observed,
    not_running,
    waiting,
)
from tracekit.words import count, duration, percent, printable, share

if TYPE_CHECKING:
    from tracekit.analysis import Analysis
    from tracekit.comparison import Comparison

GLOSSARY = "What the words mean: docs/glossary.md; `tracekit report` explains them where they stand."
THREADS_SHOWN = 20
BLAME_SHOWN = 5
PAIRS_SHOWN = 10  # of lines
DISTRIBUTIONS_SHOWN = 3  # threads of each kind
BLAME_LEAST = 0.001  # of the trace
REQUESTS_SHOWN = 10  # by name
SLOWEST_SHOWN = BEHIND_SHOWN = 3
LEAST_OF_REQUESTS = 0.01  # of their time: who kept them waiting for less is not told


def render(analysis: Analysis, kinds: Sequence[str] = KINDS) -> RenderableType:
    """What rich prints: the trace, its findings, its threads, who waited for whom, what is wrong with the trace.

    kinds: only findings of these.
    """
    parts: list[RenderableType] = [_heading(analysis), Text(), *_waiting(analysis), Text()]
    parts += [*_findings(analysis, kinds), Text(), _threads(analysis)]
    parts += [Text(), Text("Who waited for whom", style="bold"), *_blame(analysis)]
    if analysis.places:
        parts += [Text(), Text("Which line kept it, which line waited", style="bold"), *_pairs(analysis)]
    if analysis.requests.num_rows:
        parts += [Text(), Text("Requests, and what else was named as a region", style="bold"), *_requests(analysis)]
    parts += [Text(), Text("How long things took", style="bold"), _distributions(analysis)]
    if analysis.diagnostics:
        parts += [Text(), Text("About the trace itself", style="bold"), *_diagnostics(analysis)]
    return Group(*parts, Text(), Text(GLOSSARY, style="dim"))


def render_comparison(comparison: Comparison) -> RenderableType:
    """What rich prints of two traces: what became of the findings, then every metric before and after."""
    before, after = comparison.before, comparison.after
    parts: list[RenderableType] = [Text(printable(f"{before.path} -> {after.path}"), style="bold"), Text()]
    if comparison.meaningless:
        parts += [Text(printable(comparison.meaningless), style="bold red"), Text()]
    styles = {"new": "bold red", "worse": "bold red", "better": "bold green", "gone": "bold green"}
    for change in comparison.findings:
        line = Text(f"{change.what.upper()}  ", style=styles.get(change.what, "bold"))
        costs = f"{percent(change.cost_before)} -> {percent(change.cost_after)}"
        kind = ANALYZERS[change.kind].words
        parts.append(line.append(f"{kind}, {costs}: {change.title}", style="none"))
    if not comparison.findings:
        parts.append(Text("Nothing worth naming in either.", style="bold green"))
    parts += [Text(told, style="dim") for told in dict.fromkeys(map(not_observed, (before, after))) if told]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("")
    for column in ("before", "after", "change"):
        table.add_column(column, justify="right")
    for metric in comparison.metrics:
        values = (_metric(value, metric.unit) for value in (metric.before, metric.after))
        rise = _metric(metric.change, metric.unit, change=True)
        sign = "+" if metric.change and metric.change > 0 and not rise.startswith("0.0 ") else ""
        table.add_row(metric.name, *values, sign + rise)
    parts += [Text(), table]
    if comparison.lines:
        parts.append(Text("Waited while the GIL was held at", style="bold"))
    for place in comparison.lines:
        parts.append(Text(printable(f"  {place.where}: {percent(place.before)} -> {percent(place.after)}")))
    return Group(*parts)


def _metric(value: float | None, unit: str, change: bool = False) -> str:
    if value is None:
        return "-"
    if unit == "share":
        return f"{100 * value:.1f} {'points' if change else '%'}".replace("-0.0 ", "0.0 ")
    if unit == "ratio":
        return f"{value:.3f}"
    if unit in ("ns", "ticks"):
        return ("-" if value < 0 else "") + duration(abs(int(value)), unit)
    return f"{int(value):,}"


def _waiting(analysis: Analysis) -> list[RenderableType]:
    told, reasons = waiting(analysis)
    more: list[RenderableType] = []
    for text in filter(None, (not_running(analysis), locks_behind_the_gil(analysis))):
        more += [Text(), Text(text)]
    if not reasons:
        return [Text(told), *more]
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("of that", justify="right", no_wrap=True)
    table.add_column("", style="bold", no_wrap=True)
    table.add_column("a thread ...")
    table.add_column("hit hardest")
    for reason in reasons:
        table.add_row(reason.share, reason.kind, reason.why, Text(reason.hardest))
    return [Text(told), Text(), table, *more]


def _findings(analysis: Analysis, kinds: Sequence[str]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    explained: set[tuple[str, str]] = set()
    for finding in analysis.findings:
        if finding.kind in kinds:
            if lines:
                lines.append(Text())
            style = {"high": "bold red", "medium": "bold yellow"}.get(finding.severity, "bold")
            lines.append(Text(f"{finding.severity.upper()}  {finding.title}", style=style))
            lines += [Padding(Text(told), (0, 0, 0, 2)) for told in finding.lines]
            if (why := (finding.explanation, finding.advice)) not in explained:
                explained.add(why)
                lines.append(Padding(Text(finding.explanation), (0, 0, 0, 2)))
                lines.append(Padding(Text(f"-> {finding.advice}"), (0, 0, 0, 2)))
    hidden = sum(finding.kind not in kinds for finding in analysis.findings)
    if hidden:
        told = f"{count(hidden, 'finding')} of other kinds not shown."
        lines.append(
            Text(
                told
                if lines
                else f"Nothing worth naming of {', '.join(ANALYZERS[kind].words for kind in kinds)}. {told}",
                style="bold",
            )
        )
    elif not lines:
        lines.append(_healthy(analysis))
    told = not_observed(analysis)
    if told:
        lines.append(Text(printable(told), style="dim"))
    cut = [kind for kind, total in analysis.totals.found.items() if kind in kinds and total.kept < total.count]
    for kind in cut:
        total = analysis.totals.found[kind]
        which = ANALYZERS[kind].words
        note = f"--json lists the {total.kept:,} costliest of {total.count:,} {which}; what is said here counts all."
        lines.append(Text(note, style="dim"))
    return lines


def _healthy(analysis: Analysis) -> Text:
    return Text(healthy(analysis), style="bold green" if analysis.duration else "bold")


def _heading(analysis: Analysis) -> Text:
    about = analysis.metadata
    heading = Text(printable(analysis.path), style="bold")
    if "workload" in about:
        heading.append("\n" + printable(about["workload"]), style="italic not bold")
    heading.append("\n" + printable(", ".join(facts(analysis))), style="not bold")
    return heading.append(f"\n{told}", style="not bold") if (told := beside(analysis)) else heading


def _threads(analysis: Analysis) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("thread", overflow="fold")
    counts = ("failed\nretries", "lost\nrounds", "check\nreleases", "blocking\nreleases")
    for column in ("held", "waited", "contended", *counts):
        table.add_column(column, justify="right", overflow="fold")
    rows = analysis.threads.to_pylist()
    if len(rows) > THREADS_SHOWN:
        rows = nlargest(THREADS_SHOWN, rows, key=lambda row: row["held"] + row["waited"])
    for row in rows:
        table.add_row(
            Text(analysis.names[row["thread"]]),
            share(row["held"], analysis.duration),
            share(row["waited"], analysis.duration),
            share(row["contended_waits"], max(row["entries"], row["contended_waits"])),
            *(
                "-" if row[name] is None else f"{row[name]:,}"
                for name in ("failed_retries", "lost_rounds", "check_releases", "blocking_releases")
            ),
        )
    notes = "held, waited: share of the trace's duration. contended: share of its waits that found the GIL taken."
    more = analysis.threads.num_rows - THREADS_SHOWN
    if more > 0:
        notes += f"\nThe {THREADS_SHOWN} busiest; --json has the {more:,} others too."
    return Group(table, Text(notes, style="dim"))


def _blame(analysis: Analysis) -> list[Text]:
    whole = analysis.duration
    waited = dict(zip(analysis.threads["thread"].to_pylist(), analysis.threads["waited"].to_pylist(), strict=True))
    lines = []
    costliest = np.argsort(-numbers(analysis.blame.column("duration").combine_chunks()), kind="stable")
    for place in costliest[:BLAME_SHOWN].tolist():
        (row,) = analysis.blame.slice(place, 1).to_pylist()
        part = row["duration"]
        if part < BLAME_LEAST * whole:
            break
        length = f"{share(part, whole)} of the trace ({duration(part, analysis.unit)})"
        of_its_wait = f"{share(part, waited[row['waiter']])} of all its waiting"
        while_what = (
            f"while {analysis.names[row['holder']]} held the GIL"
            if row["holder"] is not None
            else "while the GIL was free and it was not yet scheduled"
        )
        lines.append(Text(f"  {analysis.names[row['waiter']]} waited {length} {while_what}: {of_its_wait}."))
    if not lines:
        return [Text(f"  Nobody waited for even {100 * BLAME_LEAST:g} % of the trace.")]
    rest = analysis.blame.num_rows - len(lines)
    if rest:
        lines.append(Text(f"  {count(rest, 'smaller entry', 'smaller entries')} in --json.", style="dim"))
    return lines


def _pairs(analysis: Analysis) -> list[RenderableType]:
    pairs = analysis.places.pairs(PAIRS_SHOWN)
    if not pairs:
        return [Text("  Nobody waited while another thread held the GIL.")]
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("of that", "waited"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("while held at", "at"):
        table.add_column(column, overflow="fold")
    for pair in pairs:
        row = (percent(pair.share), duration(pair.duration, analysis.unit), pair.held, pair.waited)
        table.add_row(*map(Text, row))
    return [table]


def _requests(analysis: Analysis) -> list[RenderableType]:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("")
    for column in ("count", "p50", "p90", "p99", "max", "ran", "waited for\nthe GIL", "blocked", "waited,\np90"):
        table.add_column(column, justify="right")
    named = requests.by_name(analysis)
    lines: list[RenderableType] = []
    for of in named[:REQUESTS_SHOWN]:
        values = (duration(of.row[part], analysis.unit) for part in ("p50", "p90", "p99", "max"))
        waited = duration(of.row["waited_p90"], analysis.unit)
        table.add_row(Text(of.name), f"{of.row['requests']:,}", *values, *of.shares(), waited)
    for of in named[:REQUESTS_SHOWN]:
        if of.behind and of.row["waited"] >= LEAST_OF_REQUESTS * of.row["duration"]:
            listed = "; ".join(behind.words(analysis.unit) for behind in of.behind[:BEHIND_SHOWN])
            lines.append(Text(f"  {of.name} waited {listed}."))
    lines += [Text(), Text("The slowest:")]
    lines += [Text(f"  {requests.told_slowest(analysis, one)}") for one in requests.slowest(analysis, SLOWEST_SHOWN)]
    notes = [requests.left_out(analysis)]
    if len(named) > REQUESTS_SHOWN:
        notes.append(f"{count(len(named) - REQUESTS_SHOWN, 'other name')} in --json.")
    return [table, *lines, *(Text(note, style="dim") for note in notes if note)]


def _distributions(analysis: Analysis) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("thread", overflow="fold")
    for column in ("count", "p50", "p90", "p99", "max"):
        table.add_column(column, justify="right")
    every = analysis.distributions.to_pylist()
    for kind, words in (
        ("contended_wait", "contended waits"),
        ("hold", "holds"),
        ("switch_latency", "switch latency, to"),
    ):
        rows = [row for row in every if row["kind"] == kind]
        for row in nlargest(DISTRIBUTIONS_SHOWN, rows, key=lambda row: (row["p50"] * row["count"], row["max"])):
            values = (duration(row[name], analysis.unit) for name in ("p50", "p90", "p99", "max"))
            table.add_row(words, Text(analysis.names[row["thread"]]), f"{row['count']:,}", *values)
            words = ""
    notes = [] if analysis.totals.exact else [Text("Quantiles are rounded down to 8 significant bits.", style="dim")]
    return Group(table, *notes)


def _diagnostics(analysis: Analysis) -> list[Text]:
    lines = []
    for diagnostic in analysis.diagnostics:
        where = f", first at line {diagnostic.first_line:,}" if diagnostic.first_line else ""
        text = Text(f"  {diagnostic.severity:5}  ", style="red" if diagnostic.severity == "error" else "dim")
        text.append(f"{diagnostic.count:,} × {diagnostic.code}{where}: {diagnostic.meaning}.", style="none")
        lines.append(text)
    return lines
