"""The table `events` as an Arrow IPC file (Feather V2)."""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa

from tracekit.model import schemas
from tracekit.model.header import KEY
from tracekit.writers.tablestream import TableStream


def write(trace: TableStream, out: BinaryIO) -> None:
    """Writes the events; the schema's metadata tells the rest of the trace."""
    schema = schemas.load("events").arrow(trace.analysis.unit)
    schema = schema.with_metadata({**schema.metadata, KEY: trace.header.to_json()})
    with pa.ipc.new_file(out, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
        for _, events in trace.pieces("events"):
            file.write_table(events.cast(schema))
