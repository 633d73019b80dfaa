"""Reporters of a fleet: each turns a `Summary` into a string and touches no file."""

from __future__ import annotations

import hashlib
import re
import shlex
from pathlib import Path

from tracekit.fleet.summary import Cause, Summary
from tracekit.words import count, percent


def headline(summary: Summary) -> str:
    """In one sentence who suffers, and whether it is from the same."""
    if not summary.analyzed:
        return "No trace could be analyzed."
    all_of_them = count(summary.analyzed, "process", "processes")
    if not summary.suffering:
        return f"None of {all_of_them} has contention worth naming."
    suffer = f"{summary.suffering:,} of {all_of_them} {'suffers' if summary.suffering == 1 else 'suffer'}"
    if not summary.causes:
        return f"{suffer}."
    first = summary.causes[0]
    if first.processes == summary.suffering:
        return f"{suffer}, all from the same: {first.text}."
    causes = count(summary.counts["causes"], "cause")
    return f"{suffer}, from {causes}; the costliest, in {first.processes:,} of them: {first.text}."


def told(cause: Cause, summary: Summary) -> str:
    """A cause in one line."""
    mean = "on average " if cause.processes > 1 else ""
    many = f"in {cause.processes:,} of {count(summary.analyzed, 'process', 'processes')}"
    return f"{cause.text} {many}, {mean}{percent(cause.cost)} of their time"


def share(value: float | None) -> str:
    return "-" if value is None else percent(value)


def more(summary: Summary, name: str, shown: int) -> str | None:
    """That there are more of them than are shown."""
    left = summary.counts[name] - shown
    return f"and {left:,} more" if left > 0 else None


def report_file(trace: str) -> str:
    """Where the page of a fleet expects a trace's own report, below the dataset's folder."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", trace.rsplit("/", 1)[-1])[:80]
    return f"reports/{stem}-{hashlib.sha256(trace.encode()).hexdigest()[:8]}.html"


def report_command(trace: str, folder: str) -> str:
    """What makes it; of an address, whose trace has to be fetched, as a fleet of one."""
    if "://" in trace:
        return shlex.join(["tracekit", "fleet", trace, "-o", Path(report_file(trace)).stem, "--reports", "1"])
    return shlex.join(["tracekit", "report", trace, "-o", str(Path(folder) / report_file(trace))])
