"""Parquet: a folder with a file for each table, or the events alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from tracekit.model import schemas
from tracekit.model.arrays import numbers
from tracekit.model.header import KEY
from tracekit.writers.tablestream import TableStream

GROUP_ROWS = 1 << 17
"""Rows of a row group: what a reader can skip by its statistics."""
SORTED_ROWS = 1 << 18
"""So many rows are sorted by thread before they are written: a query for one thread skips the others' row groups."""
_SORTED_BY = {"holds": "thread", "waits": "thread", "failed_retries": "thread"}


class _TableFile:
    """A table that is written as its pieces come."""

    def __init__(self, table: str, unit: str, header: str, out: Any) -> None:
        import pyarrow.parquet as pq

        schema = schemas.load(table).arrow(unit)
        self._schema = schema.with_metadata({**schema.metadata, KEY: header})
        self._sorted_by = _SORTED_BY.get(table)
        self._pieces: list[pa.Table] = []
        self._rows = 0
        words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
        growing = [field.name for field in schema if field.name.endswith(("seq", "clock", "time"))]
        self._writer = pq.ParquetWriter(
            out, self._schema, compression="zstd", compression_level=1, use_dictionary=words, write_page_checksum=True,
            column_encoding=dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
        )  # fmt: skip

    def add(self, piece: pa.Table) -> None:
        self._pieces.append(piece)
        self._rows += piece.num_rows
        if self._rows >= SORTED_ROWS:
            self._flush()

    def _flush(self) -> None:
        table = pa.concat_tables(self._pieces).combine_chunks() if self._pieces else self._schema.empty_table()
        if self._sorted_by and table.num_rows:
            codes = numbers(table.column(self._sorted_by).chunk(0).indices)
            table = table.take(pa.array(np.argsort(codes, kind="stable")))
        self._writer.write_table(table.cast(self._schema), GROUP_ROWS)
        self._pieces.clear()
        self._rows = 0

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()


def write_folder(trace: TableStream, folder: Path) -> None:
    """A file for each of `schemas.TABLES`."""
    write_tables(trace, folder, schemas.TABLES)


def write_tables(trace: TableStream, folder: Path, tables: Sequence[str]) -> dict[str, Path]:
    """A file for each of these tables; where they are."""
    files = {table: folder / f"{table}.parquet" for table in tables}
    _write(trace, files)
    return files


def write_events(trace: TableStream, out: BinaryIO) -> None:
    """The table `events`."""
    _write(trace, {"events": out})


def _write(trace: TableStream, outs: Mapping[str, Any]) -> None:
    header, short = trace.header.to_json(), trace.header.without_definitions().to_json()
    files = {
        table: _TableFile(table, trace.analysis.unit, header if table == "events" else short, out)
        for table, out in outs.items()
    }
    try:
        for table, piece in trace.pieces(*files):
            files[table].add(piece)
    finally:
        for file in files.values():
            file.close()
