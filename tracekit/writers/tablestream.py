"""A trace of any length as its tables, piece by piece: what a writer takes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tracekit.analysis import Analysis, analyze_stream
from tracekit.analyzers import COLLECTED
from tracekit.errors import SourceError
from tracekit.model.attributes import FIELDS
from tracekit.model.header import Header
from tracekit.model.observed import hide
from tracekit.model.rows import FAULT_ROW, Machine, Options, Rows
from tracekit.model.schemas import TABLES
from tracekit.model.source import Source
from tracekit.model.stream import BAD_LINE_TEXTS, EventStream, OnProgress
from tracekit.parsers import open_trace
from tracekit.timeline import new_machine
from tracekit.timeline.diagnostics import diagnostics_table
from tracekit.timeline.rowcolumns import KEPT_AS, PARTS, by_thread
from tracekit.timeline.tables import Tables

if TYPE_CHECKING:
    from tracekit.model.window import Window

PIECEWISE = ("events", *PARTS, *COLLECTED, "diagnostics")
"""The tables that may be larger than memory. All others are small."""
SORTED = ("holds", "waits", "failed_retries")
"""Of these a writer can have the rows by thread."""
_ALL = Options(worst=2**61)
_KEPT_AS = {"events": "clocks", "diagnostics": "faults", **KEPT_AS}


class TableStream:
    """A trace that is read twice or more: first for what is known of the whole, then for its tables' rows. One that its
    parser has in memory is read once.

    Attributes:
        path: as the user named it.
        analysis: with the default thresholds: unit, metadata, totals, findings in words, and the small tables.
        header: metadata, thread names and bad lines.
        attributes: keys of those that any event has, in the order of the table's columns.
        threads: their ids, in the order of their first events.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        strict: bool = False,
        progress: OnProgress | None = None,
        strip_prefix: str | Sequence[str] = (),
        window: Window | None = None,
    ) -> None:
        """Reads the whole trace once; standard input into a temporary file first. Raises what `analyze` raises.

        progress: called now and then, with the bytes read in this reading and in all. strip_prefix: as in `analyze`.
        window: only what happened in it.
        """
        self.path = os.fspath(path)
        self._progress = progress
        self._strip_prefix = strip_prefix
        self._window = window
        self._spool = _spooled() if self.path == "-" else None
        try:
            with self._open(strict) as stream:
                self._again = stream if stream.repeatable else None
                self.analysis: Analysis = analyze_stream(stream, path, Options(), progress)
                faults = self.analysis.totals.faults
                lines = {(fault.code, fault.severity): stream.first_line(fault) for fault in faults}
                self.header = Header(
                    unit=self.analysis.unit,
                    metadata=stream.metadata,
                    names=stream.names,
                    bad_lines=stream.bad_lines,
                    fault_lines={fault: line for fault, line in lines.items() if line},
                    truncated=stream.truncated,
                    ignored=stream.ignored,
                    definitions=stream.definitions,
                )
                self.threads = stream.threads
                self.attributes = [name for name in FIELDS if name in stream.attributes]
        except BaseException:
            self.close()
            raise

    def _open(self, strict: bool = False, whole: bool = False) -> EventStream:
        return open_trace(
            self._spool or self.path,
            strict=strict,
            whole=whole,
            shown=self.path,
            strip_prefix=self._strip_prefix,
            window=self._window,
        )

    def pieces(self, *tables: str, sorted_rows: int = 0) -> Iterator[tuple[str, pa.Table]]:
        """Reads the trace again and gives the rows of these tables: (table, some of its rows).

        tables: of `schemas.TABLES`. Each one's rows come in order: events by seq, all others as they end; the small
        tables come last, each in one piece; of one without any row comes one empty piece. All thread columns have
        the same dictionary but those of the diagnostics. sorted_rows: holds, waits and failed retries come in pieces of
        so many or more, each sorted by thread. Raises SourceError.
        """
        wanted = [table for table in TABLES if table in tables and table in PIECEWISE]
        empty = set(wanted)
        for table, piece in self._rows(wanted, sorted_rows):
            if piece.num_rows or table in empty:
                empty.discard(table)
                yield table, hide(table, piece, self.analysis.unobserved)
        for table in TABLES:
            if table in tables and table not in PIECEWISE:
                yield table, self.analysis.tables[table]

    def told_events(self) -> Iterator[pa.Table]:
        """The pieces of the table `events` without the columns of attributes that no event has."""
        untold = [name for name in FIELDS if name not in self.attributes]
        for _, events in self.pieces("events"):
            yield events.drop_columns(untold) if untold else events

    def _rows(self, wanted: list[str], sorted_rows: int) -> Iterator[tuple[str, pa.Table]]:
        if not wanted:
            return
        all_bad = "diagnostics" in wanted and self.header.bad_lines.total > BAD_LINE_TEXTS
        with self._again or self._open(whole=all_bad) as stream:
            kept = [_KEPT_AS[table] for table in wanted if table in _KEPT_AS]
            machine = new_machine(stream.check_interval, kept, _ALL)
            tables = Tables(machine, self.threads, self.analysis.totals)
            faults = [np.empty(0, FAULT_ROW)]
            seq = 0
            for batch in stream:
                machine.feed(batch)
                if "events" in wanted:
                    yield "events", tables.events([batch], seq)
                seq += batch.num_rows
                if self._progress:
                    self._progress(*stream.position())
                if sorted_rows and all(len(machine.rows(KEPT_AS[table])) < sorted_rows for table in SORTED):
                    continue
                yield from _derived(tables, machine, wanted, sorted_rows)
                if "diagnostics" in wanted:
                    faults.append(machine.rows("faults").copy())
                machine.forget()
            if seq != self.analysis.events:
                raise SourceError(
                    f"{self.path}: changed while it was read: {self.analysis.events:,} events, then {seq:,}.",
                    "Try again when nothing writes to it any more.",
                )
            machine.finish()
            yield from _derived(tables, machine, wanted, sorted_rows)
            if "diagnostics" in wanted:
                faults.append(machine.rows("faults").copy())
                yield "diagnostics", self._diagnostics(stream, np.concatenate(faults))

    def _diagnostics(self, stream: EventStream, faults: Rows) -> pa.Table:
        analysis = self.analysis
        lines = stream.line_numbers()
        return diagnostics_table(
            stream.bad_lines.lines, faults, lines, self.threads, analysis.diagnostics, analysis.unit
        )

    def close(self) -> None:
        if self._spool:
            os.unlink(self._spool)
            self._spool = None

    def __enter__(self) -> TableStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _derived(tables: Tables, machine: Machine, wanted: list[str], sorted_rows: int) -> Iterator[tuple[str, pa.Table]]:
    for table in wanted:
        if table in PARTS:
            rows = machine.rows(KEPT_AS[table])
            order = by_thread(rows) if sorted_rows and table in SORTED else None
            yield table, tables.of_rows(table, rows, order)
        elif table in COLLECTED:
            yield table, tables.findings(table)


def _spooled() -> str:
    """Standard input as a file that can be read twice."""
    with Source("-") as source, tempfile.NamedTemporaryFile(prefix="tracekit-", delete=False) as file:
        try:
            for chunk in chain((source.head,), source.chunks()):
                file.write(chunk)
        except BaseException:
            os.unlink(file.name)
            raise
        return file.name
