"""The analysis as text, to be read in ten seconds."""

from __future__ import annotations

from heapq import nlargest
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracekit.analysis import Analysis
from tracekit.diagnostics import MEANINGS
from tracekit.words import count, duration, printable, share

THREADS_SHOWN = 20
BLAME_SHOWN = 5
BLAME_LEAST = 0.001  # of the trace


def render(analysis: Analysis) -> RenderableType:
    """What rich prints: the trace, its threads, who waited for whom, what is wrong with the trace."""
    names = {t["thread"]: _shown_name(t["thread"], t["name"]) for t in _named(analysis)}
    parts: list[RenderableType] = [_heading(analysis), Text(), _threads(analysis, names)]
    parts += [Text(), Text("Who waited for whom", style="bold"), *_blame(analysis, names)]
    if analysis.diagnostics:
        parts += [Text(), Text("About the trace itself", style="bold"), *_diagnostics(analysis)]
    return Group(*parts)


def _named(analysis: Analysis) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = analysis.threads.select(["thread", "name"]).to_pylist()
    return columns


def _shown_name(thread: str, name: str | None) -> str:
    return printable(f"{thread} ({name})" if name and name != thread else thread)


def _heading(analysis: Analysis) -> Text:
    about, totals = analysis.metadata, analysis.totals
    facts = []
    if "python" in about:
        facts.append(f"Python {about['python']}")
    if about.get("gil") in ("old", "new"):
        facts.append(f"{about['gil']} GIL")
    if "cores" in about:
        facts.append(f"{about['cores']} core{'' if about['cores'] == '1' else 's'}")
    facts += [
        duration(analysis.duration, analysis.unit),
        count(analysis.events, "event"),
        count(analysis.threads.num_rows, "thread"),
        count(totals.switches, "switch", "switches"),
    ]
    if totals.checks is not None:
        facts.append(count(totals.checks, "check") if about.get("gil") != "new" else f"{totals.checks:,} forced")
    if about.get("lost", "0") != "0":
        facts.append(f"{about['lost']} events lost by the recorder")
    heading = Text(printable(analysis.path), style="bold")
    if "workload" in about:
        heading.append("\n" + printable(about["workload"]), style="italic not bold")
    return heading.append("\n" + printable(", ".join(facts)), style="not bold")


def _threads(analysis: Analysis, names: dict[str, str]) -> RenderableType:
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
            Text(names[row["thread"]]),
            share(row["held"], analysis.duration),
            share(row["waited"], analysis.duration),
            share(row["contended_waits"], max(row["entries"], row["contended_waits"])),
            *(f"{row[name]:,}" for name in ("failed_retries", "lost_rounds", "check_releases", "blocking_releases")),
        )
    notes = "held, waited: share of the trace's duration. contended: share of its waits that found the GIL taken."
    more = analysis.threads.num_rows - THREADS_SHOWN
    if more > 0:
        notes += f"\nThe {THREADS_SHOWN} busiest; --json has the {more:,} others too."
    return Group(table, Text(notes, style="dim"))


def _blame(analysis: Analysis, names: dict[str, str]) -> list[Text]:
    whole = analysis.duration
    waited = dict(zip(analysis.threads["thread"].to_pylist(), analysis.threads["waited"].to_pylist(), strict=True))
    lines = []
    for row in nlargest(BLAME_SHOWN, analysis.blame.to_pylist(), key=lambda row: row["duration"]):
        part = row["duration"]
        if part < BLAME_LEAST * whole:
            break
        length = f"{share(part, whole)} of the trace ({duration(part, analysis.unit)})"
        of_its_wait = f"{share(part, waited[row['waiter']])} of all its waiting"
        while_what = (
            f"while {names[row['holder']]} held the GIL"
            if row["holder"] is not None
            else "while the GIL was free and it was not yet scheduled"
        )
        lines.append(Text(f"  {names[row['waiter']]} waited {length} {while_what}: {of_its_wait}."))
    if not lines:
        return [Text(f"  Nobody waited for even {100 * BLAME_LEAST:g} % of the trace.")]
    rest = analysis.blame.num_rows - len(lines)
    if rest:
        lines.append(Text(f"  {count(rest, 'smaller entry', 'smaller entries')} in --json.", style="dim"))
    return lines


def _diagnostics(analysis: Analysis) -> list[Text]:
    lines = []
    for found in analysis.diagnostics:
        where = f", first at line {found.first_line:,}" if found.first_line else ""
        detail = f" ({found.detail})" if found.detail else ""
        text = Text(f"  {found.severity:5}  ", style="red" if found.severity == "error" else "dim")
        text.append(f"{found.count:,} × {found.code}{where}: {MEANINGS[found.code]}{detail}.", style="none")
        lines.append(text)
    return lines
