"""CSV of the events: a comment line with the header, then column names and rows."""

from __future__ import annotations

from typing import Any, BinaryIO

import pyarrow as pa

from tracekit.model.header import KEY
from tracekit.writers.lines import join, texts, word
from tracekit.writers.tablestream import TableStream


def write(trace: TableStream, out: BinaryIO) -> None:
    """Writes the events of the table `events`; an empty field is null. Attributes that no event has have no column."""
    out.write(f"# {KEY}: {trace.header.to_json()}\n".encode())
    for place, events in enumerate(trace.told_events()):
        if not place:
            out.write(names_line(events.schema))
        for batch in events.to_batches():
            out.write(lines(batch))


def names_line(schema: pa.Schema) -> bytes:
    return (",".join(_quoted(name) for name in schema.names) + "\n").encode()


def lines(batch: pa.RecordBatch) -> bytes:
    """The rows of any table."""
    import pyarrow.compute as pc

    parts: list[Any] = []
    for place, column in enumerate(batch.columns):
        parts += [*([","] if place else []), pc.fill_null(texts(column, _quoted), word(""))]
    return join([*parts, "\n"])


def _quoted(word: str) -> str:
    """Quoted where it must be; an empty word too, to tell it from null."""
    return '"' + word.replace('"', '""') + '"' if not word or any(c in word for c in ',"\r\n') else word
