"""Events that come as columns already (Parquet, Arrow, CSV, JSON lines, pandas) as a stream: checked, and coded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.errors import NoEventsError, SchemaError, SourceError
from tracekit.model.arrays import NULL, categories, int64_values, integers, strings
from tracekit.model.header import Header, check_stamp
from tracekit.model.stream import BATCH_SCHEMA, COUNT_LIMIT, EVENTS, TIME_LIMIT, EventStream, event_column

COLUMNS = tuple(BATCH_SCHEMA.names)
OPTIONAL = ("ticks", "checks", "time")
_RANGES = {"ticks": (-COUNT_LIMIT, COUNT_LIMIT), "checks": (-COUNT_LIMIT, COUNT_LIMIT), "time": (0, TIME_LIMIT)}
_HINT = "docs/tables.md describes the table events: thread and event are needed; ticks, checks and time may be missing."
_WORD = pa.dictionary(pa.int32(), pa.string())


def events_columns(schema: pa.Schema, path: str) -> list[str]:
    """Those columns of a file that a stream needs. Raises SchemaError: there is one missing, or of a later version."""
    stamp = (schema.metadata or {}).get(b"tracekit.schema")
    check_stamp(stamp.decode("utf-8", "replace") if stamp else None, "events", path)
    for name in COLUMNS:
        if schema.names.count(name) != 1 and (name not in OPTIONAL or name in schema.names):
            raise SchemaError(f"{path}: it has {schema.names.count(name) or 'no'} columns named {name}.", _HINT)
    return [name for name in COLUMNS if name in schema.names]


class ColumnarStream(EventStream):
    """A stream over record batches with the columns of `events_columns`, in any types that hold the same values.

    position: as `EventStream.position`. Raises while it is iterated: SourceError for a value that no event can have,
    NoEventsError where there is no row.
    """

    def __init__(
        self,
        path: str,
        header: Header | None,
        batches: Iterator[pa.RecordBatch],
        position: Callable[[], tuple[int, int | None]],
        close: Callable[[], None],
    ) -> None:
        super().__init__(path)
        if header:
            header.tell(self)
        self._batches = batches
        self._position = position
        self._close = close
        self._codes: dict[str, int] = {}
        self._dictionary = strings([])
        self._rows = 0

    def line_numbers(self) -> Callable[[int], int | None]:
        return lambda seq: None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                if batch.num_rows:
                    yield self._checked(batch)
                    self._rows += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, error) from error
        if not self._rows:
            raise NoEventsError(f"{self.path}: the table of events has no rows.", "Name another trace.")

    def _checked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        return pa.RecordBatch.from_arrays(
            [
                self._threads(columns["thread"]),
                *(self._integers(name, columns.get(name), batch.num_rows) for name in ("ticks", "checks")),
                self._events(columns["event"]),
                self._integers("time", columns.get("time"), batch.num_rows),
            ],
            names=BATCH_SCHEMA.names,
        )

    def _refuse(self, what: str, row: int) -> SourceError:
        return SourceError(f"{self.path}: row {self._rows + row + 1}: {what}.", _HINT)

    def _integers(self, name: str, column: pa.Array | None, rows: int) -> pa.Array:
        if column is None or column.null_count == rows:
            return pa.nulls(rows, pa.int64())
        if column.type != pa.int64():
            try:
                column = column.cast(pa.int64())
            except pa.ArrowException as error:
                raise SourceError(
                    f"{self.path}: the column {name} holds no integers ({_first(error)}).", _HINT
                ) from error
        values = int64_values(column)
        least, most = _RANGES[name]
        wrong = (values > most) | ((values < least) & (values != NULL))
        if np.count_nonzero(values == NULL) != column.null_count:  # a value that stands for null elsewhere
            wrong |= values == NULL
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self._refuse(f"{name} is {values[row]}, which is out of range ({least} to {most})", row)
        return column if not column.offset else integers(values, values == NULL)

    def _words(self, name: str, column: pa.Array) -> tuple[npt.NDArray[np.int32], list[str]]:
        """Its values as codes of words."""
        if column.null_count:
            row = next(row for row, valid in enumerate(column.is_valid().to_pylist()) if not valid)
            raise self._refuse(f"there is no {name}", row)
        try:
            if pa.types.is_dictionary(column.type):
                column = column.cast(_WORD)
            else:
                column = column.cast(pa.string()).dictionary_encode()
        except pa.ArrowException as error:
            raise SourceError(f"{self.path}: the column {name} holds no words ({_first(error)}).", _HINT) from error
        return int64_values(column.indices).astype(np.int32), column.dictionary.to_pylist()

    def _threads(self, column: pa.Array) -> pa.Array:
        codes, words = self._words("thread", column)
        known = len(self._codes)
        if any(word not in self._codes for word in words):
            used, first = np.unique(codes, return_index=True)
            for place in np.argsort(first):
                word = words[used[place]]
                if word not in self._codes:
                    self._check_thread(word, int(first[place]))
                    self._codes[word] = len(self._codes)
        if len(self._codes) > known:
            self.threads = list(self._codes)
            self._dictionary = strings(self.threads)
        of_word = np.array([self._codes.get(word, 0) for word in words], np.int32)  # a word that is not used: any
        return categories(of_word[codes], self._dictionary)

    def _check_thread(self, word: Any, row: int) -> None:
        odd = not word or word.startswith("#") or any(blank in word for blank in " \t\n\r\0")
        if odd:
            raise self._refuse(
                f"{word!r} cannot be a thread's id: it is empty, begins with #, or has a blank in it", row
            )

    def _events(self, column: pa.Array) -> pa.Array:
        codes, words = self._words("event", column)
        of_word = np.array([EVENTS.index(word.upper()) if word.upper() in EVENTS else -1 for word in words], np.int8)
        coded = of_word[codes]
        if coded.min() < 0:
            row = int(np.argmin(coded))
            raise self._refuse(f"the event {words[codes[row]]!r} is none of {', '.join(EVENTS)}", row)
        return event_column(coded)

    def position(self) -> tuple[int, int | None]:
        return self._position()

    def close(self) -> None:
        self._close()


def unreadable(path: str, error: Exception) -> SourceError:
    return SourceError(f"{path}: cannot be read: {_first(error)}.", "It may be damaged or cut short: convert it again.")


def _first(error: Exception) -> str:
    """The first line of Arrow's message."""
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
