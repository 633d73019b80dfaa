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


def printable(text: str) -> str:
    """Without what a terminal would obey instead of show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(value: int, unit: str) -> str:
    """`12.3 ms`, or `1,234 ticks`."""
    if unit == "ticks":
        return f"{value:,} ticks"
    for size, name in ((10**9, "s"), (10**6, "ms"), (10**3, "µs")):
        if value >= size:
            shown = value / size
            return f"{shown:,.{0 if shown >= 100 else 1 if shown >= 10 else 2}f} {name}"
    return f"{value} ns"


def share(part: int, whole: int) -> str:
    return "-" if not whole else f"{100 * part / whole:.1f} %"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


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
    if about.get("cores", "").isdigit():
        facts.append(_count(int(about["cores"]), "core"))
    facts += [
        duration(analysis.duration, analysis.unit),
        _count(analysis.events, "event"),
        _count(analysis.threads.num_rows, "thread"),
        _count(totals.switches, "switch", "switches"),
    ]
    if totals.checks is not None:
        facts.append(_count(totals.checks, "check") if about.get("gil") != "new" else f"{totals.checks:,} forced")
    if about.get("lost", "0") != "0":
        facts.append(f"{about['lost']} events lost by the recorder")
    heading = Text(printable(analysis.path), style="bold")
    if "workload" in about:
        heading.append(f"\n{about['workload']}", style="italic not bold")
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
        lines.append(Text(f"  {_count(rest, 'smaller entry', 'smaller entries')} in --json.", style="dim"))
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
