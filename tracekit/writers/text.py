"""The text format of docs/format.md: metadata, names, definitions, then the events, one blank between columns."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import pyarrow as pa

from tracekit.model.attributes import FIELDS
from tracekit.model.header import Header
from tracekit.writers.lines import join, texts, word
from tracekit.writers.tablestream import TableStream


def write(trace: TableStream, out: BinaryIO) -> None:
    """Writes the events. Bad lines, other comments and annotations are dropped; the number of bad lines is kept."""
    write_events(trace.header, (batch for _, events in trace.pieces("events") for batch in events.to_batches()), out)


def write_events(header: Header, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> None:
    """batches: of the table `events`, or of a stream."""
    begun = False
    for line in comments(header):
        out.write(f"# {line}\n".encode())
        begun = True
    for batch in batches:
        lines = event_lines(batch)
        if not begun and lines.startswith(codecs.BOM_UTF8):
            out.write(codecs.BOM_UTF8)  # or the thread's id would lose its own, as the file's
        begun = begun or bool(lines)
        out.write(lines)


def comments(header: Header) -> Iterator[str]:
    """`KEY: VALUE`, without what stands before it."""
    metadata = dict(header.metadata)
    if header.bad_lines.total:
        metadata["bad-lines"] = str(header.bad_lines.total)
    yield from (f"{key}: {value}" if value else f"{key}:" for key, value in metadata.items())
    yield from (f"thread: {thread} = {name}" for thread, name in header.names.items())
    yield from header.definitions.lines()


def event_lines(batch: pa.RecordBatch) -> bytes:
    """Events of the table `events` as text."""
    import pyarrow.compute as pc

    columns = [texts(batch.column(name)) for name in ("thread", "ticks", "checks", "event", "time")]
    for place in (1, 2):
        columns[place] = pc.fill_null(columns[place], word("-"))
    for name in (name for name in FIELDS if name in batch.schema.names):
        column = batch.column(name)
        if column.null_count < len(column):
            columns.append(pc.binary_join_element_wise(word(f"{name}="), texts(column), word("")))
    # A time may be missing, and attributes.
    lines = pc.binary_join_element_wise(*columns, word(" "), null_handling="skip")
    return join([lines, "\n"])
