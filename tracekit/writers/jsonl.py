"""JSON lines: an object `tracekit.trace` (what the trace tells beside its events), then one for each event."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa

from tracekit.model.header import KEY
from tracekit.writers.lines import join, texts, word
from tracekit.writers.tablestream import TableStream


def write(trace: TableStream, out: BinaryIO) -> None:
    """Writes the header and the events."""
    header = json.loads(trace.header.to_json())
    out.write((json.dumps({KEY: header}, ensure_ascii=False) + "\n").encode())
    for _, events in trace.pieces("events"):
        for batch in events.to_batches():
            out.write(lines(batch))


def lines(batch: pa.RecordBatch, end: str = "}\n") -> bytes:
    """An object for each row of any table."""
    import pyarrow.compute as pc

    parts: list[Any] = []
    for place, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        values = pc.fill_null(texts(column, partial(json.dumps, ensure_ascii=False)), word("null"))
        parts += [f"{', ' if place else '{'}{json.dumps(name)}: ", values]
    return join([*parts, end])
