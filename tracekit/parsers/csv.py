"""Events as CSV: a line of columns' names, `thread` and `event` among them; before it may stand `convert`'s header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tracekit.header import KEY, from_json
from tracekit.parsers.columnar import COLUMNS, ColumnarStream, events_columns, unreadable
from tracekit.source import Source
from tracekit.stream import EventStream

NAME = "csv"
_HEADER = f"# {KEY}: ".encode()
_BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 22


def sniff(head: bytes) -> float:
    """1 for `convert`'s own, and where the first line names the columns that are needed."""
    first = head.removeprefix(_BOM).split(b"\n")[0]
    names = {name.strip(b' "\r') for name in first.split(b",")}
    return float(first.startswith(_HEADER) or {b"thread", b"event"} <= names)


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    """A stream of the events, from a file or a pipe, compressed or not."""
    from pyarrow import csv

    path = source.path
    reader = source.reader()
    told = None
    if source.head.removeprefix(_BOM).startswith(_HEADER):
        told = from_json(reader.readline().removeprefix(_BOM).removeprefix(_HEADER), path)
    words = pa.dictionary(pa.int32(), pa.string())
    types = {"thread": words, "event": words} | {
        name: pa.int64() for name in COLUMNS if name not in ("thread", "event")
    }
    skipped = 2 if told else 1

    def shown(error: Exception) -> Any:
        """With the line of the file instead of the row of the table."""
        return pa.ArrowInvalid(re.sub(r"Row #(\d+)", lambda found: f"line {int(found[1]) + skipped - 1}", str(error)))

    try:
        table = csv.open_csv(
            reader,
            csv.ReadOptions(block_size=_BLOCK, use_threads=False),  # with threads, errors do not tell the row
            csv.ParseOptions(newlines_in_values=False),
            csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, shown(error)) from error
    columns = events_columns(table.schema, path)

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for batch in table:
                yield batch.select(columns)
        except pa.ArrowException as error:
            raise shown(error) from error

    def close() -> None:
        table.close()
        source.close()

    return ColumnarStream(path, told, batches(), lambda: (source.position() or 0, source.size), close)
