"""Events in Parquet: the file `events.parquet` of a folder, or one file by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tracekit.model.header import KEY, from_json
from tracekit.model.source import Source
from tracekit.model.stream import EventStream
from tracekit.parsers.columnar import HEADER_LIMIT, READ_ERRORS, ColumnarStream, events_columns, unreadable

_BATCH_EVENTS = 1 << 17
_FOOTER_LIMIT = 2 * HEADER_LIMIT  # it is there twice, once as Arrow's


def sniff(head: bytes) -> float:
    return float(head.startswith(b"PAR1"))


def open_stream(source: Source, strict: bool, whole: bool) -> EventStream:
    """A stream of the events; of the file only the columns that it needs are read."""
    import pyarrow.parquet as pq

    path = source.path
    try:
        file = pq.ParquetFile(
            source.file("Parquet"),
            pre_buffer=True,
            page_checksum_verification=True,
            thrift_string_size_limit=_FOOTER_LIMIT,
        )
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    columns = events_columns(file.schema_arrow, path)
    told = (file.schema_arrow.metadata or {}).get(KEY.encode())
    rows, total, read = file.metadata.num_rows, source.size or 0, 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal read
        for batch in file.iter_batches(_BATCH_EVENTS, columns=columns):
            read += batch.num_rows
            yield batch

    def close() -> None:
        file.close()
        source.close()

    return ColumnarStream(
        path, from_json(told, path) if told else None, batches(), lambda: (total * read // (rows or 1), total), close
    )
