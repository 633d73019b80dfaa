"""Events as JSON lines, objects with at least `thread` and `event`; before them may stand `convert`'s header."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import pyarrow as pa

from tracekit.errors import SourceError
from tracekit.model.attributes import FIELDS
from tracekit.model.header import KEY, from_json
from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers.columnar import COLUMNS, HEADER_LIMIT, ColumnarStream, line_of, unreadable

_BLOCK = 1 << 22


def sniff(head: bytes) -> float:
    """1 if the first line begins like `convert`'s header or an event."""
    first = head.split(b"\n")[0].strip()
    begins = first.startswith(b"{") and (KEY.encode() in first[:40] or (b'"thread"' in first and b'"event"' in first))
    return float(begins)


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    """A stream of the events, from a file or a pipe, compressed or not."""
    path = source.path
    reader = source.reader()
    told = None
    if KEY.encode() in source.head[:40]:
        try:
            header = json.loads(line_of(reader, path, HEADER_LIMIT))[KEY]
        except (ValueError, KeyError, TypeError) as error:
            raise unreadable(path, error) from error
        except RecursionError as error:
            raise unreadable(path, ValueError("its first line is nested too deep")) from error
        told = from_json(json.dumps(header), path)
    return ColumnarStream(
        path, told, _batches(reader, path, 2 if told else 1),
        lambda: (source.position() or 0, source.size), source.close,
    )  # fmt: skip


_NO_OBJECT = re.compile(rb"^[ \t\r]*[^ \t\r\n{]", re.MULTILINE)
_MORE = re.compile(rb"}[ \t\r]*[^ \t\r\n,}\]]")


def _require_objects(block: bytes, path: str, line: int) -> None:
    """Each line one object: of a bare null Arrow's reader takes a member. Raises SourceError."""
    odd = _NO_OBJECT.search(block)
    for more in _MORE.finditer(block):  # mostly within a string
        start, end = block.rfind(b"\n", 0, more.start()) + 1, block.find(b"\n", more.start())
        try:
            json.loads(block[start : end if end >= 0 else len(block)])
        except (ValueError, RecursionError):
            odd = odd or more
            break
    if odd:
        number = line + block.count(b"\n", 0, odd.start())
        raise SourceError(f"{path}: line {number} is not one JSON object.", "Each line is an event, and nothing else.")


def _batches(reader: io.BufferedReader, path: str, line: int) -> Iterator[pa.RecordBatch]:
    """Whole lines at a time; `line` is the number of the first."""
    from pyarrow import json as arrow_json

    words = ("thread", "event")
    schema = pa.schema([(name, pa.string() if name in words else FIELDS.get(name, pa.int64())) for name in COLUMNS])
    options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    while block := reader.read(_BLOCK):
        block += line_of(reader, path)
        _require_objects(block, path, line)
        try:
            table = arrow_json.read_json(
                pa.BufferReader(block), arrow_json.ReadOptions(use_threads=False, block_size=len(block)), options
            )
        except pa.ArrowException as error:
            raise pa.ArrowInvalid(f"{error} (rows count from line {line})") from error
        yield from table.to_batches()
        line += block.count(b"\n")
