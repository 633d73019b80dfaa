"""A fleet's summary as text."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tracekit.fleet.reporters import headline, more, share, told
from tracekit.fleet.summary import SHARES, Side, Spread, Summary
from tracekit.words import count, duration, printable

CAUSES, LINES, PROCESSES, OUTLIERS, SIDES, ERRORS = 10, 10, 10, 5, 8, 5
_POOLED = {
    "wait": "waits", "contended_wait": "contended waits", "hold": "holds", "switch_latency": "switch latency"
}  # fmt: skip


def render(summary: Summary) -> RenderableType:
    """What rich prints: causes, processes, outliers, spreads, versions and hosts, errors."""
    parts: list[RenderableType] = [_heading(summary)]
    if summary.causes:
        parts += _titled("From what", *_causes(summary))
    if summary.waited:
        parts += _titled("What threads waited for", _waited(summary))
    if summary.lines:
        parts += _titled("At which lines the GIL was held meanwhile", _lines(summary), *_more(summary, "lines", LINES))
    if summary.processes:
        parts += _titled("Who loses most", _processes(summary), *_more(summary, "processes", PROCESSES))
    if summary.outliers:
        parts += _titled("Out of line", *_outliers(summary))
    if summary.analyzed > 1:
        parts += _titled("Over all processes", _spreads(summary.spreads))
    if summary.pooled:
        parts += _titled("How long things took, in all processes", _pooled(summary))
    for title, name, sides in (("Versions", "versions", summary.versions), ("Hosts", "hosts", summary.hosts)):
        if any(side.name for side in sides):
            parts += _titled(title, _sides(sides), *_more(summary, name, SIDES))
    if summary.errors:
        parts += _titled("Not analyzed, or not to the end", *_errors(summary))
    return Group(*parts)


def _titled(title: str, *parts: RenderableType) -> list[RenderableType]:
    return [Text(), Text(title, style="bold"), *parts]


def _more(summary: Summary, name: str, shown: int) -> list[RenderableType]:
    rest = more(summary, name, shown)
    return [Text(f"  {rest}", style="dim")] if rest else []


def _heading(summary: Summary) -> Text:
    facts = [count(summary.analyzed, "process", "processes"), count(summary.events, "event")]
    facts += [duration(total, unit) for unit, total in summary.durations.items()]
    if summary.counts["errors"]:
        facts.append(count(summary.counts["errors"], "error"))
    if summary.root:
        facts.append(f"traces in {summary.root}")
    style = "bold red" if summary.suffering else "bold green"
    return Text(headline(summary), style=style).append("\n" + printable(", ".join(facts)), style="not bold default")


def _causes(summary: Summary) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for cause in summary.causes[:CAUSES]:
        lines.append(Text(f"  {told(cause, summary)}"))
        worst = f"at worst {share(cause.worst)}: {printable(summary.short(cause.trace))}"
        if cause.processes > 1:
            lines.append(Padding(Text(worst, style="dim"), (0, 0, 0, 4)))
    return lines + _more(summary, "causes", CAUSES)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        text = not place or column in ("from", "host", "python")
        table.add_column(column, justify="left" if text else "right", overflow="fold")
    return table


def _processes(summary: Summary) -> Table:
    hosts = any(process.host for process in summary.processes)
    table = _table("lost", *(["host"] if hosts else []), "trace", "from")
    table.columns[0].justify = "right"
    table.columns[-2].justify = "left"
    for process in summary.processes[:PROCESSES]:
        where = [printable(process.host or "-")] if hosts else []
        cells = [share(process.lost), *where, printable(summary.short(process.trace)), process.cause or "-"]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _waited(summary: Summary) -> Table:
    table = _table("", "processes", "of their time, mean", "at worst", "most of it", "in")
    for column in table.columns[-2:]:
        column.justify = "left"
    for one in summary.waited:
        numbers = (f"{one.processes:,}", share(one.share), share(one.worst))
        words = (printable(one.group), printable(summary.short(one.trace)))
        table.add_row(one.cause.replace("_", " "), *numbers, *map(Text, words))
    return table


def _lines(summary: Summary) -> Table:
    table = _table("", "processes", "of their time, mean", "at worst", "waited most")
    table.columns[-1].justify = "left"
    for one in summary.lines[:LINES]:
        numbers = (f"{one.processes:,}", share(one.share), share(one.worst))
        table.add_row(Text(printable(one.where)), *numbers, Text(printable(one.waiter or "unknown")))
    return table


def _outliers(summary: Summary) -> list[RenderableType]:
    lines: list[RenderableType] = [
        Text(
            f"  {printable(summary.short(one.trace))}: {SHARES[one.share]} {share(one.value)}, "
            f"where the median is {share(one.median)}"
        )
        for one in summary.outliers[:OUTLIERS]
    ]
    return lines + _more(summary, "outliers", OUTLIERS)


def _spreads(spreads: Sequence[Spread]) -> Table:
    table = _table("", "p10", "p50", "p90", "p99", "max")
    for spread in spreads:
        values = (spread.p10, spread.p50, spread.p90, spread.p99, spread.max)
        shown = (share(value) if spread.unit == "share" else duration(int(value), spread.unit) for value in values)
        table.add_row(spread.name, *shown)
    return table


def _pooled(summary: Summary) -> Table:
    table = _table("", "count", "p50 up to", "p90 up to", "p99 up to")
    for pooled in summary.pooled:
        quantiles = (duration(value, "ns") for value in (pooled.p50, pooled.p90, pooled.p99))
        table.add_row(_POOLED[pooled.kind], f"{pooled.count:,}", *quantiles)
    return table


def _sides(sides: Sequence[Side]) -> Table:
    table = _table("", "processes", "suffer", "lost, median", "lost, p90", "from")
    for side in sides[:SIDES]:
        name = "not told" if side.name is None else printable(side.name)
        numbers = (f"{side.processes:,}", f"{side.suffering:,}", share(side.p50), share(side.p90))
        table.add_row(Text(name), *numbers, Text(side.cause or "-"))
    return table


def _errors(summary: Summary) -> list[RenderableType]:
    lines: list[RenderableType] = [
        Text(f"  {printable(problem.code)}  {printable(problem.message)}", style="red")
        for problem in summary.errors[:ERRORS]
    ]
    return lines + _more(summary, "errors", ERRORS)
