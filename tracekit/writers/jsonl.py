"""JSON lines: a header object `tracekit.trace`, then one object per event."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from tracekit.model.header import KEY
from tracekit.writers.lines import join, joined, texts, word
from tracekit.writers.tablestream import TableStream


def write(trace: TableStream, out: BinaryIO) -> None:
    """Writes the header and the events. Attributes that no event has are left out."""
    header = json.loads(trace.header.to_json())
    out.write((json.dumps({KEY: header}, ensure_ascii=False) + "\n").encode())
    for events in trace.told_events():
        for batch in events.to_batches():
            out.write(lines(batch))


def lines(batch: pa.RecordBatch, end: str = "}\n") -> bytes:
    """An object for each row of any table."""
    import pyarrow.compute as pc

    parts: list[Any] = []
    for place, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        if pa.types.is_list(column.type) and pa.types.is_integer(column.type.value_type):
            values = pc.binary_join_element_wise(word("["), joined(column, ", "), word("]"), word(""))
        else:
            values = texts(column, partial(json.dumps, ensure_ascii=False))
        values = pc.fill_null(values, word("null"))
        parts += [f"{', ' if place else '{'}{json.dumps(name)}: ", values]
    return join([*parts, end])
