"""`Trace`: a whole trace in memory, as Arrow tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tracekit import schemas, timeline
from tracekit.arrays import optional_integers, strings, words_as_categories
from tracekit.diagnostics import Diagnostic, require_events, summarise
from tracekit.machine import FAULT_CODES, SEVERITIES, Options, PictureLimits
from tracekit.parsers import open_trace
from tracekit.stream import BadLines, LineNumbers
from tracekit.timeline import Timeline

if TYPE_CHECKING:
    import pandas as pd


def read(path: str | os.PathLike[str], *, strict: bool = False) -> Trace:
    """Reads a trace into memory. For one that does not fit there, see `analyze`.

    path: a trace in the text format of docs/format.md, plain, gzip or zstd; `-` is standard input.
    strict: the first bad line raises BadLineError; otherwise bad lines are rows of `Trace.diagnostics`.
    Raises SourceError, NoEventsError, BadLineError.
    """
    with open_trace(path, strict=strict, whole=True) as stream:
        batches = list(stream)
        require_events(stream, sum(batch.num_rows for batch in batches))
        return Trace(
            path=stream.path,
            metadata=stream.metadata,
            _batches=batches,
            _threads=stream.threads,
            _names=stream.names,
            _bad_lines=stream.bad_lines,
            _truncated=stream.truncated,
            _line_numbers=LineNumbers(stream.line_gaps),
            _interval=stream.check_interval,
        )


@dataclass(frozen=True, repr=False)
class Trace:
    """A trace and its tables, each a `pyarrow.Table` of the schema of its name (docs/tables.md).

    The tables are derived together when the first of them is asked for. Durations and clocks are in `unit`.
    """

    path: str
    metadata: dict[str, str]
    _batches: Sequence[pa.RecordBatch] = field(repr=False)
    _threads: list[str] = field(repr=False)
    _names: dict[str, str] = field(repr=False)
    _bad_lines: BadLines = field(repr=False)
    _truncated: str | None = field(repr=False)
    _line_numbers: LineNumbers = field(repr=False)
    _interval: int = field(repr=False)

    @cached_property
    def timeline(self) -> Timeline:
        """Totals and all tables but the diagnostics."""
        return timeline.run_kept(self._batches, self._threads, self._names, self._interval)

    def run(self, options: Options, limits: PictureLimits | None = None) -> Timeline:
        """The trace through the state machine again, with other thresholds, for totals and findings.

        limits: those of the picture, if one is wanted.
        """
        return timeline.run_batches(self._batches, self._threads, self._names, self._interval, options, limits)

    @property
    def unit(self) -> str:
        """Of the clock: `ns` where the trace has times, else `ticks`."""
        return self.timeline.unit

    @property
    def duration(self) -> int:
        """The last clock minus the first, in `unit`."""
        return self.timeline.totals.duration

    @property
    def events(self) -> pa.Table:
        return self.timeline.tables["events"]

    @property
    def threads(self) -> pa.Table:
        return self.timeline.tables["threads"]

    @property
    def holds(self) -> pa.Table:
        return self.timeline.tables["holds"]

    @property
    def waits(self) -> pa.Table:
        return self.timeline.tables["waits"]

    @property
    def switches(self) -> pa.Table:
        return self.timeline.tables["switches"]

    @property
    def blame(self) -> pa.Table:
        return self.timeline.tables["blame"]

    @property
    def failed_retries(self) -> pa.Table:
        return self.timeline.tables["failed_retries"]

    @cached_property
    def diagnostics(self) -> pa.Table:
        """Bad lines and faulty events in the order of their lines, then what concerns the trace as a whole."""
        faults = self.timeline.faults
        fault_lines = [self._line_numbers(seq) for seq in faults["seq"].tolist()]
        bad = self._bad_lines.lines
        whole = [d for d in self.summary if d.code in ("no-clock", "truncated-input")]
        order = np.argsort([bad_line.line for bad_line in bad] + fault_lines, kind="stable")

        def column(of_bad: list[Any], of_fault: list[Any], of_whole: list[Any]) -> list[Any]:
            both = of_bad + of_fault
            return [both[place] for place in order] + of_whole

        none_bad, none_fault, none_whole = [None] * len(bad), [None] * len(faults), [None] * len(whole)
        fault_codes = [FAULT_CODES[code] for code in faults["code"]]
        fault_severities = [SEVERITIES[error] for error in faults["error"]]
        threads = [self._threads[thread] for thread in faults["thread"]]
        return schemas.table(
            "diagnostics",
            self.unit,
            {
                "code": words_as_categories(column([b.code for b in bad], fault_codes, [d.code for d in whole])),
                "severity": words_as_categories(
                    column(["error"] * len(bad), fault_severities, [d.severity for d in whole])
                ),
                "line": optional_integers(column([b.line for b in bad], fault_lines, none_whole)),
                "seq": optional_integers(column(none_bad, faults["seq"].tolist(), none_whole)),
                "thread": words_as_categories(column(none_bad, threads, none_whole)),
                "text": strings(column([b.text for b in bad], none_fault, none_whole)),
            },
        )

    @cached_property
    def summary(self) -> tuple[Diagnostic, ...]:
        """The diagnostics counted by code and severity."""
        return summarise(
            self._bad_lines, self._truncated, self.timeline.totals, lambda faults: self._line_numbers(faults.first_seq)
        )

    @property
    def bad_lines(self) -> int:
        return self._bad_lines.total

    def to_pandas(self, table: str) -> pd.DataFrame:
        """One of the tables as a DataFrame: categories for threads, events and codes, Int64 where there may be nulls.

        Raises ValueError for a table that there is not.
        """
        if table not in schemas.TRACE_TABLES:
            raise ValueError(f"There is no table {table!r}; there are {', '.join(schemas.TRACE_TABLES)}.")
        return schemas.to_pandas(getattr(self, table))

    def __repr__(self) -> str:
        events, threads = self.timeline.totals.events, len(self._threads)
        bad = f", {self.bad_lines:,} bad lines" if self.bad_lines else ""
        return f"<Trace {self.path}: {events:,} events, {threads:,} threads, {self.duration:,} {self.unit}{bad}>"

    def _repr_html_(self) -> str:
        threads = self.to_pandas("threads").head(50).to_html(index=False)
        return f"<p><b>{escape(repr(self)[1:-1])}</b></p>{threads}"
