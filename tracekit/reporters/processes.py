"""The processes of a program beside each other: which of them matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracekit.words import count, duration, percent, printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

SHOWN = 20
_COMMAND = 60  # characters


def render(folder: str, analyses: Sequence[Analysis]) -> RenderableType:
    """What rich prints of all traces in a folder: those first in which threads waited longest for findings."""
    ranked = sorted(analyses, key=_lost, reverse=True)
    matter = [analysis for analysis in ranked if analysis.findings]
    rest = len(ranked) - len(matter)
    parts: list[RenderableType] = [Text(printable(folder), style="bold"), Text(_verdict(len(matter), rest))]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("process", no_wrap=True)
    for column in ("of", "ran", "threads", "costs"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("what it is, and what is wrong with it", overflow="fold")
    for analysis in ranked[:SHOWN]:
        about, findings = analysis.metadata, analysis.findings
        command = about.get("command", analysis.path)
        what = Text(printable(command if len(command) <= _COMMAND else command[: _COMMAND - 1] + "…"), style="dim")
        if findings:
            what.append(f"\n{findings[0].title}", style="not dim")
        table.add_row(
            Text(printable(_process(analysis))),
            Text(printable(about.get("forked-by", about.get("started-by", "-")))),
            duration(analysis.duration, analysis.unit),
            f"{analysis.threads.num_rows:,}",
            percent(findings[0].cost) if findings else "-",
            what,
        )
    parts.append(table)
    notes = ["of: the process that forked or started it. costs: share of its time that its costliest finding costs."]
    if len(ranked) > SHOWN:
        notes.append(f"Not shown: {count(len(ranked) - SHOWN, 'process', 'processes')} that cost less. --json has all.")
    parts.append(Text("\n".join(notes), style="dim"))
    if matter:
        parts.append(Text(printable(f"Look at the first: tracekit analyze {matter[0].path}")))
    return Group(*parts)


def _process(analysis: Analysis) -> str:
    about = analysis.metadata
    interpreter = f", interpreter {about['interpreter']}" if "interpreter" in about else ""
    return about.get("pid", analysis.path) + interpreter


def _lost(analysis: Analysis) -> tuple[float, int]:
    costs = max((finding.cost for finding in analysis.findings), default=0.0)
    return costs * analysis.duration, analysis.events


def _verdict(matter: int, rest: int) -> str:
    others = count(rest, "process", "processes")
    if not matter:
        of_all = f"None of the {others}" if rest > 1 else "The one process there is does not"
        return f"{of_all} matter{'s' if rest > 1 else ''}: no thread waited long for the GIL."
    told = f"{matter:,} of the {count(matter + rest, 'process', 'processes')} matter{'s' if matter == 1 else ''}"
    return f"{told}. In the {others} left there is nothing worth naming." if rest else f"{told}."
