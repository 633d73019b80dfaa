"""`analyze`: reads a trace of any length once, as a stream, and returns totals and findings."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Unpack, overload

import numpy as np
import pyarrow as pa

from tracekit import timeline
from tracekit.analyzers import ANALYZERS, KINDS, explain
from tracekit.analyzers.finding import Finding, Group, Loss, Story, Waited
from tracekit.analyzers.places import Places
from tracekit.errors import NotObservedError, OptionError, SourceError
from tracekit.model import schemas
from tracekit.model.arrays import NULL, int64_values, numbers
from tracekit.model.observed import hide_all, unobserved
from tracekit.model.rows import CAUSES, Options, PictureLimits, Totals
from tracekit.model.stream import EVENTS, EventStream, OnProgress
from tracekit.parsers import open_trace
from tracekit.timeline import Timeline
from tracekit.timeline.diagnostics import Diagnostic, require_events, summarise
from tracekit.timeline.flame import By, Flame, flame
from tracekit.timeline.lines import lines_known
from tracekit.words import printable, whole_number

if TYPE_CHECKING:
    import pandas as pd
    from plotly import graph_objects as go

    from tracekit.model.window import Window
    from tracekit.names import AnalysisTable, Figure, Kind, Theme, Thresholds
    from tracekit.timeline.picture import Picture
    from tracekit.trace import Trace


@dataclass(frozen=True, repr=False)
class Analysis:
    """What a trace shows. Durations are in `unit`; definitions: docs/analyses.md.

    Attributes:
        totals: of the whole trace.
        tables: by name, each a `pyarrow.Table` of that schema (docs/tables.md); also attributes. Of a kind of finding
            the `options.worst` costliest are there; `totals.found` counts all.
        groups: all findings of each kind, summed by their threads.
        diagnostics: what is wrong with the trace, counted by code and severity.
        bad_lines: lines that are neither blank, comment nor event.
        options: the thresholds in force.
    """

    path: str
    unit: str
    totals: Totals
    metadata: dict[str, str]
    tables: Mapping[str, pa.Table]
    groups: Mapping[str, Sequence[Group]]
    diagnostics: tuple[Diagnostic, ...]
    bad_lines: int
    options: Options
    _source: Trace | str | os.PathLike[str]
    _picture: Picture | None
    _window: Window | None = None

    @cached_property
    def picture(self) -> Picture:
        """What a timeline draws. Reads the trace again unless it was collected in the same pass.

        Raises SourceError where it is gone, or was standard input.
        """
        if self._picture:
            return self._picture
        if self._source == "-":
            raise SourceError(
                "Standard input cannot be read a second time for its picture.", "Save the trace to a file first."
            )
        drawn = _analyze(self._source, self.options, PictureLimits(), window=self._window)
        if drawn.totals != self.totals:
            raise SourceError(f"{self.path}: the file has changed since it was analyzed.", "Analyze it again.")
        assert drawn._picture
        return drawn._picture

    @property
    def events(self) -> int:
        return self.totals.events

    @property
    def duration(self) -> int:
        return self.totals.duration

    @property
    def threads(self) -> pa.Table:
        return self.tables["threads"]

    @property
    def blame(self) -> pa.Table:
        return self.tables["blame"]

    @property
    def causes(self) -> pa.Table:
        return self.tables["causes"]

    def __getattr__(self, kind: str) -> pa.Table:
        """The table of a kind of finding."""
        tables = vars(self).get("tables", {})
        if kind not in tables:
            raise AttributeError(f"an Analysis has no attribute {kind!r}", name=kind, obj=self)
        return tables[kind]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.tables]

    @property
    def distributions(self) -> pa.Table:
        return self.tables["distributions"]

    @property
    def histograms(self) -> pa.Table:
        return self.tables["histograms"]

    @property
    def utilisation(self) -> pa.Table:
        return self.tables["utilisation"]

    @property
    def waiting(self) -> pa.Table:
        return self.tables["waiting"]

    @property
    def handoffs(self) -> pa.Table:
        return self.tables["handoffs"]

    @property
    def locks(self) -> pa.Table:
        return self.tables["locks"]

    @property
    def fairness(self) -> pa.Table:
        return self.tables["fairness"]

    @property
    def stacks(self) -> pa.Table:
        return self.tables["stacks"]

    @property
    def stack_blame(self) -> pa.Table:
        return self.tables["stack_blame"]

    @property
    def lines(self) -> pa.Table:
        return self.tables["lines"]

    @cached_property
    def lines_known(self) -> float | None:
        """Of the time waited while another thread held the GIL, the share for which the holder's line is known.

        None if there was no such time, or no event has a stack.
        """
        return lines_known(self.lines)

    @property
    def regions(self) -> pa.Table:
        return self.tables["regions"]

    @property
    def requests(self) -> pa.Table:
        return self.tables["requests"]

    @property
    def request_blame(self) -> pa.Table:
        return self.tables["request_blame"]

    @property
    def request_split(self) -> pa.Table:
        return self.tables["request_split"]

    @cached_property
    def unobserved(self) -> frozenset[str]:
        """Which of `ticks`, `checks` and `retries` the trace did not record. What is computed from them is null."""
        return unobserved(self.metadata)

    def observed(self, kind: str) -> bool:
        """Whether findings of this kind can be seen in the trace."""
        return not ANALYZERS[kind].needs & self.unobserved

    @cached_property
    def counts(self) -> dict[str, int | None]:
        """Events by kind; RETRY is None if the trace did not record them."""
        columns = ("entries", "acquires", "releases", "busies", "failed_retries")
        numbers = {event: self.threads.column(name) for event, name in zip(EVENTS, columns, strict=True)}
        return {event: None if n.null_count else sum(n.to_pylist()) for event, n in numbers.items()}

    @property
    def badness(self) -> float | None:
        """Failed retries divided by checks; None if there were no checks or the trace did not record retries."""
        retries = self.counts["RETRY"]
        return retries / self.totals.checks if self.totals.checks and retries is not None else None

    @cached_property
    def names(self) -> dict[str, str]:
        """Thread id -> what to show for it: its name and, behind it, the id; the id where it has none."""
        columns = self.threads.select(["thread", "name"]).to_pydict()
        return {
            thread: printable(f"{name} ({thread})" if name and name != thread else thread)
            for thread, name in zip(columns["thread"], columns["name"], strict=True)
        }

    @property
    def new_gil(self) -> bool:
        """Whether this is Python 3.2's GIL or a later one: by its metadata, else by the absence of ticks."""
        told = self.metadata.get("gil")
        return told == "new" if told in ("old", "new") else not self.totals.has_ticks

    @cached_property
    def called(self) -> dict[str | None, str]:
        """Thread id -> what identifies the thread in all traces of a program: name, else id. None -> nothing."""
        columns = self.threads.select(["thread", "name"]).to_pydict()
        named = zip(columns["thread"], columns["name"], strict=True)
        return {None: "", **{thread: name or thread for thread, name in named}}

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What is worth naming, costliest first."""
        return explain(self._story)

    def losses(self, kind: str) -> list[Loss]:
        """What each thread lost by findings of this kind, small ones too; empty if the trace cannot show them."""
        return list(ANALYZERS[kind].losses(self._story)) if self.observed(kind) else []

    @cached_property
    def _story(self) -> Story:
        interval = whole_number(self.metadata.get("switch-interval-us", ""), 10**9)
        threads = {row["thread"]: row for row in self.threads.to_pylist()}
        return Story(
            unit=self.unit,
            duration=self.duration,
            new_gil=self.new_gil,
            switch_interval=None if interval is None else 1000 * interval,
            names=self.names,
            called=self.called,
            threads=threads,
            hogs=self._hogs(),
            causes=self.waited,
            release_kinds_known=self.totals.checks is not None and "checks" not in self.unobserved,
            free_gap=self.totals.free_wanted // self.totals.switches if self.totals.switches else None,
            groups=self.groups,
            unobserved=self.unobserved,
            places=self.places,
        )

    @cached_property
    def places(self) -> Places:
        """The lines at which threads waited, in words."""
        return Places(self.stack_blame, self.stacks)

    @cached_property
    def waited(self) -> dict[str, dict[str, Waited]]:
        """The table `causes` by cause and thread, those first that waited longest."""
        columns = {name: self.causes.column(name).combine_chunks() for name in self.causes.column_names}
        threads, causes = (columns[name].dictionary.to_pylist() for name in ("thread", "cause"))
        names = columns["holder"].dictionary.to_pylist()
        thread, cause = (numbers(columns[name].indices) for name in ("thread", "cause"))
        order = np.lexsort((thread, cause)).astype(np.int32)  # of one thread and cause together, the costliest first
        thread, cause = thread[order], cause[order]
        holder = np.maximum(int64_values(columns["holder"].indices)[order], -1).astype(np.int32)
        duration, waits = (int64_values(columns[name])[order] for name in ("duration", "waits"))
        begins = np.flatnonzero(np.diff(thread, prepend=-1) | np.diff(cause, prepend=-1))
        by_cause: dict[str, dict[str, Waited]] = {each: {} for each in CAUSES}
        for first, end in zip(begins.tolist(), np.append(begins, len(order))[1:].tolist(), strict=True):
            rows = slice(first, end)
            by_cause[causes[cause[first]]][threads[thread[first]]] = Waited(
                int(duration[rows].sum()), int(waits[rows].sum()), holder[rows], duration[rows], names
            )
        return {
            each: dict(sorted(waited.items(), key=lambda item: -item[1].duration)) for each, waited in by_cause.items()
        }

    def _hogs(self) -> dict[str, str]:
        """Waiter -> who held the GIL for the longest part of its waits."""
        columns = [self.blame.column(name).combine_chunks() for name in ("waiter", "holder")]
        waiters, holders = (int64_values(column.indices) for column in columns)
        held = holders != NULL
        unique, first = np.unique(waiters[held], return_index=True)  # of each waiter the longest comes first
        names = [column.dictionary.to_pylist() for column in columns]
        return {names[0][w]: names[1][h] for w, h in zip(unique, holders[held][first], strict=True)}

    def found(self, kind: Kind) -> tuple[int, float]:
        """How many findings of this kind there are in all, and their cost as a share of the trace's duration.

        The cost is at most 1; of failed retries it is that of the thread which lost most. Raises OptionError for a kind
        that does not exist, NotObservedError for one that this trace cannot show.
        """
        if kind not in KINDS:
            raise OptionError(f"There is no kind of finding {kind!r}.", f"There are {', '.join(KINDS)}.")
        if not self.observed(kind):
            missing = " and ".join(sorted(ANALYZERS[kind].needs & self.unobserved))
            raise NotObservedError(
                f"{self.path}: {ANALYZERS[kind].words} cannot be seen in this trace, which does not tell {missing}.",
                "Record it with tracekit, or leave them out.",
            )
        number, cost = ANALYZERS[kind].measured(self._story)
        return number, min(1.0, cost / self.duration) if self.duration else 0.0

    def flame(self, by: By = "holder") -> Flame:
        """The time waited while another thread held the GIL, as a tree of frames: by the holders' stacks, or
        (`waiter`) by the waiters'. Without frames if the trace has no stacks. Raises OptionError.
        """
        return flame(self.stack_blame, self.stacks, by, self.unit)

    def to_pandas(self, table: AnalysisTable, *, timedelta: bool = False) -> pd.DataFrame:
        """One of the tables as a DataFrame. Raises ValueError for an unknown table."""
        if table not in self.tables:
            raise ValueError(f"There is no table {table!r}; there are {', '.join(schemas.ANALYSIS_TABLES)}.")
        return schemas.to_pandas(self.tables[table], timedelta=timedelta)

    def figure(self, name: Figure) -> go.Figure:
        """One of the report's figures, for notebooks: timeline, blame, threads, waits, holds, handoffs or waiting.

        Raises OptionError for an unknown one.
        """
        from plotly import graph_objects

        from tracekit import figures

        return graph_objects.Figure(figures.figure(self, name))

    def report(self, path: str | os.PathLike[str], *, title: str | None = None, theme: Theme = "auto") -> None:
        """Writes the page of `tracekit report`. Raises OptionError, and what `picture` raises; else TracekitError."""
        from tracekit.files import beside
        from tracekit.reporters import html

        page = html.render([self], title=title, theme=theme)
        with beside(Path(path), [self.path]) as file:
            file.write_text(page, encoding="utf-8")

    def to_json(self) -> str:
        """What `tracekit analyze --json` prints: docs/json.md."""
        from tracekit.reporters import json

        return json.render([self])

    @overload
    def sql(self, query: str, *, arrow: Literal[False] = False) -> pd.DataFrame: ...

    @overload
    def sql(self, query: str, *, arrow: Literal[True]) -> pa.Table: ...

    def sql(self, query: str, *, arrow: bool = False) -> pd.DataFrame | pa.Table:
        """The rows that one SELECT finds: over this analysis' tables, and those of its trace, which it reads for that.

        arrow: as a `pyarrow.Table` instead of a DataFrame. Raises QueryError, and what `read` raises.
        """
        from tracekit.sql import Database, frame_of

        def derive(names: Sequence[str]) -> dict[str, pa.Table]:
            return {name: self.tables[name] if name in self.tables else self._trace[name] for name in names}

        with Database(derive) as database:
            rows = database.query(query)
        return rows if arrow else frame_of(rows)

    @cached_property
    def _trace(self) -> Any:
        from tracekit.trace import read_window

        return read_window(self._source, self._window) if isinstance(self._source, (str, os.PathLike)) else self._source

    def _repr_html_(self) -> str:
        from tracekit.figures import notebook

        return notebook.render(self)

    def __repr__(self) -> str:
        named = f"{len(self.findings)} finding{'' if len(self.findings) == 1 else 's'}"
        return f"<Analysis of {self.path}: {self.events:,} events, {self.duration:,} {self.unit}, {named}>"


def analyze(
    trace: Trace | str | os.PathLike[str],
    *,
    strict: bool = False,
    progress: OnProgress | None = None,
    strip_prefix: str | Sequence[str] = (),
    **thresholds: Unpack[Thresholds],
) -> Analysis:
    """Analyzes a trace: one in memory, or a file of any size, in memory that does not grow with it.

    strict: the first bad line raises BadLineError. progress: called now and then with bytes read and in all.
    strip_prefix: folders to leave out of the names of files in stacks and metadata (of a trace in memory `read` did).
    thresholds: those of `Options`, e.g. `min_rounds=3`.
    Raises SourceError, NoEventsError, BadLineError, OptionError.
    """
    return _analyze(trace, options_of(thresholds), None, strict, progress, strip_prefix=strip_prefix)


def analyze_window(
    path: str,
    window: Window | None,
    *,
    strict: bool = False,
    progress: OnProgress | None = None,
    strip_prefix: str | Sequence[str] = (),
    **thresholds: Unpack[Thresholds],
) -> Analysis:
    """`analyze` of a part of a trace."""
    options = options_of(thresholds)
    return _analyze(path, options, None, strict, progress, strip_prefix=strip_prefix, window=window)


def analyze_file(name: str, file: BinaryIO, **thresholds: Unpack[Thresholds]) -> Analysis:
    """`analyze` of an open binary file, e.g. of an object store. It need not seek, and stays open."""
    return _analyze(name, options_of(thresholds), None, file=file)


def analyze_and_draw(
    trace: Trace | str | os.PathLike[str],
    *,
    strict: bool = False,
    progress: OnProgress | None = None,
    strip_prefix: str | Sequence[str] = (),
    window: Window | None = None,
    **thresholds: Unpack[Thresholds],
) -> Analysis:
    """`analyze_window` that collects the picture in the same pass, for callers that will need it."""
    limits = PictureLimits()
    return _analyze(trace, options_of(thresholds), limits, strict, progress, strip_prefix=strip_prefix, window=window)


def _analyze(
    trace: Trace | str | os.PathLike[str],
    options: Options,
    limits: PictureLimits | None,
    strict: bool = False,
    progress: OnProgress | None = None,
    file: BinaryIO | None = None,
    strip_prefix: str | Sequence[str] = (),
    window: Window | None = None,
) -> Analysis:
    if not isinstance(trace, (str, os.PathLike)):
        if strip_prefix:
            raise OptionError(
                "strip_prefix is for files.", "Give it to `tracekit.read`, with which the trace was read."
            )
        result = trace.run(options, limits)
        return _analysis(trace.path, trace, result, trace.metadata, trace.summary, trace.bad_lines, options)
    with open_trace(trace, strict=strict, file=file, strip_prefix=strip_prefix, window=window) as stream:
        return replace(analyze_stream(stream, trace, options, progress, limits), _window=window)


def analyze_stream(
    stream: EventStream,
    source: str | os.PathLike[str],
    options: Options,
    progress: OnProgress | None = None,
    limits: PictureLimits | None = None,
) -> Analysis:
    """Reads the whole stream; what it tells about the trace is complete then. Raises what `analyze` raises.

    source: where the same can be read again. limits: those of the picture, if one is wanted at once.
    """
    result = timeline.run(stream, options, progress, limits)
    require_events(stream, result.totals.events)
    summary = summarise(stream.bad_lines, stream.ignored, stream.truncated, result.totals, stream.first_line)
    result = replace(result, tables=hide_all(result.tables, stream.metadata))
    return _analysis(stream.path, source, result, stream.metadata, summary, stream.bad_lines.total, options)


def _analysis(
    path: str,
    source: Trace | str | os.PathLike[str],
    result: Timeline,
    metadata: dict[str, str],
    diagnostics: tuple[Diagnostic, ...],
    bad_lines: int,
    options: Options,
) -> Analysis:
    return Analysis(
        path, result.unit, result.totals, metadata, result.tables, result.groups, diagnostics, bad_lines, options,
        source, result.picture,
    )  # fmt: skip


def options_of(thresholds: Mapping[str, Any]) -> Options:
    """Raises OptionError for an unknown threshold, or a value out of its range."""
    known = [field.name for field in fields(Options)]
    for name in thresholds:
        if name not in known:
            raise OptionError(f"There is no threshold {name!r}.", f"There are {', '.join(known)}.")
    return Options(**thresholds)
