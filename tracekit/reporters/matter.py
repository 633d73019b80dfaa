"""Which of a program's processes matter, and what is told of each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from tracekit.words import count, printable

if TYPE_CHECKING:
    from tracekit.analysis import Analysis

SHOWN = 20
_COMMAND = 60  # characters
_STARTED = re.compile(r"(.+?)\.(\d{9})(\+00:00)")


class Process(NamedTuple):
    """pid, of: the process, and the one that forked or started it. cost, finding: of its costliest finding, if any."""

    pid: str
    of: str
    command: str
    cost: float | None
    finding: str | None


def ranked(analyses: Sequence[Analysis]) -> list[Analysis]:
    """Those first in which threads waited longest for findings."""
    return sorted(analyses, key=_lost, reverse=True)


def _lost(analysis: Analysis) -> tuple[float, int]:
    costs = max((finding.cost for finding in analysis.findings), default=0.0)
    return costs * analysis.duration, analysis.events


def told(analysis: Analysis) -> Process:
    about, findings = analysis.metadata, analysis.findings
    command = about.get("command", analysis.path)
    interpreter = f", interpreter {about['interpreter']}" if "interpreter" in about else ""
    return Process(
        printable(about.get("pid", analysis.path) + interpreter),
        printable(about.get("forked-by", about.get("started-by", "-"))),
        printable(command if len(command) <= _COMMAND else command[: _COMMAND - 1] + "…"),
        findings[0].cost if findings else None,
        findings[0].title if findings else None,
    )


def verdict(analyses: Sequence[Analysis]) -> str:
    matter = sum(bool(analysis.findings) for analysis in analyses)
    rest = len(analyses) - matter
    others = count(rest, "process", "processes")
    if not matter:
        of_all = f"None of the {others}" if rest > 1 else "The one process there is does not"
        return f"{of_all} matter{'s' if rest > 1 else ''}: no thread waited long for the GIL."
    words = f"{matter:,} of the {count(matter + rest, 'process', 'processes')} matter{'s' if matter == 1 else ''}"
    return f"{words}. In the {others} left there is nothing worth naming." if rest else f"{words}."


def began(analysis: Analysis) -> int | None:
    """When its clock was 0, in ns since 1970; None where the trace does not tell."""
    match = _STARTED.fullmatch(analysis.metadata.get("started", ""))
    if not match or analysis.unit != "ns":
        return None
    try:
        seconds = datetime.fromisoformat(match[1] + match[3]).timestamp()
    except ValueError:
        return None
    return int(seconds) * 10**9 + int(match[2]) + (analysis.totals.first_clock or 0)
