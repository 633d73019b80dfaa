"""`Trace`: a whole trace in memory, as Arrow tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Literal, cast, overload

import pyarrow as pa

from tracekit import timeline
from tracekit.model import schemas
from tracekit.model.definitions import Definitions
from tracekit.model.naming import Names
from tracekit.model.observed import hide, hide_all, unobserved
from tracekit.model.rows import Options, PictureLimits
from tracekit.model.stream import BadLines, EventStream, Ignored
from tracekit.parsers import open_trace
from tracekit.timeline import Timeline
from tracekit.timeline.diagnostics import Diagnostic, diagnostics_table, require_events, summarise
from tracekit.timeline.flame import By, Flame, flame

if TYPE_CHECKING:
    import pandas as pd

    from tracekit.model.window import Window
    from tracekit.names import Table
    from tracekit.sql import Database


def read(
    path: str | os.PathLike[str],
    *,
    strict: bool = False,
    strip_prefix: str | Sequence[str] = (),
    start: str | int | None = None,
    end: str | int | None = None,
) -> Trace:
    """Reads a trace into memory. For one that does not fit there, see `analyze`.

    path: a trace in the text format of docs/format.md, plain, gzip or zstd, or what `tracekit convert` wrote; `-` is
        standard input.
    strict: the first bad line raises BadLineError; otherwise bad lines are rows of `Trace.diagnostics`.
    strip_prefix: folders to leave out of the names of files in stacks and metadata, since a trace may leave the house.
    start, end: only the events from here to there, both included, counted from the trace's first event: `"1.5s"`,
        `"200ms"`, `"20000"` of a trace that counts ticks, or an integer in the trace's unit. See docs/format.md.
    Raises SourceError, NoEventsError, BadLineError, OptionError.
    """
    window = None
    if start is not None or end is not None:
        from tracekit.model.window import window_of

        window = window_of(start, end)
    with open_trace(path, strict=strict, whole=True, strip_prefix=strip_prefix, window=window) as stream:
        return _kept(stream)


def read_window(path: str | os.PathLike[str], window: Window | None) -> Trace:
    with open_trace(path, whole=True, window=window) as stream:
        return _kept(stream)


def from_pandas(frame: pd.DataFrame, *, metadata: Mapping[str, str] | None = None) -> Trace:
    """A trace from a frame of events in their order: thread, event, and what is known of ticks, checks and time.

    metadata: e.g. `{"check-interval": "50"}`; otherwise what `Trace.to_pandas("events")` kept in `frame.attrs`.
    Raises SchemaError for a column that is missing, SourceError for a value that no event can have, NoEventsError.
    """
    from tracekit import frames

    frames.register(from_pandas)
    return _kept(frames.stream_of(frame, metadata))


def _kept(stream: EventStream) -> Trace:
    batches = list(stream)
    require_events(stream, sum(batch.num_rows for batch in batches))
    stream.shorten()
    return Trace(
        path=stream.path,
        metadata=stream.metadata,
        _batches=batches,
        _threads=stream.threads,
        _names=stream.names,
        _bad_lines=stream.bad_lines,
        _ignored=stream.ignored,
        _definitions=stream.definitions,
        _truncated=stream.truncated,
        _line_numbers=stream.line_numbers(),
        _fault_lines=stream.fault_lines,
        _interval=stream.check_interval,
    )


@dataclass(frozen=True, repr=False)
class Trace:
    """A trace and its tables, each a `pyarrow.Table` of the schema of its name (docs/tables.md).

    Also by name: `trace["waits"]`. A table is derived when it is first asked for, in one pass over the events.
    Durations and clocks are in `unit`. What reads Arrow (Polars, DuckDB, pandas) takes a table as it is, and for the
    trace itself its events.
    """

    path: str
    metadata: dict[str, str]
    _batches: Sequence[pa.RecordBatch] = field(repr=False)
    _threads: list[str] = field(repr=False)
    _names: Names = field(repr=False)
    _bad_lines: BadLines = field(repr=False)
    _ignored: Ignored = field(repr=False)
    _definitions: Definitions = field(repr=False)
    _truncated: str | None = field(repr=False)
    _line_numbers: Callable[[int], int | None] = field(repr=False)
    _fault_lines: dict[tuple[str, str], int] = field(repr=False)
    _interval: int = field(repr=False)
    _made: dict[str, pa.Table] = field(default_factory=dict, repr=False)

    @cached_property
    def _found(self) -> Timeline:
        """What can be said without a row for each hold and wait."""
        return self.run(Options())

    def run(self, options: Options, limits: PictureLimits | None = None) -> Timeline:
        """The trace through the state machine again, with other thresholds, for totals and findings.

        limits: those of the picture, if one is wanted.
        """
        result = timeline.run_batches(
            self._batches, self._threads, self._names, self._definitions, self._interval, options, limits
        )
        return replace(result, tables=hide_all(result.tables, self.metadata))

    @property
    def unit(self) -> str:
        """Of the clock: `ns` where the trace has times, else `ticks`."""
        return self._found.unit

    @property
    def duration(self) -> int:
        """The last clock minus the first, in `unit`."""
        return self._found.totals.duration

    def __getitem__(self, table: Table) -> pa.Table:
        """One of the tables, by name. Raises ValueError for a table that there is not."""
        if table not in schemas.TRACE_TABLES:
            raise ValueError(f"There is no table {table!r}; there are {', '.join(schemas.TRACE_TABLES)}.")
        if table not in self._made:
            self._made[table] = self._make(table)
        return self._made[table]

    def _make(self, table: str) -> pa.Table:
        if table == "diagnostics":
            faults = timeline.faults_of(self._batches, self._interval)
            lines = self._bad_lines.lines
            return diagnostics_table(lines, faults, self._line_numbers, self._threads, self.summary, self.unit)
        if table not in timeline.ROWS:
            return self._found.tables[table]
        rows = timeline.rows_of(table, self._batches, self._threads, self._interval)
        return hide(table, rows, unobserved(self.metadata))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.events.__arrow_c_stream__(requested_schema)

    @property
    def events(self) -> pa.Table:
        return self["events"]

    @property
    def threads(self) -> pa.Table:
        return self["threads"]

    @property
    def holds(self) -> pa.Table:
        return self["holds"]

    @property
    def waits(self) -> pa.Table:
        return self["waits"]

    @property
    def switches(self) -> pa.Table:
        return self["switches"]

    @property
    def blame(self) -> pa.Table:
        return self["blame"]

    @property
    def failed_retries(self) -> pa.Table:
        return self["failed_retries"]

    @property
    def stacks(self) -> pa.Table:
        return self["stacks"]

    @property
    def regions(self) -> pa.Table:
        return self["regions"]

    @property
    def diagnostics(self) -> pa.Table:
        """Bad lines and faulty events in the order of their lines, then what concerns the trace as a whole."""
        return self["diagnostics"]

    @cached_property
    def summary(self) -> tuple[Diagnostic, ...]:
        """The diagnostics counted by code and severity."""
        return summarise(
            self._bad_lines,
            self._ignored,
            self._truncated,
            self._found.totals,
            lambda faults: (
                self._fault_lines.get((faults.code, faults.severity)) or self._line_numbers(faults.first_seq)
            ),
        )

    @property
    def bad_lines(self) -> int:
        return self._bad_lines.total

    def to_pandas(self, table: Table, *, timedelta: bool = False) -> pd.DataFrame:
        """One of the tables as a DataFrame: categories for threads, events and codes, Int64 where there may be nulls.

        `frame.attrs["unit"]` is that of its clocks and durations. timedelta: those of a timed trace as timedelta64[ns].
        Raises ValueError for an unknown table.
        """
        from tracekit import frames

        frames.register(from_pandas)
        frame = schemas.to_pandas(self[table], timedelta=timedelta)
        if table == "events":
            frame.attrs[frames.ATTRS] = {
                "metadata": dict(self.metadata),
                "names": dict(self._names),
                "definitions": "\n".join(self._definitions.lines()),
            }
        return frame

    def flame(self, by: By = "holder") -> Flame:
        """The time waited while another thread held the GIL, as a tree of frames; see `Analysis.flame`."""
        return flame(self._found.tables["stack_blame"], self.stacks, by, self.unit)

    @overload
    def sql(self, query: str, *, arrow: Literal[False] = False) -> pd.DataFrame: ...

    @overload
    def sql(self, query: str, *, arrow: Literal[True]) -> pa.Table: ...

    def sql(self, query: str, *, arrow: bool = False) -> pd.DataFrame | pa.Table:
        """The rows that one SELECT over the tables of docs/tables.md finds. Findings: default thresholds.

        arrow: as a `pyarrow.Table` instead of a DataFrame. Raises QueryError.
        """
        from tracekit.sql import frame_of

        answer = self._database.query(query)
        return answer if arrow else frame_of(answer)

    @cached_property
    def _database(self) -> Database:
        from tracekit.sql import Database

        return Database(self._tables)

    def _tables(self, tables: Sequence[str]) -> dict[str, pa.Table]:
        rows = None
        made = {}
        for table in tables:
            if table in schemas.TRACE_TABLES:
                made[table] = self[cast("Table", table)]
            else:
                rows = rows or self.run(Options(worst=2**61))
                made[table] = rows.tables[table]
        return made

    def __repr__(self) -> str:
        events, threads = self._found.totals.events, len(self._threads)
        bad = f", {self.bad_lines:,} bad lines" if self.bad_lines else ""
        return f"<Trace {self.path}: {events:,} events, {threads:,} threads, {self.duration:,} {self.unit}{bad}>"

    def _repr_html_(self) -> str:
        threads = self.to_pandas("threads").head(50).to_html(index=False)
        return f"<p><b>{escape(repr(self)[1:-1])}</b></p>{threads}"
