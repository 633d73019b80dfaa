"""Rows that a query found, in formats for programs. `ROW_FORMATS` lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import pyarrow as pa

from tracekit.writers import csv, jsonl

_BATCH_ROWS = 1 << 16


def write_csv(rows: pa.Table, out: BinaryIO) -> None:
    """A line of names, then the rows; an empty field is null."""
    out.write(csv.names_line(rows))
    for batch in rows.to_batches(_BATCH_ROWS):
        out.write(csv.lines(batch))


def write_json(rows: pa.Table, out: BinaryIO) -> None:
    """A list of objects, one a line."""
    before = b"[\n"
    for batch in rows.to_batches(_BATCH_ROWS):
        if batch.num_rows:
            out.write(before + jsonl.lines(batch, end="},\n").removesuffix(b",\n"))
            before = b",\n"
    out.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def write_parquet(rows: pa.Table, out: BinaryIO) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows, out, compression="zstd")


ROW_FORMATS: dict[str, Callable[[pa.Table, BinaryIO], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}
