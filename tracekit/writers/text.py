"""The text format of docs/format.md: metadata, names, definitions, then the events, one blank between columns."""

from __future__ import annotations

import bisect
import codecs
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from tracekit.model.attributes import FIELDS
from tracekit.model.header import Header
from tracekit.writers.lines import join, texts, word

if TYPE_CHECKING:
    from tracekit.writers.tablestream import TableStream

_FEW = 2000
"""So many rows take less time than to import Arrow's compute functions."""


def write(trace: TableStream, out: BinaryIO) -> None:
    """Writes the events. Bad lines, other comments and annotations are dropped; the number of bad lines is kept."""
    write_events(trace.header, (batch for _, events in trace.pieces("events") for batch in events.to_batches()), out)


def write_events(header: Header, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> None:
    """batches: of the table `events`, or of a stream."""
    begun = False
    for line in comments(header):
        out.write(f"# {line}\n".encode())
        begun = True
    renames, done, seq = header.names.renames, 0, 0
    for batch in batches:
        lines, seq = event_lines(batch), seq + batch.num_rows
        if not begun and lines.startswith(codecs.BOM_UTF8):
            out.write(codecs.BOM_UTF8)  # or the thread's id would lose its own, as the file's
        begun = begun or bool(lines)
        here = bisect.bisect_left(renames, seq, done, key=lambda renamed: renamed[0])
        out.write(_with_renames(lines, seq - batch.num_rows, renames[done:here]) if here > done else lines)
        done = here
    for _, thread, name in renames[done:]:
        out.write(f"# thread: {thread} = {name}\n".encode())


def _with_renames(text: bytes, seq: int, renames: list[tuple[int, str, str]]) -> bytes:
    """seq: of the first of these lines."""
    import numpy as np

    begins = np.concatenate([[0], np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1]).tolist()
    parts, place = [], 0
    for renamed, thread, name in renames:
        parts += [text[place : begins[renamed - seq]], f"# thread: {thread} = {name}\n".encode()]
        place = begins[renamed - seq]
    return b"".join([*parts, text[place:]])


def comments(header: Header) -> Iterator[str]:
    """`KEY: VALUE`, without what stands before it."""
    metadata = dict(header.metadata)
    if header.bad_lines.total:
        metadata["bad-lines"] = str(header.bad_lines.total)
    yield from (f"{key}: {value}" if value else f"{key}:" for key, value in metadata.items())
    yield from (f"thread: {thread} = {name}" for thread, name in header.names.at_first().items())
    yield from header.definitions.lines()


def event_lines(batch: pa.RecordBatch) -> bytes:
    """Events of the table `events` as text."""
    if batch.num_rows <= _FEW:
        return _few_lines(batch)
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


def _few_lines(batch: pa.RecordBatch) -> bytes:
    """The same without Arrow's compute functions."""
    columns: list[list[str | None]] = []
    told = [name for name in FIELDS if name in batch.schema.names]
    for name in ("thread", "ticks", "checks", "event", "time", *told):
        before = f"{name}=" if name in FIELDS else ""
        null = "-" if name in ("ticks", "checks") else None
        values = batch.column(name).to_pylist()
        columns.append([null if value is None else before + _word(value) for value in values])
    rows = zip(*columns, strict=True)
    return "".join(" ".join(word for word in row if word is not None) + "\n" for row in rows).encode()


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
