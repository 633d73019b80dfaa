"""Events as CSV: a line of columns' names, `thread` and `event` among them; before it may stand `convert`'s header."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa

from tracekit.model.header import KEY, from_json
from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers.columnar import (
    COLUMNS,
    HEADER_LIMIT,
    READ_ERRORS,
    ColumnarStream,
    events_columns,
    line_of,
    unreadable,
)

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
        told = from_json(line_of(reader, path, HEADER_LIMIT).removeprefix(_BOM).removeprefix(_HEADER), path)
    names = line_of(reader, path).removeprefix(_BOM)
    words = pa.dictionary(pa.int32(), pa.string())
    types = {"thread": words, "event": words} | {
        name: pa.string() if name == "unlocks" else pa.int64() for name in COLUMNS if name not in ("thread", "event")
    }

    def table(block: bytes, only: list[str] | None = None) -> pa.Table:
        # Without threads errors tell the row; and a Python file would be read by a thread that may outlive everything.
        text = names + block
        return csv.read_csv(
            pa.BufferReader(text),
            csv.ReadOptions(use_threads=False, block_size=len(text) + 1),
            convert_options=csv.ConvertOptions(
                column_types=types, strings_can_be_null=False, include_columns=only, check_utf8=False
            ),
        )

    def batches(line: int) -> Iterator[pa.RecordBatch]:
        """`line` is the number of the first that comes."""
        while block := reader.read(_BLOCK):
            block += line_of(reader, path)
            try:
                yield from table(block, columns).to_batches()
            except pa.ArrowException as error:
                raise pa.ArrowInvalid(_with_lines(str(error), line - 2)) from error
            line += block.count(b"\n")

    try:
        columns = events_columns(table(b"").schema, path)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    rows = batches(3 if told else 2)
    return ColumnarStream(path, told, rows, lambda: (source.position() or 0, source.size), source.close)


def _with_lines(message: str, before: int) -> str:
    """Lines of the file instead of rows of a block, before which there are so many."""
    return re.sub(r"Row #(\d+)", lambda match: f"line {int(match[1]) + before}", message)
