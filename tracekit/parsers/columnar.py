"""Events that come as columns already (Parquet, Arrow, CSV, JSON lines, pandas) as a stream: checked, and coded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracekit.errors import NoEventsError, SchemaError, SourceError
from tracekit.model.arrays import NULL, categories, int64_values, integers, strings
from tracekit.model.attributes import (
    BELONGS,
    FIELDS,
    LEAST,
    MOST_UNLOCKS,
    VALUE_LIMIT,
    Sparse,
    flat,
    joined,
    numbered,
    with_attributes,
)
from tracekit.model.attributes import columns as attribute_columns
from tracekit.model.header import Header, check_stamp
from tracekit.model.stream import (
    BATCH_SCHEMA,
    COUNT_LIMIT,
    EVENTS,
    ID_LIMIT,
    LINE_LIMIT,
    TIME_LIMIT,
    EventStream,
    event_column,
)

COLUMNS = (*BATCH_SCHEMA.names, *FIELDS)
OPTIONAL = ("ticks", "checks", "time", *FIELDS)
_RANGES = {
    "ticks": (-COUNT_LIMIT, COUNT_LIMIT),
    "checks": (-COUNT_LIMIT, COUNT_LIMIT),
    "time": (0, TIME_LIMIT),
    **{name: (least, VALUE_LIMIT) for name, least in LEAST.items()},
}
_HINT = "docs/tables.md describes the table events: thread and event are needed; all others may be missing."
_PIECE_ROWS = 1 << 17
COLUMN_LIMIT = 4096
HEADER_LIMIT = 1 << 28
"""Bytes of a line with `Header`: it may have every thread's name, and all definitions."""


def events_columns(schema: pa.Schema, path: str) -> list[str]:
    """Those columns of a file that a stream needs. Raises SchemaError: there is one missing, or of a later version."""
    stamp = (schema.metadata or {}).get(b"tracekit.schema")
    check_stamp(stamp.decode("utf-8", "replace") if stamp else None, "events", path)
    if len(schema) > COLUMN_LIMIT:
        raise SchemaError(f"{path}: it has {len(schema):,} columns, and no more than {COLUMN_LIMIT:,} are read.", _HINT)
    try:
        names = schema.names
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path}: the name of a column is no UTF-8.", _HINT) from error
    for name in COLUMNS:
        if names.count(name) != 1 and (name not in OPTIONAL or name in names):
            raise SchemaError(f"{path}: it has {names.count(name) or 'no'} columns named {name}.", _HINT)
        if name in names:
            _check_type(name, schema.field(name).type, path)
    return [name for name in COLUMNS if name in names]


def _check_type(name: str, kind: pa.DataType, path: str) -> None:
    """A value must be one thing. Runs and extensions could stand for any number of rows, or for anything."""
    of = kind.value_type if pa.types.is_dictionary(kind) else kind
    if name == "unlocks" and _is_list(of):
        of = of.value_type
    odd = pa.types.is_nested(of) or pa.types.is_dictionary(of) or pa.types.is_run_end_encoded(of)
    if odd or isinstance(of, pa.BaseExtensionType):
        raise SchemaError(f"{path}: the column {name} has lists, records, runs or the like instead of values.", _HINT)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


class _Known:
    """The words of a column's dictionary, and the codes of those that were met."""

    def __init__(self, words: pa.Array) -> None:
        self.given = words
        self.place = _place(words)
        self.words = words.cast(pa.string())
        self.codes = np.full(len(words), -1, np.int32)


def _place(words: pa.Array) -> list[int]:
    """Where an array lies in memory: files of many batches have one dictionary for them all."""
    return [len(words), words.offset, *(buffer.address if buffer else 0 for buffer in words.buffers())]


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
        self._known: dict[str, _Known] = {}
        self._rows = 0

    def line_numbers(self) -> Callable[[int], int | None]:
        return lambda seq: None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                for name, column in columns.items():
                    self._validate(name, column)
                for start in range(0, batch.num_rows, _PIECE_ROWS):
                    rows = min(_PIECE_ROWS, batch.num_rows - start)
                    yield self._checked({name: column.slice(start, rows) for name, column in columns.items()}, rows)
                    self._rows += rows
        except READ_ERRORS as error:
            raise unreadable(self.path, error) from error
        if not self._rows:
            raise NoEventsError(f"{self.path}: the table of events has no rows.", "Name another trace.")

    def _validate(self, name: str, column: pa.Array) -> None:
        """What a file says of its own buffers is believed by nobody else behind this."""
        if not pa.types.is_dictionary(column.type):
            column.validate(full=True)
            return
        column.indices.validate(full=True)
        known = self._known.get(name)
        if known is None or known.place != _place(column.dictionary):
            column.dictionary.validate(full=True)
            self._known[name] = _Known(column.dictionary)

    def _checked(self, columns: Mapping[str, pa.Array], rows: int) -> pa.RecordBatch:
        events = self._codes_of("event", columns["event"], self._event_code).astype(np.int8)
        time = self._integers("time", columns.get("time"), rows)
        checked = pa.RecordBatch.from_arrays(
            [
                self._threads(columns["thread"]),
                *(self._integers(name, columns.get(name), rows) for name in ("ticks", "checks")),
                event_column(events),
                time,
            ],
            names=BATCH_SCHEMA.names,
        )
        parts = [
            self._attribute(key, name, columns[name], events, int64_values(time))
            for key, name in enumerate(FIELDS)
            if name in columns and columns[name].null_count < rows
        ]
        return with_attributes(checked, attribute_columns(joined(parts), rows)) if parts else checked

    def _attribute(
        self, key: int, name: str, column: pa.Array, events: npt.NDArray[np.int8], times: npt.NDArray[np.int64]
    ) -> Sparse:
        """Those of its values that count: of rows that have a time, on events that they belong to."""
        if name == "unlocks":
            rows, values = self._lists(name, column)
        else:
            every = int64_values(self._integers(name, column, len(column)))
            rows = np.flatnonzero(every != NULL)
            values = every[rows]
        counts = np.isin(events[rows], [EVENTS.index(event) for event in BELONGS[name]]) & (times[rows] != NULL)
        return numbered(rows[counts], values[counts], key)

    def _lists(self, name: str, column: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows and the values of lists of integers, or of words `3,9`."""
        import pyarrow.compute as pc

        if not _is_list(column.type):
            words = column.cast(pa.string())
            column = pc.split_pattern(pc.if_else(pc.equal(words, ""), None, words), ",")
        try:
            column = column.cast(FIELDS[name])
        except pa.ArrowException as error:
            raise SourceError(f"{self.path}: the column {name} holds no ids ({_first(error)}).", _HINT) from error
        rows, values = flat(column)
        wrong = (values < 1) | (values > VALUE_LIMIT) | (np.bincount(rows, minlength=1)[rows] > MOST_UNLOCKS)
        if wrong.any():
            row = int(rows[np.argmax(wrong)])
            raise self._refuse(f"{name} has an id that is none (1 to {VALUE_LIMIT}), or more than {MOST_UNLOCKS}", row)
        return rows, values

    def _refuse(self, what: str, row: int) -> SourceError:
        return SourceError(f"{self.path}: row {self._rows + row + 1}: {what}.", _HINT)

    def _integers(self, name: str, column: pa.Array | None, rows: int) -> pa.Array:
        if column is None or column.null_count == rows:
            return pa.nulls(rows, pa.int64())
        if pa.types.is_dictionary(column.type):
            self._indices(name, column)
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

    def _indices(self, name: str, column: pa.Array) -> npt.NDArray[np.int64]:
        """The places of a column's values in its dictionary; NULL where there is none."""
        places = int64_values(column.indices)
        wrong = ((places < 0) & (places != NULL)) | (places >= len(column.dictionary))
        if wrong.any():
            row = int(np.argmax(wrong))
            size = len(column.dictionary)
            raise self._refuse(f"{name} is word {places[row]} of a dictionary of {size:,} (they count from 0)", row)
        return places

    def _codes_of(
        self, name: str, column: pa.Array, code_of: Callable[[str | None, int], int]
    ) -> npt.NDArray[np.int32]:
        """Its values as codes; `code_of` is asked once for each word, in the order of their first rows."""
        if column.null_count:
            raise self._refuse(f"there is no {name}", column.is_valid().to_pylist().index(False))
        if pa.types.is_dictionary(column.type):
            places, known = self._indices(name, column), self._known[name]
        else:
            try:
                encoded = column.cast(pa.string()).dictionary_encode()
            except pa.ArrowException as error:
                raise SourceError(f"{self.path}: the column {name} holds no words ({_first(error)}).", _HINT) from error
            places, known = int64_values(encoded.indices), _Known(encoded.dictionary)
        new = np.flatnonzero(known.codes[places] < 0)
        if len(new):
            used, first = np.unique(places[new], return_index=True)
            for place in np.argsort(first):
                known.codes[used[place]] = code_of(known.words[int(used[place])].as_py(), int(new[first[place]]))
        return known.codes[places]

    def _threads(self, column: pa.Array) -> pa.Array:
        codes = self._codes_of("thread", column, self._thread_code)
        if len(self._dictionary) < len(self.threads):
            self._dictionary = strings(self.threads)
        return categories(codes, self._dictionary)

    def _thread_code(self, word: str | None, row: int) -> int:
        code = self._codes.get(word) if word else None
        if code is None:
            if not word or word.startswith("#") or any(blank in word for blank in " \t\n\r\0"):
                raise self._refuse(
                    f"{word!r:.100} cannot be a thread's id: it is empty, begins with #, or has a blank in it", row
                )
            if len(word.encode()) > ID_LIMIT:
                raise self._refuse(f"the id of its thread is longer than {ID_LIMIT:,} bytes", row)
            code = self._codes[word] = self.add_thread(word)
        return code

    def _event_code(self, word: str | None, row: int) -> int:
        if word is None or word.upper() not in EVENTS:
            raise self._refuse(f"the event {word!r:.100} is none of {', '.join(EVENTS)}", row)
        return EVENTS.index(word.upper())

    def position(self) -> tuple[int, int | None]:
        return self._position()

    def close(self) -> None:
        self._close()


def line_of(reader: io.BufferedReader, path: str, limit: int = LINE_LIMIT) -> bytes:
    """The rest of the line. Raises SourceError: it is longer than any that is written."""
    line = reader.readline(limit + 1)
    if len(line) > limit:
        raise SourceError(f"{path}: a line is longer than {limit >> 20} MiB.", "It is not a table of events.")
    return line


READ_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError)
"""What Arrow's readers raise; the last two of names that are no UTF-8, and of sizes that cannot be."""


def unreadable(path: str, error: Exception) -> SourceError:
    why = "a part of it is larger than memory, or says so" if isinstance(error, MemoryError) else _first(error)
    return SourceError(f"{path}: cannot be read: {why}.", "It may be damaged or cut short: convert it again.")


def _first(error: Exception) -> str:
    """The first line of Arrow's message."""
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
