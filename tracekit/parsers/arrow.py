"""Events as Arrow IPC, files (Feather V2) and streams."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tracekit.model.header import KEY, from_json
from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers.columnar import READ_ERRORS, ColumnarStream, events_columns, unreadable

_FILE, _STREAM = b"ARROW1", b"\xff\xff\xff\xff"


def sniff(head: bytes) -> float:
    return float(head.startswith((_FILE, _STREAM)))


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    """A stream of the events. An IPC file cannot come from a pipe, an IPC stream can."""
    path, total, count, read = source.path, source.size or 0, 0, 0
    try:
        if source.head.startswith(_FILE):
            file = pa.OSFile(source.file("An Arrow file"))  # not mapped: it may shrink
            reader = pa.ipc.open_file(file)
            count = reader.num_record_batches
            batches = (reader.get_batch(place) for place in range(count))
        else:
            file = pa.PythonFile(source.reader(), mode="r")
            reader = pa.ipc.open_stream(file)
            batches = iter(reader)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    columns = events_columns(reader.schema, path)
    told = (reader.schema.metadata or {}).get(KEY.encode())

    def selected() -> Iterator[pa.RecordBatch]:
        nonlocal read
        for batch in batches:
            read += 1
            yield batch.select(columns)

    def position() -> tuple[int, int | None]:
        """Of a file, of which parts are read wherever they lie, the share of its batches."""
        return (total * read // count if count else source.position() or 0), source.size

    def close() -> None:
        file.close()
        source.close()

    return ColumnarStream(path, from_json(told, path) if told else None, selected(), position, close)
