"""`analyze`: a trace of any length, read once as a stream, to what there is to say about it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pyarrow as pa

from tracekit import timeline
from tracekit.diagnostics import Diagnostic, require_events, summarise
from tracekit.machine import Totals
from tracekit.parsers import open_trace
from tracekit.stream import EVENTS, LineNumbers, Progress
from tracekit.trace import Trace


@dataclass(frozen=True)
class Analysis:
    """What a trace shows. Durations are in `unit`; definitions: docs/analyses.md.

    Attributes:
        threads, blame: Arrow tables of these schemas (docs/tables.md).
        diagnostics: what is wrong with the trace, counted by code and severity.
        bad_lines: lines that are neither blank, comment nor event.
    """

    path: str
    unit: str
    totals: Totals
    metadata: dict[str, str]
    threads: pa.Table
    blame: pa.Table
    diagnostics: tuple[Diagnostic, ...]
    bad_lines: int

    @property
    def events(self) -> int:
        return self.totals.events

    @property
    def duration(self) -> int:
        return self.totals.duration

    @property
    def counts(self) -> dict[str, int]:
        """Events by kind."""
        columns = ("entries", "acquires", "releases", "busies", "failed_retries")
        return {event: sum(self.threads.column(name).to_pylist()) for event, name in zip(EVENTS, columns, strict=True)}

    @property
    def badness(self) -> float | None:
        """Failed retries divided by checks; None where there were no checks."""
        return self.counts["RETRY"] / self.totals.checks if self.totals.checks else None

    def __repr__(self) -> str:
        return f"<Analysis of {self.path}: {self.events:,} events, {self.duration:,} {self.unit}>"


def analyze(
    trace: Trace | str | os.PathLike[str], *, strict: bool = False, progress: Progress | None = None
) -> Analysis:
    """Analyzes a trace: one in memory, or a file of any size, in memory that does not grow with it.

    strict: the first bad line raises BadLineError. progress: called now and then with bytes read and in all.
    Raises SourceError, NoEventsError, BadLineError.
    """
    if isinstance(trace, Trace):
        tables = trace.timeline.tables
        return Analysis(
            trace.path, trace.unit, trace.timeline.totals, trace.metadata, tables["threads"], tables["blame"],
            trace.summary, trace.bad_lines,
        )  # fmt: skip
    with open_trace(trace, strict=strict) as stream:
        found = timeline.run(stream, progress)
        require_events(stream, found.totals.events)
        lines = LineNumbers(stream.line_gaps)
        summary = summarise(
            stream.bad_lines,
            stream.truncated,
            found.totals,
            lambda faults: stream.fault_lines.get((faults.code, faults.severity)) or lines(faults.first_seq),
        )
        return Analysis(
            stream.path, found.unit, found.totals, stream.metadata, found.tables["threads"], found.tables["blame"],
            summary, stream.bad_lines.total,
        )  # fmt: skip
