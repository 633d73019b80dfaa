"""The processes of a program beside each other: which of them matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracekit.reporters.matter import SHOWN, ranked, told, verdict
from tracekit.words import count, duration, percent, printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis


def render(folder: str, analyses: Sequence[Analysis]) -> RenderableType:
    """What rich prints of all traces in a folder: those first in which threads waited longest for findings."""
    order = ranked(analyses)
    parts: list[RenderableType] = [Text(printable(folder), style="bold"), Text(verdict(order))]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("process", no_wrap=True)
    for column in ("of", "ran", "threads", "costs"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("what it is, and what is wrong with it", overflow="fold")
    for analysis in order[:SHOWN]:
        process = told(analysis)
        what = Text(process.command, style="dim")
        if process.finding:
            what.append(f"\n{process.finding}", style="not dim")
        table.add_row(
            Text(process.pid),
            Text(process.of),
            duration(analysis.duration, analysis.unit),
            f"{analysis.threads.num_rows:,}",
            "-" if process.cost is None else percent(process.cost),
            what,
        )
    parts.append(table)
    notes = ["of: the process that forked or started it. costs: share of its time that its costliest finding costs."]
    if len(order) > SHOWN:
        notes.append(f"Not shown: {count(len(order) - SHOWN, 'process', 'processes')} that cost less. --json has all.")
    parts.append(Text("\n".join(notes), style="dim"))
    if order[0].findings:
        parts.append(Text(printable(f"Look at the first: tracekit analyze {order[0].path}")))
    return Group(*parts)
