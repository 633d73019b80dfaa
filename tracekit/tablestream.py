"""A trace of any length as its tables, piece by piece: what a writer takes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyarrow as pa

from tracekit.analysis import Analysis, analyze
from tracekit.stream import Progress
from tracekit.trace import read

PIECEWISE = (
    "events",
    "holds",
    "waits",
    "switches",
    "failed_retries",
    "battles",
    "convoys",
    "frozen_signals",
    "long_holds",
)
"""The tables that come in pieces. All others are small, and whole in `TableStream.analysis`."""


class TableStream:
    """A trace that is read twice or more: first for what is known of the whole, then for its tables' rows.

    Attributes:
        path: as the user named it.
        analysis: with the default thresholds: unit, metadata, totals, findings in words, and the small tables.
    """

    def __init__(self, path: str | os.PathLike[str], *, strict: bool = False, progress: Progress | None = None) -> None:
        """Reads the whole trace once. Raises what `analyze` raises."""
        self.analysis: Analysis = analyze(path, strict=strict, progress=progress)
        self.path = self.analysis.path

    def pieces(self, *tables: str) -> Iterator[tuple[str, pa.Table]]:
        """Reads the trace again and gives the rows of these tables, of `PIECEWISE`: (table, some of its rows).

        Each table's rows come in order: events by seq, all others as they end. Every thread column has the same
        dictionary, all threads in the order of their first events. Raises SourceError.
        """
        trace = read(self.path)
        for table in tables:
            yield table, getattr(trace, table) if hasattr(trace, table) else getattr(self.analysis, table)
