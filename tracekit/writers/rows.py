"""Rows that a query found, in formats for programs. `ROW_FORMATS` lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from tracekit.sql import Found
from tracekit.writers import csv, jsonl


def write_csv(rows: Found, out: BinaryIO) -> None:
    """A line of names, then the rows; an empty field is null."""
    out.write(csv.names_line(rows.schema))
    for batch in rows.batches:
        out.write(csv.lines(batch))


def write_json(rows: Found, out: BinaryIO) -> None:
    """A list of objects, one a line."""
    before = b"[\n"
    for batch in rows.batches:
        if batch.num_rows:
            out.write(before + jsonl.lines(batch, end="},\n").removesuffix(b",\n"))
            before = b",\n"
    out.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def write_parquet(rows: Found, out: BinaryIO) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(out, rows.schema, compression="zstd") as writer:
        for batch in rows.batches:
            writer.write_batch(batch)


ROW_FORMATS: dict[str, Callable[[Found, BinaryIO], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}
