"""What `tracekit top` shows of an analysis: who holds the GIL and who waits for it, why, where, in which requests."""

from __future__ import annotations

import io
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracekit.reporters import requests
from tracekit.words import at_line, count, duration, fold, printable, share

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

SORTS = ("waited", "held", "name")
_THREADS, _LINES, _REQUESTS, _FINDINGS = 24, 8, 8, 4
_TEXT_WIDTH = 140


@dataclass(frozen=True)
class View:
    """What is wanted to be seen.

    Attributes:
        sort: of `SORTS`.
        only: threads, lines and requests in whose names this stands, in letters of any case; empty: all.
        threads: each thread by itself, and not those of one folded name together.
    """

    sort: str = SORTS[0]
    only: str = ""
    threads: bool = False

    def wants(self, name: str) -> bool:
        return self.only.casefold() in name.casefold()


class _Sum(NamedTuple):
    threads: int
    held: int
    waited: int
    causes: Counter[str]


def render(analysis: Analysis, view: View, about: str) -> RenderableType:
    """What rich prints. about: whose it is."""
    length, events = duration(analysis.duration, analysis.unit), count(analysis.events, "event")
    only = f", only {view.only!r}" if view.only else ""
    head = f"{about}: the last {length}, {events}, by {view.sort}{only}"
    parts: list[RenderableType] = [Text(printable(head))]
    tables = [_threads(analysis, view), _causes(analysis), _lines(analysis, view)]
    if analysis.requests.num_rows:
        tables.append(_requests(analysis, view))
    for table in tables:
        parts += ["", table]
    if analysis.findings:
        parts += ["", Text("what was found", style="bold")]
    return Group(*parts, *(Text(printable(finding.title)) for finding in analysis.findings[:_FINDINGS]))


def as_text(rendered: RenderableType) -> str:
    """For a page."""
    console = Console(width=_TEXT_WIDTH, file=io.StringIO(), record=True)
    console.print(rendered)
    return console.export_text()


def _threads(analysis: Analysis, view: View) -> Table:
    def called(thread: str) -> str:
        return analysis.names[thread] if view.threads else fold(analysis.called[thread])

    sums: dict[str, _Sum] = {}
    for row in analysis.threads.to_pylist():
        before = sums.get(called(row["thread"]), _Sum(0, 0, 0, Counter()))
        sums[called(row["thread"])] = _Sum(
            before.threads + 1, before.held + row["held"], before.waited + row["waited"], before.causes
        )
    for cause, waited_for in analysis.waited.items():
        for thread, each in waited_for.items():
            sums[called(thread)].causes[cause] += each.duration
    shown = [(name, of) for name, of in sums.items() if view.wants(name)]
    order = {"held": lambda row: -row[1].held, "waited": lambda row: -row[1].waited, "name": lambda row: row[0]}
    table = Table("threads", "", "held", "waited", "mostly for", box=None, expand=True)
    for name, of in sorted(shown, key=order[view.sort])[:_THREADS]:
        whole = analysis.duration * of.threads
        mostly = of.causes.most_common(1)[0][0].replace("_", " ") if of.waited and of.causes else ""
        number = "" if view.threads else str(of.threads)
        table.add_row(Text(printable(name)), number, share(of.held, whole), share(of.waited, whole), mostly)
    if len(shown) > _THREADS:
        table.add_row(f"and {count(len(shown) - _THREADS, 'more')}", "", "", "", "")
    return table


def _causes(analysis: Analysis) -> Table:
    table = Table("what all waited for", "waited", "of that", "most of it", box=None, expand=True)
    sums = {cause: sum(each.duration for each in of.values()) for cause, of in analysis.waited.items()}
    for cause, spent in sorted(sums.items(), key=lambda item: -item[1]):
        if spent:
            most = next(iter(analysis.waited[cause]))  # who waited longest comes first
            table.add_row(
                cause.replace("_", " "), duration(spent, analysis.unit), share(spent, sum(sums.values())),
                Text(printable(analysis.called[most])),
            )  # fmt: skip
    return table


def _lines(analysis: Analysis, view: View) -> Table:
    sums: dict[str, Counter[str]] = {}
    for row in analysis.lines.to_pylist():
        function, file = row["holder_function"], os.path.basename(row["holder_file"] or "")
        where = at_line(function, file, row["holder_line"]) if function else "unknown"
        if view.wants(where):
            sums.setdefault(where, Counter())[row["cause"]] += row["duration"]
    table = Table("who held the GIL meanwhile", "waited", "mostly for", box=None, expand=True)
    for where, causes in sorted(sums.items(), key=lambda item: -item[1].total())[:_LINES]:
        mostly = causes.most_common(1)[0][0].replace("_", " ")
        table.add_row(Text(printable(where)), duration(causes.total(), analysis.unit), mostly)
    return table


def _requests(analysis: Analysis, view: View) -> Table:
    table = Table("requests", "", "p50", "p99", "ran", "waited", "blocked", "mostly", box=None, expand=True)
    named = [one for one in requests.by_name(analysis) if view.wants(one.name)]
    order = {
        "held": lambda one: -one.row["held"],
        "waited": lambda one: -one.row["waited"],
        "name": lambda one: one.name,
    }
    for one in sorted(named, key=order[view.sort])[:_REQUESTS]:
        behind = Text(one.behind[0].words(analysis.unit) if one.behind and one.row["waited"] else "")
        times = (duration(one.row[name], analysis.unit) for name in ("p50", "p99"))
        table.add_row(Text(one.name), f"{one.row['requests']:,}", *times, *one.shares(), behind)
    return table
