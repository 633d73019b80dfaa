"""DataFrames of events: the metadata they carry, and the accessor `df.gil`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partialmethod
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from tracekit.analyzers import COLLECTED
from tracekit.errors import SchemaError
from tracekit.model import schemas
from tracekit.model.definitions import Definitions
from tracekit.model.naming import Names
from tracekit.model.rows import Options
from tracekit.parsers.columnar import COLUMNS, OPTIONAL, ColumnarStream
from tracekit.timeline import Timeline

if TYPE_CHECKING:
    import pandas as pd

    from tracekit.names import Table

ATTRS = "tracekit"
"""The key of `DataFrame.attrs` that holds a trace's metadata, names, and definitions, one a line."""


class TraceLike(Protocol):
    """What the accessor needs of a `Trace`."""

    def to_pandas(self, table: Table) -> pd.DataFrame: ...
    def run(self, options: Options) -> Timeline: ...


def stream_of(frame: pd.DataFrame, metadata: Mapping[str, str] | None) -> ColumnarStream:
    """The rows of a frame, in their order, as a stream. Raises SchemaError: a column that is needed is missing."""
    missing = [name for name in COLUMNS if name not in OPTIONAL and name not in frame.columns]
    if missing:
        raise SchemaError(
            f"The frame has no column {missing[0]}.", f"It needs thread and event, and may have {', '.join(OPTIONAL)}."
        )
    columns = [name for name in COLUMNS if name in frame.columns]
    try:
        table = pa.Table.from_pandas(frame[columns], preserve_index=False)
    except (pa.ArrowException, TypeError) as error:
        raise SchemaError(
            f"The frame cannot be read: {error}.", "docs/tables.md describes the table events."
        ) from error
    rows = len(frame)
    stream = ColumnarStream("DataFrame", None, iter(table.to_batches()), lambda: (rows, rows), lambda: None)
    kept: Any = frame.attrs.get(ATTRS) or {}
    stream.metadata = dict(kept.get("metadata", {})) if metadata is None else dict(metadata)
    stream.names = Names(kept.get("names", {}))
    try:
        stream.definitions = Definitions.read(line for line in str(kept.get("definitions", "")).split("\n") if line)
    except ValueError as error:
        raise SchemaError(f"The frame's attrs are damaged: {error}.", "Take the frame from the trace again.") from error
    return stream


def register(from_pandas: Callable[[pd.DataFrame], TraceLike]) -> None:
    """Gives every DataFrame the accessor `gil`, once."""
    import pandas as pd

    if hasattr(pd.DataFrame, "gil"):
        return

    class Gil:
        """A frame of events, with the columns of `trace.events`, as a trace. Its tables as DataFrames: docs/tables.md.

        Thresholds are those of `analyze`. Raises AttributeError for a frame that has not the columns.
        """

        def __init__(self, frame: pd.DataFrame) -> None:
            try:
                self.trace = from_pandas(frame)
            except SchemaError as error:
                raise AttributeError(f"df.gil is for a frame of events. {error}") from error

        def holds(self) -> pd.DataFrame:
            return self.trace.to_pandas("holds")

        def waits(self) -> pd.DataFrame:
            return self.trace.to_pandas("waits")

        def switches(self) -> pd.DataFrame:
            return self.trace.to_pandas("switches")

        def threads(self) -> pd.DataFrame:
            return self.trace.to_pandas("threads")

        def blame(self) -> pd.DataFrame:
            return self.trace.to_pandas("blame")

        def _findings(self, kind: str, **thresholds: Any) -> pd.DataFrame:
            return schemas.to_pandas(self.trace.run(Options(**{"worst": 2**61} | thresholds)).tables[kind])

    for kind in COLLECTED:
        setattr(Gil, kind, partialmethod(Gil._findings, kind))
    pd.api.extensions.register_dataframe_accessor("gil")(Gil)
